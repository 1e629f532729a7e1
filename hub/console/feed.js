// The list of events, oldest first, as a log is. It follows its end unless somebody scrolls up.

import { find, make } from "./dom.js";
import { dayRow, eventRow, markRow, searchable } from "./row.js";
import { dayOf } from "./time.js";

/**
 * @typedef {import("/client/types.js").HubEvent} HubEvent
 * @typedef {object} Entry
 * @property {HTMLElement} element
 * @property {number} time milliseconds
 * @property {string} [key] of an event
 * @property {string | null} topic null: it belongs to no topic, and is shown with all
 * @property {string} text what the filter looks through
 */

/** Rows that are kept, also while somebody reads further up; the log keeps the rest. */
const MOST = 1000;
const MOST_READING = 5000;
/** Pixels from the end that still count as the end. */
const NEAR = 48;

export class Feed {
  /** @type {string | null} the topic that is shown; null: all */
  topic = null;
  /** Whether the end of the list is in sight. */
  following = true;

  /** @type {Entry[]} */
  #entries = [];
  /** @type {Set<string>} */
  #keys = new Set();
  /** What came while paused. @type {HubEvent[]} */
  #held = [];
  #paused = false;
  #filter = "";
  #me = "";
  #scroll = find("feed", HTMLElement);
  #rows = find("rows", HTMLOListElement);
  #empty = find("empty", HTMLElement);
  #pause = find("pause", HTMLButtonElement);
  /** @type {(string | Node)[]} */
  #hint = [];
  #drawing = false;
  #top = 0;
  #onMove;

  /** @param {() => void} onMove called when the end comes into sight or goes out of it */
  constructor(onMove) {
    this.#onMove = onMove;
    this.#scroll.addEventListener("scroll", () => {
      const { scrollHeight, scrollTop, clientHeight } = this.#scroll;
      const atEnd = scrollHeight - scrollTop - clientHeight < NEAR;
      const up = scrollTop < this.#top; // only a person goes up; the list may also have grown or been squeezed
      this.#top = scrollTop;
      if (atEnd === this.following || !(atEnd || up)) return;
      this.following = atEnd;
      this.#onMove();
    });
    new ResizeObserver(() => this.#follow()).observe(this.#scroll);
    this.#pause.addEventListener("click", () => this.#setPaused(!this.#paused));
    find("clear", HTMLButtonElement).addEventListener("click", () => this.clear());
    const filter = find("filter", HTMLInputElement);
    filter.addEventListener("input", () => {
      this.#filter = filter.value.trim().toLowerCase();
      this.#sift();
    });
    filter.addEventListener("keydown", (event) => {
      if (event.key !== "Escape" || !filter.value) return;
      event.preventDefault();
      filter.value = this.#filter = "";
      this.#sift();
    });
  }

  /** Whether somebody could see an event of this topic that comes now. @param {string} topic */
  isSeen(topic) {
    const shown = this.topic === null || this.topic === topic;
    return shown && this.following && !this.#paused && document.visibilityState === "visible";
  }

  /** How many events of the topic (null: of any) are here. @param {string | null} topic */
  count(topic) {
    return this.#entries.filter((entry) => entry.key && (topic === null || entry.topic === topic)).length;
  }

  /** Starts anew for a person. @param {string} source */
  begin(source) {
    this.#me = source;
    this.#setPaused(false);
    this.clear();
  }

  clear() {
    this.#entries = [];
    this.#keys.clear();
    this.#held = [];
    this.following = true;
    this.#draw();
  }

  /** Adds an event that has just come; false if it is here already. @param {HubEvent} event */
  add(event) {
    if (this.#keys.has(keyOf(event))) return false;
    if (this.#paused) {
      this.#held.push(event);
      if (this.#held.length > MOST) this.#held.shift();
      this.#labelPause();
      return true;
    }
    this.#append(this.#entry(event));
    return true;
  }

  /** Adds events of the past where they belong. @param {HubEvent[]} events @returns {number} how many were not here */
  merge(events) {
    const count = this.#entries.length;
    // From the newest back, each before the one that follows it in the log, and after what is not younger. What else
    // happened keeps its place among them: its times are those of another clock.
    let before = count;
    for (const event of events.toReversed()) {
      const key = keyOf(event);
      if (this.#keys.has(key)) {
        before = this.#entries.findIndex((entry) => entry.key === key);
        continue;
      }
      const entry = this.#entry(event);
      while (before > 0 && !isNotYounger(this.#entries[before - 1], entry)) before -= 1;
      this.#entries.splice(before, 0, entry);
    }
    if (this.#entries.length === count) return 0;
    const { scrollHeight, scrollTop } = this.#scroll;
    this.#draw();
    if (!this.following) this.#scroll.scrollTop = scrollTop + this.#scroll.scrollHeight - scrollHeight;
    return this.#entries.length - count;
  }

  /**
   * Notes what happened besides events; returns the row's words, to be changed later.
   * @param {"lost" | "back" | "gap" | "people" | "note"} kind
   * @param {string} words
   * @param {string | null} [topic]
   */
  mark(kind, words, topic = null) {
    const date = new Date();
    const element = markRow(kind, words, date);
    this.#append({ element, time: date.getTime(), topic, text: words.toLowerCase() });
    return /** @type {HTMLElement} */ (element.querySelector(".body"));
  }

  /** Shows one topic, or all. @param {string | null} topic */
  select(topic) {
    this.topic = topic;
    this.following = true;
    this.#rows.classList.toggle("single", topic !== null); // each row need not say which
    this.#sift();
  }

  toEnd() {
    this.following = true;
    this.#follow();
  }

  /** What is said where nothing has come. @param {...(string | Node)} content */
  whenEmpty(...content) {
    this.#hint = content;
    this.#sift();
  }

  /** @param {HubEvent} event @returns {Entry} */
  #entry(event) {
    const key = keyOf(event);
    this.#keys.add(key);
    const element = eventRow(event, this.#me);
    return { element, key, time: Date.parse(event.time), topic: event.topic, text: searchable(event) };
  }

  /** @param {Entry} entry */
  #append(entry) {
    const last = this.#entries.at(-1);
    this.#entries.push(entry);
    if (!last || !sameDay(last, entry)) this.#rows.append(dayRow(new Date(entry.time)));
    entry.element.hidden = !this.#shows(entry);
    this.#rows.append(entry.element);
    this.#trim(this.following ? MOST : MOST_READING);
    this.#empty.hidden ||= !entry.element.hidden;
    this.#follow();
  }

  /** @param {number} most */
  #trim(most) {
    for (const { element, key } of this.#entries.splice(0, Math.max(0, this.#entries.length - most))) {
      element.remove();
      if (key !== undefined) this.#keys.delete(key);
    }
  }

  /** Everything anew: after a change in the middle. */
  #draw() {
    const rows = /** @type {HTMLElement[]} */ ([]);
    this.#entries.forEach((entry, index) => {
      const before = this.#entries[index - 1];
      if (!before || !sameDay(before, entry)) rows.push(dayRow(new Date(entry.time)));
      rows.push(entry.element);
    });
    this.#rows.replaceChildren(...rows);
    this.#sift();
  }

  #sift() {
    for (const entry of this.#entries) entry.element.hidden = !this.#shows(entry);
    this.#empty.hidden = this.#entries.some((entry) => !entry.element.hidden);
    this.#empty.replaceChildren(...(this.#filter ? ["Nothing matches the filter."] : this.#hint));
    this.#follow();
  }

  /** @param {Entry} entry */
  #shows({ topic, text }) {
    if (this.topic !== null && topic !== null && topic !== this.topic) return false;
    return text.includes(this.#filter);
  }

  #follow() {
    if (!this.following || this.#drawing) return;
    this.#drawing = true; // once a frame is enough
    requestAnimationFrame(() => {
      this.#drawing = false;
      if (this.following) this.#scroll.scrollTop = this.#scroll.scrollHeight;
    });
  }

  /** @param {boolean} paused */
  #setPaused(paused) {
    this.#paused = paused;
    this.#pause.setAttribute("aria-pressed", String(paused));
    const held = this.#held;
    this.#held = [];
    if (!paused) for (const event of held) this.add(event);
    this.#labelPause();
    this.#onMove();
  }

  #labelPause() {
    this.#pause.textContent = this.#paused ? `Go on${this.#held.length ? ` (${this.#held.length})` : ""}` : "Pause";
  }
}

/** @param {HubEvent} event */
const keyOf = ({ id, source }) => `${source} ${id}`;

/** @param {Entry} one @param {Entry} other */
const sameDay = (one, other) => dayOf(new Date(one.time)) === dayOf(new Date(other.time));

/** @param {Entry | undefined} one @param {Entry} other whether `one` is an event, and of the same time or earlier */
const isNotYounger = (one, other) => one?.key !== undefined && one.time <= other.time;
