// Sending: one line to a topic, or a whole event.

import { find } from "./dom.js";
import { explainError } from "./words.js";

/** @typedef {import("/client/types.js").Publication} Publication */

export class Compose {
  #said = find("compose-said", HTMLElement);
  #message = find("message", HTMLFormElement);
  #messageTopic = find("message-topic", HTMLInputElement);
  #messageText = find("message-text", HTMLInputElement);
  #event = find("event", HTMLFormElement);
  #type = find("event-type", HTMLInputElement);
  #target = find("event-target", HTMLSelectElement);
  #names = find("event-names", HTMLInputElement);
  #data = find("event-data", HTMLTextAreaElement);
  #ephemeral = find("event-ephemeral", HTMLInputElement);
  #publish;

  /** @param {(event: Publication) => Promise<import("/client/types.js").Receipt>} publish */
  constructor(publish) {
    this.#publish = publish;
    const modes = /** @type {const} */ ([
      ["mode-message", this.#message],
      ["mode-event", this.#event],
    ]);
    for (const [id] of modes) {
      find(id, HTMLButtonElement).addEventListener("click", () => {
        for (const [other, form] of modes) {
          form.hidden = other !== id;
          find(other, HTMLButtonElement).setAttribute("aria-pressed", String(other === id));
        }
        this.#say("");
        (id === "mode-event" ? this.#type : this.#messageText).focus();
      });
    }
    this.#message.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#sendMessage();
    });
    this.#event.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#sendEvent();
    });
    this.#data.addEventListener("keydown", (event) => {
      if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) this.#event.requestSubmit();
    });
    this.#data.addEventListener("input", () => this.#data.setCustomValidity(""));
    this.#target.addEventListener("change", () => this.#aim());
    this.#aim();
  }

  /** Aims at the topic that is looked at. @param {string | null} topic */
  select(topic) {
    if (topic === null || topic === "all" || topic.startsWith("user:")) return;
    this.#messageTopic.value = topic;
    if (this.#target.value === "topics") this.#names.value = topic;
  }

  reset() {
    this.#message.reset();
    this.#event.reset();
    this.#aim();
    this.#say("");
  }

  #aim() {
    const everybody = this.#target.value === "all";
    this.#names.disabled = everybody;
    this.#names.required = !everybody;
    this.#names.placeholder = everybody ? "" : this.#target.value === "users" ? "alice, bob" : "orders, chat:lobby";
  }

  #sendMessage() {
    const text = this.#messageText.value.trim();
    const topic = this.#messageTopic.value.trim();
    if (!text || !topic) return;
    this.#send(this.#message, { type: "chat.message", data: { text }, to: { topics: [topic] } }, () => {
      this.#messageText.value = "";
      this.#messageText.focus();
    });
  }

  #sendEvent() {
    let data = null;
    try {
      if (this.#data.value.trim()) data = JSON.parse(this.#data.value);
    } catch (error) {
      this.#data.setCustomValidity(`This is not JSON: ${error instanceof Error ? error.message : error}`);
      this.#data.reportValidity();
      return;
    }
    const names = this.#names.value.split(",").map((name) => name.trim()).filter(Boolean); // prettier-ignore
    const target = this.#target.value;
    const to = target === "all" ? { all: true } : { [target]: names };
    const durable = !this.#ephemeral.checked;
    this.#send(this.#event, { type: this.#type.value.trim(), data, to, durable }, () => {});
  }

  /** @param {HTMLFormElement} form @param {Publication} event @param {() => void} done */
  async #send(form, event, done) {
    if (form.ariaBusy === "true") return;
    form.ariaBusy = "true";
    this.#say("Sending…");
    try {
      const { cursor } = await this.#publish(event);
      this.#say(cursor === null ? "Sent to those who are there." : `In the log at ${cursor}.`);
      done();
    } catch (error) {
      this.#say(explainError(error), true);
    } finally {
      form.ariaBusy = "false";
    }
  }

  /** @param {string} words @param {boolean} [bad] */
  #say(words, bad = false) {
    this.#said.textContent = words;
    this.#said.classList.toggle("bad", bad);
  }
}
