// What applications hold: listeners, iteration, requests and calls, over one line to the hub.

import { Core } from "./core.js";
import { Emitter } from "./emitter.js";
import { HubError } from "./errors.js";
import { Http, queryOf } from "./http.js";
import { flat, Line } from "./line.js";
import { Stream } from "./stream.js";

/**
 * @import { WebSocketClass } from "./socket.js"
 * @import { News } from "./line.js"
 * @import { Events, HubEvent, InboxPage, InboxQuery, Me, Options, Page, Publication, Receipt, Status } from "./types.js"
 */

/** The longest time that a call waits because the hub said so, in seconds, and how often. */
const LONGEST = 30;
const TRIES = 3;

export class HubClient {
  #http;
  #provider;
  /** @type {Line | import("./tabs.js").Tabs} */
  #line;
  /** @type {((line: Line) => Promise<Line | import("./tabs.js").Tabs>) | undefined} */
  #share;
  /** @type {Emitter<Events>} */
  #emitter = new Emitter();
  /** Those who wait for the connection to open. @type {{ resolve: () => void, reject: (error: HubError) => void }[]} */
  #waiters = [];
  /** @type {Set<Stream<HubEvent>>} */
  #streams = new Set();
  /** @type {Status} */
  #status = { state: "idle" };
  /** @type {string | null} */
  #cursor;
  #keep;

  /** @param {Options} [options] */
  constructor({ url = globalThis.location?.origin, client = randomName(), ...options } = {}) {
    if (!url) throw new TypeError("url: where is the hub?");
    const { session, storage, transport = "auto" } = options;
    const WebSocket = transport === "sse" ? undefined : (options.WebSocket ?? globalThis.WebSocket);
    this.#http = new Http(url, options.fetch);
    this.#provider = this.#identify(options);
    const key = `hub.cursor ${this.#http.base}`;
    this.#keep = () => {
      // Not what waits for a reader: the next page has to get it again.
      if ([...this.#streams].every((stream) => stream.isRead)) storage?.setItem(key, this.#cursor ?? "");
    };
    this.#cursor = options.after ?? (storage?.getItem(key) || null);
    const core = new Core({ client, topics: options.topics, after: this.#cursor });
    const setup = {
      http: this.#http,
      provider: this.#provider,
      WebSocket: /** @type {WebSocketClass | undefined} */ (WebSocket),
      fallback: transport === "auto",
    };
    /** @type {import("./line.js").Tell} */
    const tell = (name, value) => this.#hear(name, value);
    this.#line = new Line(core, setup, tell);
    const { share } = options;
    if (share) {
      this.#share = async (line) => (await import("./tabs.js")).share({ share, line, core, setup, tell, history: this.history });
    }
    if (session) {
      const told = session.onTokens;
      session.onTokens = (tokens) => {
        told?.(tokens);
        this.#emitter.emit("token", tokens);
      };
    }
    /** This tab's or process's name. */
    this.client = client;
  }

  /** Where to go on from: everything up to there was told. A slow reader stores the `cursor` of the event it has dealt with. */
  get cursor() {
    return this.#cursor;
  }

  /** `idle`, `authorizing`, `connecting`, `open`, `waiting` or `stopped`. */
  get state() {
    return this.#status.state;
  }

  /** The state with its circumstances. */
  get status() {
    return this.#status;
  }

  /** The topics wanted besides those that the token subscribes by itself. */
  get topics() {
    return [...this.#line.topics];
  }

  /**
   * Connects, and stays connected until `close` or a refusal.
   * @returns {Promise<void>} settles with the first connection; need not be awaited
   * @throws {HubError} the refusal
   */
  connect() {
    if (this.state === "idle" || this.state === "stopped") this.#start();
    const opened = this.#opened();
    opened.catch(() => {}); // the state tells it too
    return opened;
  }

  /** Ends the connection and every iteration over events. */
  close() {
    this.#line.stop();
  }

  /**
   * The network changed, or somebody looks: tries now rather than at the end of a wait (but leaves an overloaded hub its
   * time), or asks an open connection whether it lives. Browsers' own hints of that kind are followed already.
   */
  retry() {
    this.#line.retry();
  }

  /**
   * Calls `listener` from now on; one that throws or rejects is told to `error` listeners and harms nobody.
   * @template {keyof Events} Name
   * @param {Name} name
   * @param {(value: Events[Name]) => unknown} listener
   * @returns {() => void} ends it
   */
  on(name, listener) {
    return this.#emitter.on(name, listener);
  }

  /**
   * The events from now on, each once, in order; connects if need be. Ends with `close`.
   * @param {{ buffer?: number }} [options] events that may wait for a slow reader before the iteration throws `buffer_full`
   * @returns {AsyncIterableIterator<HubEvent>} throws a HubError if the hub refuses the connection
   */
  events({ buffer = 10_000 } = {}) {
    /** @type {Stream<HubEvent>} */
    const stream = new Stream(buffer, () => this.#streams.delete(stream), this.#keep);
    this.#streams.add(stream);
    this.connect();
    return stream;
  }

  /**
   * Adds topics, all or none. While there is no connection it notes them for the next.
   * @param {...string} topics
   * @throws {HubError} `forbidden`, `topic_invalid`, `too_many_topics`, `connection_lost`
   */
  async subscribe(...topics) {
    await this.#line.request({ kind: "subscribe", topics });
  }

  /** @param {...string} topics */
  async unsubscribe(...topics) {
    await this.#line.request({ kind: "unsubscribe", topics });
  }

  /**
   * Publishes. If the connection is lost before the receipt came, a durable event is published again,
   * under the same id, as soon as there is a new one: it arrives once.
   * @param {Publication} event
   * @param {{ echo?: boolean }} [options] `echo`: this client is sent it, too
   * @returns {Promise<Receipt>}
   * @throws {HubError} `not_connected`, `forbidden`, `event_invalid`, `event_too_large`, …
   */
  async publish(event, { echo } = {}) {
    const repeatable = event.durable !== false;
    const named = repeatable ? { id: randomName(), ...event } : event;
    for (;;) {
      try {
        return (await this.#line.request({ kind: "publish", event: named, echo })).receipt;
      } catch (error) {
        if (!repeatable || !(error instanceof HubError) || error.code !== "connection_lost") throw error;
        await this.#opened();
      }
    }
  }

  /**
   * Reads the log. Without `after`: the newest `limit` events, oldest first.
   * @param {string[]} topics
   * @param {{ after?: string, limit?: number }} [options] `after`: a cursor, or `earliest`
   * @returns {Promise<Page>}
   */
  history = async (topics, options = {}) => {
    const page = await this.#call(`/v1/events?${queryOf({ topics, ...options })}`);
    return { ...page, events: page.events.map(flat) };
  };

  /** Who is in the topic. @param {string} topic @returns {Promise<string[]>} */
  async presence(topic) {
    return (await this.#call(`/v1/presence/${encodeURIComponent(topic)}`)).users;
  }

  /** Who the token says I am and what I may do. @returns {Promise<Me>} */
  me() {
    return this.#call("/v1/me");
  }

  /**
   * My own durable events with their marks, newest first.
   * @param {InboxQuery} [query] `after`: the `next` of the page before
   * @returns {Promise<InboxPage>}
   */
  async inbox(query = {}) {
    const page = await this.#call(`/v1/inbox?${queryOf(query)}`);
    return { ...page, items: page.items.map((/** @type {any} */ item) => ({ ...flat(item), read: item.read, archived: item.archived })) };
  }

  /**
   * Marks events of the inbox; all of the user's devices are told (`inbox`).
   * @param {"read" | "unread" | "archive" | "unarchive"} action
   * @param {string[] | { upTo: string }} which ids, or for `read` and `archive` everything up to a cursor
   * @returns {Promise<{ changed: number, unread: number, cursor: string }>}
   */
  mark(action, which) {
    return this.#call(`/v1/inbox/${action}`, Array.isArray(which) ? { ids: which } : { up_to: which.upTo });
  }

  // --- What the line tells

  /** @template {keyof News} Name @param {Name} name @param {News[Name]} value */
  #hear(name, value) {
    if (name === "cursor") {
      this.#cursor = /** @type {string | null} */ (value);
      return this.#keep();
    }
    if (name === "event") return this.#deliver(/** @type {HubEvent} */ (value));
    if (name === "state") return this.#enter(/** @type {Status} */ (value));
    if (name === "error") return this.#emitter.fail(value);
    return this.#emitter.emit(/** @type {keyof Events} */ (name), /** @type {any} */ (value));
  }

  /** @param {HubEvent} event */
  #deliver(event) {
    // The hub's own word on a mark is no event of anybody's.
    if (event.type === "hub.inbox") return this.#emitter.emit("inbox", event.data);
    this.#emitter.emit("event", event);
    for (const stream of [...this.#streams]) stream.push(event);
  }

  /** @param {Status} status */
  #enter(status) {
    this.#status = status;
    if (status.state === "stopped") this.#finish(status);
    if (status.state === "open") for (const waiter of this.#waiters.splice(0)) waiter.resolve();
    this.#emitter.emit("state", status);
  }

  /** @param {Status} status */
  #finish({ code = "closed", close, error: cause }) {
    this.#wake("removeEventListener");
    if (code === "cursor_invalid") this.#cursor = null; // a stored one would be refused for ever
    this.#keep();
    const words = close?.reason.startsWith(`${code}:`) ? close.reason.slice(code.length + 1).trim() : "";
    const error = cause instanceof HubError && cause.code === code ? cause : new HubError(code, words);
    for (const waiter of this.#waiters.splice(0)) waiter.reject(error);
    for (const stream of [...this.#streams]) stream.end(this.#status.code && error);
  }

  // --- Inside

  async #start() {
    this.#wake("addEventListener");
    if (this.#share && this.#line instanceof Line) {
      this.#hear("state", { state: "authorizing" });
      const line = await this.#share(this.#line).catch(() => this.#line); // alone, then
      if (this.state !== "authorizing") return; // closed meanwhile
      this.#line = line;
    }
    this.#line.start();
  }

  /** @returns {Promise<void>} */
  #opened() {
    if (this.state === "open") return Promise.resolve();
    if (this.state === "stopped") return Promise.reject(new HubError(this.#status.code ?? "closed"));
    return new Promise((resolve, reject) => this.#waiters.push({ resolve, reject }));
  }

  /**
   * A call with the token of the time: once more with a fresh one, and again later where the hub says when.
   * @param {string} path @param {unknown} [body]
   * @returns {Promise<any>}
   */
  async #call(path, body) {
    const method = body === undefined ? "GET" : "POST";
    for (let fresh = false, left = TRIES; ; left -= 1) {
      try {
        return await this.#http.call(path, { method, body, token: await this.#provider({ fresh }) });
      } catch (error) {
        if (!(error instanceof HubError) || !left) throw error;
        const { code, retryAfter } = error;
        if (!fresh && /^token_(expired|revoked)$/.test(code)) fresh = true;
        else if (retryAfter > 0 && retryAfter <= LONGEST) await new Promise((done) => setTimeout(done, retryAfter * 1000));
        else throw error;
      }
    }
  }

  /** The one way to a token that the options name. @param {Options} options @returns {import("./types.js").TokenProvider} */
  #identify({ token, tokenProvider, session }) {
    if (tokenProvider) return tokenProvider;
    if (session) return (options) => session.token(options);
    if (token === undefined) throw new TypeError("token, tokenProvider or session: who are you?");
    return ({ fresh }) => {
      if (fresh) throw new HubError("token_unavailable"); // this one is over
      return token;
    };
  }

  /** Listens to what a browser tells of the network. @param {"addEventListener" | "removeEventListener"} what */
  #wake(what) {
    globalThis[what]?.("online", this.#hint);
    globalThis[what]?.("offline", this.#hint);
    globalThis.document?.[what]("visibilitychange", this.#hint);
  }

  #hint = () => {
    if (globalThis.document?.visibilityState !== "hidden") this.retry();
  };
}

/** 16 random letters and digits; not `randomUUID`, which browsers keep from pages without TLS. */
export function randomName() {
  return Array.from(crypto.getRandomValues(new Uint8Array(8)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}
