// One connection for all tabs in which the same person is signed in. The tab that has the lock leads: it has the line to
// the hub, and tells the others all that it hears; they ask it for what they want. When it dies the next one leads on,
// from the cursor that all of them have reached.

import { randomName } from "./client.js";
import { HubError } from "./errors.js";
import { Hearing } from "./hearing.js";

/**
 * @import { Core, Input } from "./core.js"
 * @import { Line, News, Setup, Tell } from "./line.js"
 * @import { Page, Status } from "./types.js"
 *
 * @typedef {object} Sharing
 * @property {true | string} share
 * @property {Line} line
 * @property {Core} core
 * @property {Setup} setup
 * @property {Tell} tell
 * @property {(topics: string[], options: { after?: string, limit?: number }) => Promise<Page>} history
 */

/**
 * The tab's part in a shared line, or the line itself where there can be none: a browser without Web Locks (a page without
 * TLS), or a token that does not say who it is of.
 * @param {Sharing} sharing
 */
export async function share(sharing) {
  const { setup, share: group, line } = sharing;
  if (!globalThis.navigator?.locks || !globalThis.BroadcastChannel) return line;
  const who = subject(await setup.provider({ fresh: false }));
  return who ? new Tabs(`hub ${setup.http.base} ${who} ${group}`, sharing) : line;
}

/** Whom a JWT (RFC 7519) is of; it is not verified, which is the hub's business. @param {string} token */
function subject(token) {
  try {
    const { iss, sub } = JSON.parse(atob(token.split(".")[1]?.replace(/-/g, "+").replace(/_/g, "/") ?? ""));
    return sub && JSON.stringify([iss, sub]);
  } catch {
    return "";
  }
}

export class Tabs {
  /** The topics that this tab wants. @type {string[]} */
  topics;
  /** @type {Status} */
  status = { state: "authorizing" };

  #me = randomName();
  #name;
  #line;
  #core;
  #tell;
  #hearing;
  /** @type {BroadcastChannel | null} */
  #channel = null;
  /** Lets go of the locks, and of the wish for them. */
  #end = new AbortController();
  #leads = false;
  /** @type {string | null} */
  #leader = null;
  /** What each tab wants. @type {Map<string, string[]>} */
  #wanted = new Map();
  /** @type {Set<string>} */
  #watched = new Set();
  /** Who is in the topics. @type {Map<string, Set<string>>} */
  #present = new Map();
  /** @type {Map<number, { resolve: (frame: any) => void, reject: (error: HubError) => void }>} */
  #requests = new Map();
  #refs = 0;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #timer;

  /** @param {string} name of the group @param {Sharing} sharing */
  constructor(name, { line, core, tell, history }) {
    this.#name = name;
    this.#line = line;
    this.#core = core;
    this.#tell = tell;
    this.topics = core.topics;
    this.#hearing = new Hearing(core.cursor, tell, history);
    line.tell = (what, value) => this.#told(what, value);
  }

  start() {
    this.status = { state: "authorizing" };
    this.#end = new AbortController();
    this.#channel = new BroadcastChannel(this.#name);
    this.#channel.onmessage = ({ data }) => this.#message(data);
    // This tab's own lock first: that it can be had tells the others that the tab is gone.
    this.#hold(this.#me, () => {
      this.#join();
      this.#hold("leader", () => this.#lead());
    });
  }

  stop() {
    if (this.status.state === "stopped") return;
    const leads = this.#leads;
    this.#post({ type: "topics", topics: null });
    this.#leave();
    if (leads) this.#line.stop();
    this.#hear("state", { state: "stopped" });
  }

  retry() {
    if (this.#leads) this.#line.retry();
    else this.#post({ type: "retry" });
  }

  /** @param {Input} input @returns {Promise<any>} */
  request(input) {
    if (input.kind === "publish" && !input["echo"]) {
      // The hub sends it to all tabs: this one would hear itself.
      input = { ...input, event: { id: randomName(), ...input["event"] } };
      this.#hearing.leaveOut(input["event"].id);
    }
    if (this.#leads) return this.#perform(this.#me, input);
    return new Promise((resolve, reject) => {
      if (this.status.state !== "open") {
        if (input.kind === "publish") return reject(new HubError("not_connected"));
        this.topics = changed(this.topics, input);
        this.#join();
        return resolve(undefined);
      }
      const ref = ++this.#refs;
      this.#requests.set(ref, { resolve, reject });
      return this.#post({ type: "ask", ref, input });
    });
  }

  // --- The others

  /** @param {Record<string, any>} message */
  #post(message) {
    this.#channel?.postMessage({ from: this.#me, ...message });
  }

  #join() {
    this.#wanted.set(this.#me, this.topics);
    this.#post({ type: "join", topics: this.topics, cursor: this.#hearing.cursor });
  }

  /** @param {Record<string, any>} message */
  #message({ type, from, to, topics, ref, input, frame, error, name, value, ...rest }) {
    if (to !== undefined && to !== this.#me) return;
    switch (type) {
      case "join":
      case "topics":
        if (topics) this.#wanted.set(from, topics);
        else this.#wanted.delete(from);
        if (from === this.#me) this.topics = topics;
        if (this.#leads && type === "join") this.#welcome(from);
        break;
      case "lead":
        this.#follow(from, rest);
        break;
      case "tell":
        if (from === this.#leader) this.#hear(name, value);
        break;
      case "ask":
        if (this.#leads) {
          this.#perform(from, input).then(
            (frame) => this.#post({ type: "answer", to: from, ref, frame }),
            ({ code, detail, status }) => this.#post({ type: "answer", to: from, ref, error: { code, detail, status } }),
          );
        }
        break;
      case "answer": {
        const request = this.#requests.get(ref);
        this.#requests.delete(ref);
        if (error) return request?.reject(new HubError(error.code, error.detail, error.status));
        return request?.resolve(frame);
      }
      case "refused":
        return this.#tell("error", new HubError(error.code, error.detail));
      case "retry":
        if (this.#leads) this.#line.retry();
    }
  }

  // --- As one who follows

  /** A leader says what is. @param {string} leader @param {Record<string, any>} rest */
  #follow(leader, { status, cursor, wanted }) {
    if (leader !== this.#leader) {
      for (const { reject } of this.#requests.values()) reject(new HubError("connection_lost"));
      this.#requests.clear();
      this.#leader = leader;
    }
    this.#wanted = new Map(wanted);
    if (!same(this.#wanted.get(this.#me), this.topics)) this.#join();
    this.#hear("state", status);
    this.#hearing.meet(cursor, () => {
      const { state, welcome } = this.status;
      return state === "open" ? [...new Set([...(welcome?.["topics"] ?? []), ...this.#union()])] : null;
    });
  }

  /** @template {keyof News} Name @param {Name} name @param {News[Name]} value */
  #hear(name, value) {
    if (name === "state") this.#enter(/** @type {Status} */ (value));
    else this.#hearing.hear(name, value);
  }

  /** @param {Status} status */
  #enter(status) {
    const former = this.status;
    this.status = status;
    clearTimeout(this.#timer);
    if (status.state === "stopped") this.#leave();
    // A leader that nobody looks at has slow timers.
    if (status.wait !== undefined && !this.#leads) this.#timer = setTimeout(() => this.retry(), status.wait * 1000);
    if (status.state !== "open" || former.state !== "open") this.#tell("state", status);
  }

  // --- As the one who leads

  #lead() {
    this.#leads = true;
    this.#leader = this.#me;
    for (const { reject } of this.#requests.values()) reject(new HubError("connection_lost"));
    this.#requests.clear();
    this.#wanted.set(this.#me, this.topics);
    this.#core.topics = this.#union();
    this.#core.cursor = this.#hearing.cursor;
    this.#line.start();
    this.#present.clear();
    for (const tab of this.#wanted.keys()) this.#watch(tab);
    this.#announce();
  }

  #announce() {
    const { error: _, ...status } = this.#line.status;
    this.#post({ type: "lead", status, cursor: this.#core.cursor, wanted: [...this.#wanted] });
  }

  /** A tab has come, or wants other topics. @param {string} tab */
  #welcome(tab) {
    this.#watch(tab);
    this.#settle().catch(({ code, detail }) => this.#refuse(tab, { code, detail }));
    this.#announce();
    for (const [topic, users] of this.#present) this.#show(tab, topic, users);
  }

  /** It does not get what it wanted, or the next connection would be refused for all. @param {string} tab @param {any} error */
  #refuse(tab, error) {
    if (!this.#leads || error.code === "connection_lost") return;
    const topics = (this.#wanted.get(tab) ?? []).filter((topic) => this.#core.topics.includes(topic));
    this.#wanted.set(tab, topics);
    this.#post({ type: "topics", from: tab, topics });
    this.#post({ type: "refused", to: tab, error });
  }

  /** @param {string} tab @param {string} topic @param {Set<string>} users */
  #show(tab, topic, users) {
    const value = { topic, action: "state", users: [...users] };
    if (tab === this.#me) this.#hear("presence", /** @type {any} */ (value));
    else this.#post({ type: "tell", to: tab, name: "presence", value });
  }

  /** Once it is gone, what it wanted is not wanted any more. @param {string} tab */
  #watch(tab) {
    if (tab === this.#me || this.#watched.has(tab)) return;
    this.#watched.add(tab);
    this.#hold(tab, () => {
      this.#watched.delete(tab);
      this.#wanted.delete(tab);
      this.#post({ type: "topics", from: tab, topics: null });
      this.#settle().catch(() => {}); // a connection that is lost forgets them, too
    }, true);
  }

  /** Follows what is wanted, and nothing else. */
  async #settle() {
    const wanted = this.#union();
    const added = wanted.filter((topic) => !this.#core.topics.includes(topic));
    const left = this.#core.topics.filter((topic) => !wanted.includes(topic));
    if (left.length) await this.#line.request({ kind: "unsubscribe", topics: left });
    if (added.length) await this.#line.request({ kind: "subscribe", topics: added });
  }

  /** @param {string} tab @param {Input} input @returns {Promise<any>} */
  async #perform(tab, input) {
    if (input.kind === "publish") return await this.#line.request({ ...input, echo: true });
    const topics = changed(this.#wanted.get(tab) ?? [], input);
    const known = this.#core.topics;
    const others = [...this.#wanted].flatMap(([other, wanted]) => (other === tab ? [] : wanted));
    const mine = input["topics"].filter((/** @type {string} */ topic) =>
      input.kind === "subscribe" ? !known.includes(topic) : known.includes(topic) && !others.includes(topic),
    );
    const answer = mine.length ? await this.#line.request({ ...input, topics: mine }) : undefined;
    this.#wanted.set(tab, topics);
    this.#post({ type: "topics", from: tab, topics });
    if (tab === this.#me) this.topics = topics;
    if (input.kind === "subscribe") {
      for (const topic of input["topics"]) {
        const users = this.#present.get(topic);
        if (users && !mine.includes(topic)) this.#show(tab, topic, users);
      }
    }
    return answer;
  }

  /** What the line tells. @template {keyof News} Name @param {Name} name @param {News[Name]} value */
  #told(name, value) {
    if (!this.#leads) return;
    if (name === "error") return this.#tell(name, value);
    if (name === "presence") this.#note(/** @type {import("./types.js").Presence} */ (value));
    if (name === "state") {
      const { error: _, ...status } = /** @type {Status} */ (value); // errors do not travel
      // A refusal is this tab's: the next one has a token of its own, and leads if that is taken.
      if (status.state !== "stopped") this.#post({ type: "tell", name, value: status });
    } else this.#post({ type: "tell", name, value });
    this.#hear(name, value);
  }

  /** @param {import("./types.js").Presence} news */
  #note(news) {
    if (news.action === "state") this.#present.set(news.topic, new Set(news.users));
    else if (news.action === "join") this.#present.get(news.topic)?.add(news.user);
    else this.#present.get(news.topic)?.delete(news.user);
  }

  #union() {
    return [...new Set([...this.#wanted.values()].flat())];
  }

  // --- Locks

  /**
   * Waits for a lock, and keeps it until this tab leaves (or not at all).
   * @param {string} what
   * @param {() => void} had
   * @param {boolean} [brief]
   */
  #hold(what, had, brief = false) {
    const { signal } = this.#end;
    const left = new Promise((resolve) => signal.addEventListener("abort", resolve));
    navigator.locks
      .request(`${this.#name} ${what}`, { signal }, () => {
        if (signal.aborted) return undefined;
        had();
        return brief ? undefined : left;
      })
      .catch(() => {}); // not waited for any longer
  }

  #leave() {
    this.#leads = false;
    this.#leader = null;
    this.#end.abort();
    this.#hearing.stop();
    this.#wanted.clear();
    this.#watched.clear();
    clearTimeout(this.#timer);
    this.#channel?.close();
    this.#channel = null;
    for (const { reject } of this.#requests.values()) reject(new HubError("connection_lost"));
    this.#requests.clear();
  }
}

/** @param {string[]} topics @param {Input} input */
function changed(topics, { kind, topics: those }) {
  const others = topics.filter((topic) => !those.includes(topic));
  return kind === "subscribe" ? [...others, ...those] : others;
}

/** @param {string[] | undefined} one @param {string[]} other */
const same = (one, other) => one?.length === other.length && one.every((topic) => other.includes(topic));
