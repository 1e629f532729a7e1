// The topics: which one is looked at, what is new in each, who is there, and the way in and out.

import { find, make, tint } from "./dom.js";

/** People who are named before "and n more". */
const NAMED = 6;

/**
 * @typedef {object} Item a topic in the list; kept and changed, so that whoever stands on it is not thrown off
 * @property {HTMLLIElement} element
 * @property {HTMLButtonElement} choose
 * @property {HTMLElement} count
 * @property {HTMLUListElement} people
 */

export class Topics {
  /** @type {string[]} those that the token follows by itself */
  automatic = [];
  /** @type {string[]} those that this person added */
  wanted = [];
  /** @type {string | null} */
  selected = null;

  /** @type {Map<string, Set<string>>} */
  #people = new Map();
  /** By topic; null is all of them. @type {Map<string | null, Item>} */
  #items = new Map();
  #list = find("topics", HTMLUListElement);
  #options = find("known-topics", HTMLDataListElement);
  #add = find("add-topic", HTMLButtonElement);
  #form = find("subscribe", HTMLFormElement);
  #unread;
  #handlers;

  /**
   * @param {import("./unread.js").Unread} unread
   * @param {{ select: (topic: string | null) => void, leave: (topic: string) => void }} handlers
   */
  constructor(unread, handlers) {
    this.#unread = unread;
    this.#handlers = handlers;
    this.#add.addEventListener("click", () => this.openForm(!this.#form.classList.contains("wanted")));
    this.#form.addEventListener("keydown", ({ key }) => {
      if (key !== "Escape" || !this.#form.classList.contains("wanted")) return;
      this.openForm(false);
      this.#add.focus();
    });
  }

  /** Where there is little room, the form is there only when it is wanted. @param {boolean} wanted */
  openForm(wanted) {
    this.#add.setAttribute("aria-expanded", String(wanted));
    this.#form.classList.toggle("wanted", wanted);
    if (wanted) find("topic", HTMLInputElement).focus();
  }

  get all() {
    return [...new Set([...this.automatic, ...this.wanted])];
  }

  /**
   * @param {import("/client/types.js").Presence} news
   * @returns {string | null} who came or went, for the feed; null if this only says who is there
   */
  presence(news) {
    const people = this.#people.get(news.topic) ?? new Set();
    this.#people.set(news.topic, news.action === "state" ? new Set(news.users) : people);
    if (news.action === "join") people.add(news.user);
    if (news.action === "leave") people.delete(news.user);
    this.draw();
    return news.action === "state" ? null : news.user;
  }

  /** Nobody is known to be anywhere: the connection is gone. */
  forgetPeople() {
    this.#people.clear();
    this.draw();
  }

  /** @param {string | null} topic */
  select(topic) {
    this.selected = topic !== null && this.all.includes(topic) ? topic : null;
    this.draw();
    this.#items.get(this.selected)?.element.scrollIntoView({ block: "nearest", inline: "nearest" });
    this.#handlers.select(this.selected);
  }

  draw() {
    const shown = /** @type {(string | null)[]} */ ([null, ...this.all]);
    for (const [topic, { element }] of this.#items) {
      if (shown.includes(topic)) continue;
      element.remove();
      this.#items.delete(topic);
      if (topic !== null) this.#people.delete(topic);
    }
    for (const topic of shown) {
      const item = this.#items.get(topic) ?? this.#make(topic);
      this.#items.set(topic, item);
      if (!item.element.isConnected) this.#list.append(item.element);
      this.#update(item, topic);
    }
    this.#options.replaceChildren(...this.all.map((topic) => make("option", { value: topic })));
  }

  /** @param {Item} item @param {string | null} topic */
  #update({ element, choose, count, people }, topic) {
    const current = topic === this.selected;
    element.classList.toggle("current", current);
    choose.ariaCurrent = current ? "true" : null;
    const news = this.#unread.of(topic);
    count.hidden = news === 0;
    count.replaceChildren(String(news), make("span", { class: "unseen" }, " new"));
    const names = topic === null ? [] : [...(this.#people.get(topic) ?? [])].sort();
    people.hidden = names.length === 0;
    people.title = names.join(", ");
    const rest = names.length - NAMED;
    people.replaceChildren(
      ...names.slice(0, NAMED).map((name) => make("li", {}, name)),
      ...(rest > 0 ? [make("li", {}, `and ${rest} more`)] : []),
    );
  }

  /** @param {string | null} topic @returns {Item} */
  #make(topic) {
    const count = make("span", { class: "count", hidden: true });
    const choose = make(
      "button",
      { type: "button", class: "choose" },
      make("span", { class: "dot", "aria-hidden": "true" }),
      make("span", { class: "name" }, topic ?? "Everything"),
      " ",
      count,
    );
    choose.addEventListener("click", () => this.select(topic));
    const people = make("ul", { class: "people", "aria-label": `In ${topic} now` });
    const element = make("li", {}, choose);
    if (topic !== null) tint(element, topic);
    if (topic !== null && !this.automatic.includes(topic)) {
      const leave = make("button", { type: "button", class: "leave", "aria-label": `Leave ${topic}`, title: "Leave" }, "×");
      leave.addEventListener("click", () => this.#handlers.leave(topic));
      element.append(leave);
    }
    element.append(people);
    return { element, choose, count, people };
  }
}
