// What came while nobody looked: counts by topic, told in the title and on the icon.

import { find } from "./dom.js";

const TITLE = document.title;

export class Unread {
  /** @type {Map<string, number>} */
  #counts = new Map();

  /** @param {() => void} onChange */
  constructor(onChange) {
    this.onChange = onChange;
  }

  /** @param {string | null} topic null: all of them */
  of(topic) {
    if (topic !== null) return this.#counts.get(topic) ?? 0;
    return [...this.#counts.values()].reduce((sum, count) => sum + count, 0);
  }

  /** @param {string} topic */
  add(topic) {
    this.#counts.set(topic, this.of(topic) + 1);
    this.#tell();
  }

  /** @param {string | null} topic null: all of them were looked at */
  see(topic) {
    if (this.of(topic) === 0) return;
    if (topic === null) this.#counts.clear();
    else this.#counts.delete(topic);
    this.#tell();
  }

  #tell() {
    const count = this.of(null);
    document.title = count ? `(${count}) ${TITLE}` : TITLE;
    find("icon", HTMLLinkElement).href = count ? "/console/icon-new.svg" : "/console/icon.svg";
    this.onChange();
  }
}
