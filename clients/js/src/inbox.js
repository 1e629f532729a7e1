// <hub-inbox>: a bell, a badge, and the list behind it. A custom element, so that any framework can use it; an entry of
// its own, so that nobody pays for it who does not.

import { Inbox } from "./inbox_model.js";
import { ago, icon, iconButton, make, row } from "./inbox_row.js";
import { STYLE } from "./inbox_style.js";
import { wordsFor } from "./inbox_words.js";

/**
 * @import { HubClient } from "./client.js"
 * @import { Words } from "./inbox_words.js"
 * @import { InboxItem } from "./types.js"
 */

/** Milliseconds after which "two minutes ago" is looked at again. */
const MINUTE = 60_000;
const MOST = 99;

// A page that is made on a server has no elements; the import is harmless there.
const Base = /** @type {typeof HTMLElement} */ (globalThis.HTMLElement ?? class {});

/**
 * Attributes: `theme` (`light`, `dark`; else the page's `color-scheme`), `inline` (the list without the bell), `lang`.
 *
 * Events, which bubble: `hub-inbox-open` when one is chosen, with the item as `detail` (`preventDefault` keeps the page from
 * following its link); `hub-inbox-change` when the number of unread ones changed, with `{ unread }`.
 */
export class HubInbox extends Base {
  static observedAttributes = ["lang"];

  /** @type {HubClient | null} */
  #client = null;
  /** @type {Inbox | null} */
  #inbox = null;
  /** @type {Partial<Words>} */
  #labels = {};
  #root = this.attachShadow({ mode: "open" });
  #opened = false;
  #unread = 0;
  /** What stands in the list, by item: kept, so that whoever stands on it is not thrown off. @type {Map<string, { item: InboxItem, element: HTMLLIElement }>} */
  #rows = new Map();
  /** @type {ReturnType<typeof setInterval> | undefined} */
  #ticking;

  #badge = make("span", { class: "badge", part: "badge", "aria-hidden": "true", hidden: true });
  #bell = make("button", { class: "bell", part: "button", type: "button", "aria-haspopup": "dialog", "aria-expanded": "false" });
  #title = make("h2", { part: "heading", id: "title" });
  #readAll = make("button", { type: "button", part: "read-all" });
  #archiveAll = make("button", { type: "button", part: "archive-all" });
  #close = iconButton("close", "", "close", () => this.hide());
  #failed = make("p", { class: "note failed", part: "error", role: "alert", hidden: true });
  #list = make("ul", { part: "list", role: "list" });
  #empty = make("p", { class: "note", part: "empty", hidden: true });
  #more = make("button", { class: "more", part: "more", type: "button", hidden: true });
  #scroll = make("div", { class: "scroll" }, this.#list, this.#empty, this.#more);
  #header = make("header", { part: "header" }, this.#title, this.#readAll, this.#archiveAll, this.#close);
  #panel = make("div", { class: "panel", part: "panel", "aria-labelledby": "title", hidden: true }, this.#header, this.#failed, this.#scroll);
  #said = make("p", { class: "unseen", role: "status" });

  constructor() {
    super();
    const sheet = new CSSStyleSheet();
    sheet.replaceSync(STYLE);
    this.#root.adoptedStyleSheets = [sheet];
    this.#bell.append(icon("bell"), this.#badge);
    this.#root.append(this.#bell, this.#panel, this.#said);
    this.#bell.addEventListener("click", () => (this.#opened ? this.hide() : this.show()));
    this.#readAll.addEventListener("click", () => this.#inbox?.markAll("read"));
    this.#archiveAll.addEventListener("click", () => this.#inbox?.markAll("archive"));
    this.#more.addEventListener("click", () => this.#inbox?.loadMore());
    this.#root.addEventListener("keydown", (event) => this.#onKey(/** @type {KeyboardEvent} */ (event)));
  }

  /** The connection it lives on; the page makes it, and connects it. */
  get client() {
    return this.#client;
  }

  set client(client) {
    if (client === this.#client) return;
    this.#inbox?.close();
    this.#client = client;
    this.#inbox = client && this.isConnected ? this.#follow(client) : null;
    this.#draw();
  }

  /** Other words than ours, any of them: see `inbox_words.js`. */
  get labels() {
    return this.#labels;
  }

  set labels(labels) {
    this.#labels = labels;
    this.#forget();
  }

  /** How many are unread. */
  get unread() {
    return this.#unread;
  }

  show() {
    if (this.#opened) return;
    this.#opened = true;
    // To where there is more room.
    const { left, right } = this.#bell.getBoundingClientRect();
    this.#panel.classList.toggle("rightwards", left + right < document.documentElement.clientWidth);
    this.#inbox?.load();
    this.#draw();
    document.addEventListener("pointerdown", this.#onOutside);
    /** @type {HTMLElement} */ (this.#list.querySelector(".item") ?? this.#close).focus();
  }

  /** Closes the list; whoever stood in it stands on the bell. */
  hide() {
    if (!this.#opened) return;
    const inside = this.#panel.contains(this.#root.activeElement);
    this.#opened = false;
    document.removeEventListener("pointerdown", this.#onOutside);
    this.#draw();
    if (inside) this.#bell.focus();
  }

  connectedCallback() {
    // Set before the element was defined, as frameworks do.
    for (const name of /** @type {const} */ (["client", "labels"])) {
      if (!Object.hasOwn(this, name)) continue;
      const value = /** @type {any} */ (this[name]);
      delete (/** @type {any} */ (this)[name]);
      /** @type {any} */ (this)[name] = value;
    }
    if (this.#client && !this.#inbox) this.#inbox = this.#follow(this.#client);
    this.#ticking = setInterval(() => this.#tick(), MINUTE);
    this.#draw();
  }

  disconnectedCallback() {
    this.hide();
    clearInterval(this.#ticking);
    this.#inbox?.close();
    this.#inbox = null;
  }

  attributeChangedCallback() {
    this.#forget();
  }

  get #language() {
    const named = /** @type {HTMLElement | null} */ (this.closest("[lang]"))?.lang;
    return named || navigator.language;
  }

  /** @returns {Words} */
  get #words() {
    return { ...wordsFor(this.#language), ...this.#labels };
  }

  /** @param {HubClient} client */
  #follow(client) {
    /** @type {Inbox} */
    const inbox = new Inbox(client, (news) => inbox === this.#inbox && this.#draw(news));
    return inbox;
  }

  /** @param {InboxItem} [news] */
  #draw(news) {
    if (!this.isConnected) return;
    const inbox = this.#inbox;
    const words = this.#words;
    const unread = inbox?.unread ?? 0;
    const number = unread.toLocaleString(this.#language);
    const shown = this.#opened || this.hasAttribute("inline");
    this.#badge.hidden = unread === 0;
    this.#badge.textContent = unread > MOST ? `${MOST}+` : number;
    this.#bell.ariaLabel = unread ? words.unread.replace("{n}", number) : words.title;
    this.#bell.ariaExpanded = String(this.#opened);
    this.#panel.hidden = !shown;
    this.#panel.role = this.hasAttribute("inline") ? "region" : "dialog";
    this.#title.textContent = words.title;
    this.#readAll.textContent = words.readAll;
    this.#readAll.disabled = unread === 0;
    this.#archiveAll.textContent = words.archiveAll;
    this.#archiveAll.disabled = !inbox?.items.length;
    this.#close.ariaLabel = this.#close.title = words.close;
    this.#more.textContent = words.more;
    this.#more.hidden = !inbox?.more;
    this.#empty.textContent = words.empty;
    this.#empty.hidden = !inbox?.loaded || inbox.items.length > 0;
    this.#fail(words);
    if (shown) this.#drawRows(words);
    if (news) this.#said.textContent = words.news.replace("{n}", number);
    if (unread !== this.#unread) {
      this.#unread = unread;
      this.#tell("hub-inbox-change", { unread });
    }
  }

  /** @param {Words} words */
  #fail(words) {
    const failed = Boolean(this.#inbox?.error);
    if (failed === !this.#failed.hidden) return;
    this.#failed.hidden = !failed;
    const again = make("button", { type: "button" }, words.again);
    again.addEventListener("click", () => this.#inbox?.load());
    this.#failed.replaceChildren(...(failed ? [words.failed, again] : []));
  }

  /** @param {Words} words */
  #drawRows(words) {
    const items = this.#inbox?.items ?? [];
    const focused = this.#root.activeElement;
    const place = [...this.#list.children].findIndex((element) => element.contains(focused));
    const action = focused?.closest(".actions") && focused.classList[0];
    const former = this.#rows;
    this.#rows = new Map();
    for (const item of items) {
      const key = `${item.source} ${item.id}`;
      const known = former.get(key);
      const same = known && known.item.read === item.read && known.item.cursor === item.cursor;
      this.#rows.set(key, known && same ? known : { item, element: this.#row(item, words) });
    }
    const elements = [...this.#rows.values()].map(({ element }) => element);
    const now = [...this.#list.children];
    if (now.length === elements.length && elements.every((element, index) => element === now[index])) return;
    this.#list.replaceChildren(...elements);
    if (place < 0 || (focused && this.#list.contains(focused) && this.#root.activeElement === focused)) return;
    // Whoever stood on a line stands on the one that took its place.
    const next = elements[Math.min(place, elements.length - 1)];
    const target = action && action !== "archive" ? ".actions button" : ".item";
    /** @type {HTMLElement} */ (next?.querySelector(target) ?? this.#close).focus();
  }

  /** @param {InboxItem} item @param {Words} words */
  #row(item, words) {
    const toggle = () => this.#inbox?.mark(item.read ? "unread" : "read", [item.id]);
    const element = row(item, words, this.#language, {
      open: (event) => {
        if (!item.read) this.#inbox?.mark("read", [item.id]);
        if (!this.#tell("hub-inbox-open", item)) event.preventDefault();
      },
      toggle,
      archive: () => this.#inbox?.mark("archive", [item.id]),
    });
    return element;
  }

  /** Other words, or another language: all anew. */
  #forget() {
    this.#rows.clear();
    this.#draw();
  }

  #tick() {
    for (const time of this.#list.querySelectorAll("time")) time.textContent = ago(new Date(time.dateTime), this.#language);
  }

  /** @param {KeyboardEvent} event */
  #onKey(event) {
    const { key } = event;
    if (key === "Escape" && this.#opened) {
      event.stopPropagation();
      return this.hide();
    }
    const items = /** @type {HTMLElement[]} */ ([...this.#list.querySelectorAll(".item")]);
    const here = items.findIndex((item) => item.closest("li")?.contains(this.#root.activeElement));
    if (here < 0) return undefined;
    const there = { ArrowDown: here + 1, ArrowUp: here - 1, Home: 0, End: items.length - 1 }[key];
    if (there !== undefined) items[Math.max(0, Math.min(there, items.length - 1))]?.focus();
    else if (key === "Delete") /** @type {HTMLElement | null} */ (items[here]?.closest("li")?.querySelector(".archive"))?.click();
    else return undefined;
    return event.preventDefault();
  }

  #onOutside = (/** @type {Event} */ event) => {
    if (!event.composedPath().includes(this)) this.hide();
  };

  /** @param {string} name @param {unknown} detail @returns {boolean} false if somebody wants to deal with it alone */
  #tell(name, detail) {
    return this.dispatchEvent(new CustomEvent(name, { detail, bubbles: true, composed: true, cancelable: true }));
  }
}

if (globalThis.customElements && !customElements.get("hub-inbox")) customElements.define("hub-inbox", HubInbox);
