// Where in the log this tab is, and what the hub calls it: for those who look for it in the hub's own log.

import { find, make } from "./dom.js";

/** Milliseconds between two looks at what may have changed. */
const PERIOD = 1000;

export class Facts {
  #list = find("facts", HTMLElement);
  #shown = "";
  /** @type {import("/client/index.js").HubClient | null} */
  client = null;

  constructor() {
    setInterval(() => this.draw(), PERIOD);
  }

  draw() {
    if (!this.client || document.visibilityState === "hidden") return;
    const { cursor, client, status } = this.client;
    const facts = Object.entries({
      Cursor: cursor ?? "none",
      "This tab": client,
      Connection: String(status.welcome?.["connection"] ?? "none"),
    });
    // Left alone while it says the same, so that it can be selected and copied.
    const text = JSON.stringify(facts);
    if (text === this.#shown) return;
    this.#shown = text;
    this.#list.replaceChildren(
      ...facts.flatMap(([name, value]) => [make("dt", {}, name), make("dd", { title: value }, value)]),
    );
  }
}
