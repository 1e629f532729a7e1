// The topics: which one is looked at, what is new in each, who is there, and the way in and out.

import { find, make, tint } from "./dom.js";

/** People who are named before "and n more". */
const NAMED = 6;

export class Topics {
  /** @type {string[]} those that the token follows by itself */
  automatic = [];
  /** @type {string[]} those that this person added */
  wanted = [];
  /** @type {string | null} */
  selected = null;

  /** @type {Map<string, Set<string>>} */
  #people = new Map();
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
   * @returns {string[]} who came or went, for the feed; nobody, if this only says who is there
   */
  presence(news) {
    const people = this.#people.get(news.topic) ?? new Set();
    this.#people.set(news.topic, news.action === "state" ? new Set(news.users) : people);
    if (news.action === "join") people.add(news.user);
    if (news.action === "leave") people.delete(news.user);
    this.draw();
    return news.action === "state" ? [] : [news.user];
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
    this.#list.querySelector(".current")?.scrollIntoView({ block: "nearest", inline: "nearest" });
    this.#handlers.select(this.selected);
  }

  draw() {
    // Buttons are made anew; whoever stands on one stays there.
    const focused = /** @type {HTMLElement | null} */ (document.activeElement)?.dataset["key"];
    this.#list.replaceChildren(this.#item(null), ...this.all.map((topic) => this.#item(topic)));
    if (focused) this.#list.querySelector(`[data-key="${CSS.escape(focused)}"]`)?.dispatchEvent(new CustomEvent("again"));
    this.#options.replaceChildren(...this.all.map((topic) => make("option", { value: topic })));
  }

  /** @param {string | null} topic null: all of them */
  #item(topic) {
    const count = this.#unread.of(topic);
    const current = topic === this.selected;
    const choose = make(
      "button",
      { type: "button", class: "choose", "data-key": `go ${topic}`, ...(current ? { "aria-current": "true" } : {}) },
      make("span", { class: "dot", "aria-hidden": "true" }),
      make("span", { class: "name" }, topic ?? "Everything"),
    );
    if (count) {
      const badge = make("span", { class: "count" }, String(count), make("span", { class: "unseen" }, " new"));
      choose.append(badge);
    }
    choose.addEventListener("click", () => this.select(topic));
    const item = make("li", { class: current ? "current" : "" }, choose);
    if (topic === null) return item;
    tint(item, topic);
    if (!this.automatic.includes(topic)) {
      const leave = make("button", { type: "button", class: "leave", "aria-label": `Leave ${topic}`, title: "Leave", "data-key": `no ${topic}` }, "×");
      leave.addEventListener("click", () => this.#handlers.leave(topic));
      item.append(leave);
    }
    const people = this.#people.get(topic);
    if (people?.size) item.append(this.#who(topic, [...people].sort()));
    for (const button of item.querySelectorAll("button")) button.addEventListener("again", () => button.focus());
    return item;
  }

  /** @param {string} topic @param {string[]} people */
  #who(topic, people) {
    const list = make("ul", { class: "people", "aria-label": `In ${topic} now` });
    for (const person of people.slice(0, NAMED)) list.append(make("li", {}, person));
    if (people.length > NAMED) list.append(make("li", { title: people.join(", ") }, `and ${people.length - NAMED} more`));
    return list;
  }
}
