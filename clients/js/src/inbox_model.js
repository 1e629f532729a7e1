// The inbox as it stands on this device: pages from the hub, kept young by what the connection tells. It knows no DOM.
//
// Loaded anew where it may have missed something; in between it counts by itself, so that an event for a hundred
// thousand people is not a hundred thousand requests. Every mark brings the hub's own count.

import { HubError } from "./errors.js";

/**
 * @import { HubClient } from "./client.js"
 * @import { HubEvent, InboxItem, InboxMark } from "./types.js"
 * @typedef {"read" | "unread" | "archive" | "unarchive"} Action
 */

const PAGE = 30;
const LONGEST_TIMER = 2 ** 31 - 1;

export class Inbox {
  /** Newest first, without those that are archived. @type {InboxItem[]} */
  items = [];
  /** Of the whole inbox. */
  unread = 0;
  /** Whether there are older ones. */
  more = false;
  /** Whether the first page has been loaded. */
  loaded = false;
  /** What went wrong last. @type {HubError | null} */
  error = null;

  #client;
  /** @type {(news?: InboxItem) => void} */
  #onChange;
  /** @type {string | null} */
  #next = null;
  /** The topics whose events belong here, once they are known. @type {Set<string> | null} */
  #topics = null;
  /** The newest request for the first page; an older one's answer is not looked at. @type {symbol | null} */
  #loading = null;
  /** What was told while it is on its way: the answer may be older, or not. @type {(() => void)[]} */
  #meanwhile = [];
  /** @type {(() => void)[]} */
  #offs;
  /** Until the next one is past its time. @type {ReturnType<typeof setTimeout> | undefined} */
  #timer;

  /**
   * @param {HubClient} client
   * @param {(news?: InboxItem) => void} onChange `news`: an item that has just come
   */
  constructor(client, onChange) {
    this.#client = client;
    this.#onChange = (news) => {
      this.#expire();
      onChange(news);
    };
    this.#offs = [
      client.on("state", ({ state }) => state === "open" && !this.loaded && this.load()),
      client.on("resumed", ({ events }) => events > 0 && this.load()),
      client.on("reset", () => this.load()),
      client.on("inbox", (mark) => this.#marked(mark)),
      client.on("event", (event) => this.#come(event)),
    ];
    if (client.state === "open") this.load();
  }

  /** Listens no longer. */
  close() {
    this.#loading = null;
    clearTimeout(this.#timer);
    for (const off of this.#offs) off();
  }

  /** The newest ones, anew. */
  load() {
    return this.#ask(async () => {
      const mine = (this.#loading = Symbol());
      this.#meanwhile = [];
      const [page, topics] = await Promise.all([this.#client.inbox({ limit: PAGE }), this.#topics ?? this.#mine()]);
      if (mine !== this.#loading) return;
      this.#loading = null;
      this.#topics = topics;
      this.items = page.items;
      this.#turn(page);
      this.loaded = true;
      for (const again of this.#meanwhile) again();
    });
  }

  /** Older ones. */
  loadMore() {
    return this.#ask(async () => {
      if (this.#next === null) return;
      const next = this.#next;
      const page = await this.#client.inbox({ limit: PAGE, after: next });
      if (next !== this.#next) return;
      const known = new Set(this.items.map(({ id, source }) => `${source} ${id}`));
      this.items = [...this.items, ...page.items.filter(({ id, source }) => !known.has(`${source} ${id}`))];
      this.#turn(page);
    });
  }

  /**
   * Marks some; shown at once, and taken back if the hub does not do it.
   * @param {Action} action @param {string[]} ids
   */
  mark(action, ids) {
    return this.#change(action, { action, ids, up_to: null, unread: this.unread }, ids);
  }

  /** Marks everything up to the newest one that is shown. @param {"read" | "archive"} action */
  markAll(action) {
    const newest = this.items[0]?.cursor;
    if (newest === undefined) return Promise.resolve();
    return this.#change(action, { action, ids: null, up_to: newest, unread: 0 }, { upTo: newest });
  }

  /** @param {Action} action @param {InboxMark} mark @param {string[] | { upTo: string }} which */
  #change(action, mark, which) {
    const before = this.items.filter(({ read }) => !read).length;
    this.#apply(mark);
    const after = this.items.filter(({ read }) => !read).length;
    this.unread = mark.ids ? Math.max(0, this.unread + after - before) : 0;
    this.#onChange();
    return this.#ask(async () => {
      try {
        this.unread = (await this.#client.mark(action, which)).unread;
      } catch (error) {
        await this.load();
        throw error;
      }
    });
  }

  /** The hub tells of a mark, of this device or another. @param {InboxMark} mark */
  #marked(mark) {
    if (this.#loading) this.#meanwhile.push(() => this.#marked(mark));
    if (!this.loaded) return;
    const known = this.#apply(mark);
    this.unread = mark.unread;
    this.#onChange();
    if (!known || mark.action === "unarchive") this.load();
  }

  /** @param {InboxMark} mark @returns {boolean} whether it is clear from what is here which ones are meant */
  #apply({ action, ids, up_to }) {
    const from = ids ? 0 : this.items.findIndex(({ cursor }) => cursor === up_to);
    if (from < 0) return false;
    const meant = (/** @type {InboxItem} */ item, /** @type {number} */ index) =>
      ids ? ids.includes(item.id) : index >= from;
    if (action === "archive") this.items = this.items.filter((item, index) => !meant(item, index));
    else this.items = this.items.map((item, index) => (meant(item, index) ? { ...item, read: action === "read" } : item));
    return true;
  }

  /** @param {HubEvent} event */
  #come(event) {
    if (this.#loading) this.#meanwhile.push(() => this.#come(event));
    const { cursor, topic, collapse_key: key } = event;
    if (cursor === null || !this.loaded || !this.#topics?.has(topic)) return;
    if (this.items.some((item) => item.cursor === cursor)) return;
    const former = key && this.items.find((item) => item.collapse_key === key && item.topic === topic && !item.read);
    const item = { ...event, cursor, read: false, archived: false };
    this.items = [item, ...this.items.filter((other) => other !== former)];
    if (!former) this.unread += 1;
    this.#onChange(item);
  }

  /** Hides what is past its time, here as at the hub. */
  #expire() {
    const left = (/** @type {InboxItem} */ { expires }) => (expires === undefined ? Infinity : Date.parse(expires) - Date.now());
    const gone = this.items.filter((item) => left(item) <= 0);
    this.items = this.items.filter((item) => !gone.includes(item));
    this.unread = Math.max(0, this.unread - gone.filter(({ read }) => !read).length);
    clearTimeout(this.#timer);
    const next = Math.min(...this.items.map(left));
    if (next < LONGEST_TIMER) this.#timer = setTimeout(() => this.#onChange(), next);
  }

  /** @returns {Promise<Set<string>>} */
  async #mine() {
    const { subject, topics } = await this.#client.me();
    return new Set(["all", `user:${subject}`, ...topics]);
  }

  /** @param {{ unread: number, next: string | null }} page */
  #turn({ unread, next }) {
    this.unread = unread;
    this.#next = next;
    this.more = next !== null;
  }

  /** @param {() => Promise<void>} call */
  async #ask(call) {
    try {
      this.error = null;
      await call();
    } catch (error) {
      this.error = error instanceof HubError ? error : new HubError("failed", String(error));
    }
    this.#onChange();
  }
}
