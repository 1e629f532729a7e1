// The state of the connection, in one word and one colour, with the seconds until the next try.

import { find } from "./dom.js";
import { span } from "./time.js";
import { nameRefusal } from "./words.js";

/** @typedef {import("/client/types.js").Status} Status */

export class Pill {
  #pill = find("pill", HTMLElement);
  #text = find("pill-text", HTMLElement);
  #clock = find("pill-clock", HTMLElement);
  #retry = find("retry", HTMLButtonElement);
  /** @type {ReturnType<typeof setInterval> | undefined} */
  #ticking;

  /** @param {() => void} onRetry */
  constructor(onRetry) {
    this.#retry.addEventListener("click", onRetry);
  }

  /** @param {Status} status @param {boolean} again whether it had been open before */
  show({ state, wait, code, close }, again) {
    clearInterval(this.#ticking);
    this.#clock.textContent = "";
    const waiting = state === "waiting";
    if (waiting && wait !== undefined) this.#countDown(Date.now() + wait * 1000);
    this.#retry.hidden = !waiting;
    const refused = state === "stopped" && code !== undefined;
    this.#say(refused ? "refused" : state, {
      idle: "Signed out",
      authorizing: again ? "Reconnecting" : "Connecting",
      connecting: again ? "Reconnecting" : "Connecting",
      open: "Live",
      waiting: "Reconnecting",
      stopped: refused ? `Refused: ${nameRefusal(code, close).join(" ").trim()}` : "Signed out",
    }[state]);
  }

  /** @param {string} state @param {string} words */
  #say(state, words) {
    this.#pill.dataset["state"] = state;
    document.documentElement.dataset["connection"] = state; // the end of the line shows it, too
    if (this.#text.textContent !== words) this.#text.textContent = words; // said once, not at each try
  }

  /** @param {number} until milliseconds */
  #countDown(until) {
    const tick = () => {
      const left = (until - Date.now()) / 1000;
      this.#clock.textContent = left > 0.5 ? `in ${span(left)}` : "now";
    };
    tick();
    this.#ticking = setInterval(tick, 500);
  }
}
