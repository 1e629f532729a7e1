// New events for those who listen to the page instead of looking at it: a summary now and then, not each one.

import { find } from "./dom.js";
import { plural } from "./time.js";

/** @typedef {import("/client/types.js").HubEvent} HubEvent */

/** Milliseconds between two announcements, and before the first after a silence. */
const RESTRAINT = 5000;
const MOMENT = 300;

export class Announcer {
  #element = find("announce", HTMLElement);
  #count = 0;
  /** @type {HubEvent | null} */
  #last = null;

  /** @param {HubEvent} event */
  add(event) {
    this.#count += 1;
    this.#last = event;
    if (this.#count === 1) setTimeout(() => this.#say(), this.#element.textContent ? RESTRAINT : MOMENT);
  }

  /** What was not said yet is not said. */
  forget() {
    this.#count = 0;
    this.#last = null;
  }

  #say() {
    if (!this.#last) return;
    this.#element.textContent = `${plural(this.#count, "new event")}; the latest: ${this.#last.type} in ${this.#last.topic}`;
    this.forget();
    setTimeout(() => {
      this.#element.textContent = "";
    }, RESTRAINT);
  }
}
