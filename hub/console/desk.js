// What a signed-in person has before them: the feed, the topics, and what the connection tells of both.

import { Announcer } from "./announcer.js";
import { find, make } from "./dom.js";
import { Facts } from "./facts.js";
import { Feed } from "./feed.js";
import { plural, span } from "./time.js";
import { Topics } from "./topics.js";
import { Unread } from "./unread.js";
import { explainError } from "./words.js";

/**
 * @typedef {import("/client/index.js").HubClient} HubClient
 * @typedef {import("/client/types.js").HubEvent} HubEvent
 */

/** Events of the past that are shown at first, and that each "Load earlier" adds; the hub gives at most so many. */
const FIRST = 50;
const MORE = 100;
const MOST = 1000;

export class Desk {
  /** @type {(topic: string | null) => void} */
  onSelect = () => {};

  /** @type {HubClient | null} */
  #client = null;
  #tab;
  #unread = new Unread(() => this.#told());
  #feed = new Feed(() => this.#look());
  #topics = new Topics(this.#unread, { select: (topic) => this.#select(topic), leave: (topic) => this.#leave(topic) });
  #desk = find("desk", HTMLElement);
  #jump = find("jump", HTMLButtonElement);
  #earlier = find("earlier", HTMLButtonElement);
  #earlierSaid = find("earlier-said", HTMLElement);
  #topicSaid = find("topic-said", HTMLElement);
  #who = find("who", HTMLElement);
  #announcer = new Announcer();
  #facts = new Facts();
  /** When the connection was lost, in milliseconds. */
  #lostAt = 0;
  /** The words about a return that is not complete yet. @type {HTMLElement | null} */
  #returning = null;

  /** @param {import("./tab.js").Tab} tab */
  constructor(tab) {
    this.#tab = tab;
    this.#jump.addEventListener("click", () => {
      this.#feed.toEnd();
      this.#look();
      find("feed", HTMLElement).focus();
    });
    document.addEventListener("visibilitychange", () => this.#look());
    this.#earlier.addEventListener("click", () => this.#loadEarlier());
    const form = find("subscribe", HTMLFormElement);
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#followTopics(find("topic", HTMLInputElement));
    });
  }

  /** Listens to a client. @param {HubClient} client */
  attach(client) {
    this.#client = this.#facts.client = client;
    const mine = (/** @type {(value: any) => void} */ listener) => (/** @type {any} */ value) => {
      if (client === this.#client) listener(value);
    };
    client.on("event", mine((event) => this.#event(event)));
    client.on("presence", mine((news) => this.#presence(news)));
    client.on("resumed", mine(({ events }) => this.#resumed(events)));
    client.on("reset", mine(({ reason }) => this.#reset(reason)));
    client.on("error", mine((error) => this.#feed.mark("note", explainError(error))));
  }

  /** @param {string} user @param {string[]} topics all that the connection follows */
  async open(user, topics) {
    this.#desk.hidden = false;
    this.#who.hidden = false;
    this.#who.textContent = user;
    this.#lostAt = 0;
    this.#feed.begin(`user:${user}`);
    this.#feed.whenEmpty(...hint(user));
    this.#topics.wanted = this.#tab.memory.topics;
    this.#topics.automatic = topics.filter((topic) => !this.#topics.wanted.includes(topic));
    this.#topics.select(null);
    this.#facts.draw();
    await this.#load(this.#topics.all, FIRST);
  }

  close() {
    this.#client = this.#facts.client = null;
    this.#desk.hidden = true;
    this.#who.hidden = true;
    this.#feed.begin("");
    this.#unread.see(null);
    this.#topics.forgetPeople();
    this.#announcer.forget();
  }

  /** @param {{ code: number, reason: string }} [close] */
  lost(close) {
    if (this.#lostAt) return; // one gap, however many tries it takes
    this.#lostAt = Date.now();
    this.#topics.forgetPeople();
    const why = close ? ` (${close.code}${close.reason ? ` ${close.reason}` : ""})` : "";
    this.#feed.mark("lost", `Connection lost${why}.`);
  }

  back() {
    const away = this.#lostAt ? ` after ${span((Date.now() - this.#lostAt) / 1000)}` : "";
    this.#lostAt = 0;
    this.#returning = this.#feed.mark("back", `Back${away}, catching up…`);
    this.#returning.dataset["away"] = away;
  }

  /** @param {string} what */
  refused(what) {
    this.#topics.forgetPeople();
    this.#feed.mark("gap", `The hub ended the connection: ${what}.`);
  }

  /** The hub does not let this person follow what they wanted to. @param {string} words */
  dropTopics(words) {
    this.#client?.unsubscribe(...this.#client.topics);
    this.#tab.save({ topics: [] });
    this.#topics.wanted = [];
    this.#topics.draw();
    this.#feed.mark("note", `Left the topics that were added. ${words}`);
  }

  // --- What the client tells

  /** @param {HubEvent} event */
  #event(event) {
    const seen = this.#feed.isSeen(event.topic);
    if (!this.#feed.add(event)) return;
    if (!seen) this.#unread.add(event.topic);
    this.#announcer.add(event);
  }

  /** @param {import("/client/types.js").Presence} news */
  #presence(news) {
    const person = this.#topics.presence(news);
    if (person === null) return;
    this.#feed.mark("people", `${person} ${news.action === "join" ? "joined" : "left"} ${news.topic}.`, news.topic);
  }

  /** @param {number} events */
  #resumed(events) {
    if (!this.#returning) return;
    const away = this.#returning.dataset["away"] ?? "";
    this.#returning.textContent = events
      ? `Resumed${away}: ${plural(events, "event")} while you were away.`
      : `Resumed${away}: nothing was missed.`;
    this.#returning = null;
  }

  /** @param {string} reason */
  #reset(reason) {
    const why =
      reason === "replaced"
        ? "it is another log than the one you left"
        : "its log no longer reaches back to where you were";
    this.#feed.mark("gap", `The hub cannot bring back everything: ${why}. What it still has was loaded.`);
    this.#load(this.#topics.all, FIRST);
  }

  // --- What the person does

  /** @param {string | null} topic */
  #select(topic) {
    find("view", HTMLElement).textContent = topic ?? "Everything";
    this.#earlierSaid.textContent = "";
    this.#feed.select(topic);
    this.#look();
    this.onSelect(topic);
  }

  /** @param {HTMLInputElement} input */
  async #followTopics(input) {
    const names = input.value.split(/[\s,]+/).filter(Boolean);
    if (!names.length || !this.#client) return;
    if (this.#client.state !== "open") {
      this.#topicSaid.textContent = "Not connected at the moment.";
      return;
    }
    this.#topicSaid.textContent = "";
    try {
      await this.#client.subscribe(...names);
    } catch (error) {
      this.#topicSaid.textContent = explainError(error);
      return;
    }
    input.value = "";
    this.#topics.openForm(false);
    this.#keepTopics();
    this.#topics.select(names[0] ?? null);
    await this.#load(names, FIRST);
  }

  /** @param {string} topic */
  async #leave(topic) {
    try {
      await this.#client?.unsubscribe(topic);
    } catch (error) {
      this.#topicSaid.textContent = explainError(error);
      return;
    }
    this.#unread.see(topic);
    this.#keepTopics();
    if (this.#topics.selected === topic) this.#topics.select(null);
    find("topic", HTMLInputElement).focus();
  }

  #keepTopics() {
    this.#topics.wanted = this.#client?.topics ?? [];
    this.#tab.save({ topics: this.#topics.wanted });
    this.#topics.draw();
  }

  async #loadEarlier() {
    const topic = this.#topics.selected;
    const limit = Math.min(MOST, this.#feed.count(topic) + MORE);
    const found = await this.#load(topic === null ? this.#topics.all : [topic], limit);
    if (found === 0) {
      this.#earlierSaid.textContent = limit < MOST ? "That is all there is." : "This page shows no more than these.";
    }
  }

  /** @param {string[]} topics @param {number} limit @returns {Promise<number | null>} null if it failed */
  async #load(topics, limit) {
    const client = this.#client;
    if (!client) return null;
    this.#earlier.disabled = true;
    try {
      const { events } = await client.history(topics, { limit });
      // What the hub tells its own clients is theirs.
      const shown = events.filter(({ type }) => !type.startsWith("hub."));
      return client === this.#client ? this.#feed.merge(shown) : null;
    } catch (error) {
      this.#earlierSaid.textContent = explainError(error);
      return null;
    } finally {
      this.#earlier.disabled = false;
    }
  }

  // --- What is shown of it

  /** Somebody may be looking now. */
  #look() {
    if (this.#feed.following && document.visibilityState === "visible") this.#unread.see(this.#topics.selected);
    this.#drawJump();
  }

  #told() {
    this.#topics.draw();
    this.#drawJump();
  }

  #drawJump() {
    const count = this.#unread.of(this.#topics.selected);
    this.#jump.hidden = this.#feed.following && count === 0;
    this.#jump.textContent = count ? `${count} new ↓` : "To the latest ↓";
  }
}

/** How to make a first event. @param {string} user */
function hint(user) {
  const command = `hub publish hello.world --data '{"text": "Hello"}' --to-user ${user}`;
  return [
    make("strong", {}, "Nothing here yet."),
    " This line grows when something happens. Write a message below, or from a terminal:",
    make("code", {}, command),
  ];
}
