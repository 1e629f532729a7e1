// The client's state machine, sans I/O: inputs in, outputs out, in order. It knows no clock, no chance, no socket.
//
// docs/protocol.md, sections 4 and 5, is its specification; the vectors in tests/vectors/client hold it to that.

import { isValid } from "./frames.js";

/**
 * @typedef {"idle" | "authorizing" | "connecting" | "open" | "waiting" | "stopped"} State
 * @typedef {Record<string, any>} Frame a frame of the protocol
 * @typedef {Record<string, any> & { kind: string }} Input
 * @typedef {Record<string, any> & { do: string }} Output
 */

/** Seconds: the first wait's bound, any wait's bound, and what an overloaded hub is given on top. */
const BASE = 0.5;
const CAP = 30;
const OVERLOADED = 5;

/** Close codes that say that this client broke the protocol: doing it again would not help. */
const BROKEN = new Set([1002, 1003, 1007, 1009, 1010]);

export class Core {
  /** @type {State} */
  state = "idle";
  /** @type {string | null} */
  cursor;
  /** The topics wanted besides those that the token subscribes by itself. @type {string[]} */
  topics;

  #client;
  /** Connections lost since the last welcome. */
  #attempt = 0;
  #refs = 0;
  /** Requests that were sent and not answered. @type {Map<number, { frame: Frame, own: boolean }>} */
  #unsettled = new Map();
  /** The topics that the connection was opened with. @type {string[]} */
  #opened = [];
  /** Why the last token was refused, while a fresh one has not been tried: it gets one chance. */
  #refusal = "";
  /** The next token must be a fresh one. */
  #fresh = false;
  /** A fresh token was asked for while open. */
  #renewing = false;

  /** @param {{ client: string, topics?: string[], after?: string | null }} options */
  constructor({ client, topics = [], after = null }) {
    this.#client = client;
    this.topics = [...new Set(topics)];
    this.cursor = after;
  }

  /** The reference that the next request will have. */
  get nextRef() {
    return this.#refs + 1;
  }

  /** @param {Input} input @returns {Output[]} */
  handle(input) {
    switch (input.kind) {
      case "start":
        return this.#start();
      case "token":
        return this.#token(input["value"]);
      case "token_failed":
        return this.#tokenFailed(input["retry"], input["code"]);
      case "frame":
        return this.#frame(input["frame"]);
      case "subscribe":
      case "unsubscribe":
        return this.#change(input.kind, input["topics"]);
      case "publish":
        return this.#publish(input);
      case "expiring":
        if (this.state !== "open" || this.#renewing) return [];
        this.#renewing = true;
        return [{ do: "token", fresh: true }];
      case "closed":
        return this.#closed(input["code"], input["reason"]);
      case "timer":
        return this.state === "waiting" ? this.#authorize() : [];
      default: // stop
        return this.#stop();
    }
  }

  /** @returns {Output[]} */
  #start() {
    if (this.state !== "idle" && this.state !== "stopped") return [];
    this.#attempt = 0;
    this.#refusal = "";
    this.#fresh = false;
    return this.#authorize();
  }

  /** @returns {Output[]} */
  #authorize() {
    this.state = "authorizing";
    return [{ do: "token", fresh: this.#fresh }];
  }

  /** @param {string} value @returns {Output[]} */
  #token(value) {
    if (this.state === "authorizing") {
      this.state = "connecting";
      this.#fresh = false;
      this.#opened = this.topics;
      return [{ do: "open", topics: [...this.topics], after: this.cursor, client: this.#client }];
    }
    if (this.state !== "open" || !this.#renewing) return [];
    this.#renewing = false;
    return [this.#request({ type: "auth", token: value })];
  }

  /** @param {boolean} retry @param {string} [code] @returns {Output[]} */
  #tokenFailed(retry, code) {
    this.#renewing = false; // an open connection lives on until the hub ends it
    if (this.state !== "authorizing") return [];
    return retry ? this.#wait(0) : this.#refused(code ?? (this.#refusal || "token_unavailable"));
  }

  /** @param {unknown} frame @returns {Output[]} */
  #frame(frame) {
    const connecting = this.state === "connecting";
    if (!connecting && this.state !== "open") return []; // of a connection that is over
    if (!isValid(frame)) return [{ do: "notify", kind: "invalid" }];
    if (connecting !== (frame["type"] === "welcome")) return []; // the first frame, and only that
    switch (frame["type"]) {
      case "welcome":
        return this.#welcome(frame);
      case "event":
        this.#move(frame);
        return [{ ...frame, do: "deliver" }];
      case "cursor":
        this.#move(frame);
        return [];
      case "reset":
        this.#move(frame);
        return [{ do: "notify", kind: "reset", reason: frame["reason"] }];
      case "presence":
        return this.#presence(frame);
      case "ok":
        return this.#answer(frame, true);
      case "error":
        if (frame["ref"] != null) return this.#answer(frame, false);
        return [{ do: "notify", kind: "error", code: frame["code"], detail: frame["detail"] ?? null }];
      default:
        return []; // a newer hub says more than this client knows
    }
  }

  /** @param {Frame} frame @returns {Output[]} */
  #welcome(frame) {
    this.state = "open";
    this.#attempt = 0;
    this.#refusal = "";
    this.#move(frame);
    /** @type {Output[]} */
    const outputs = [{ do: "notify", kind: "open" }];
    // What was asked for after the URL was written.
    const added = this.topics.filter((topic) => !this.#opened.includes(topic));
    const left = this.#opened.filter((topic) => !this.topics.includes(topic));
    if (added.length) outputs.push(this.#request({ type: "subscribe", topics: added }, true));
    if (left.length) outputs.push(this.#request({ type: "unsubscribe", topics: left }, true));
    return outputs;
  }

  /** @param {Frame} frame @returns {Output[]} */
  #presence({ type: _, ...fields }) {
    const known = ["state", "join", "leave"].includes(fields["action"]);
    return known ? [{ ...fields, do: "notify", kind: "presence" }] : [];
  }

  /** @param {Frame} frame @param {boolean} ok @returns {Output[]} */
  #answer(frame, ok) {
    const ref = frame["ref"];
    const request = this.#unsettled.get(ref);
    if (!request) return [];
    this.#unsettled.delete(ref);
    const { type, topics } = request.frame;
    if (topics && ok) {
      this.#move(frame);
      this.#want(type, topics);
    }
    // Else the next connection would be refused for it.
    if (type === "subscribe" && !ok && request.own) this.#want("unsubscribe", topics);
    return [{ do: "settle", ref, ok, frame }];
  }

  /** @param {"subscribe" | "unsubscribe"} type @param {string[]} topics @returns {Output[]} */
  #change(type, topics) {
    if (this.state === "open") return [this.#request({ type, topics: [...topics] })];
    this.#want(type, topics);
    return [{ do: "settle", ref: ++this.#refs, ok: true }];
  }

  /** @param {Input} input @returns {Output[]} */
  #publish({ event, echo }) {
    if (this.state === "open") {
      return [this.#request(echo === undefined ? { type: "publish", event } : { type: "publish", event, echo })];
    }
    return [{ do: "settle", ref: ++this.#refs, ok: false, code: "not_connected" }];
  }

  /** @param {number} code @param {string} reason @returns {Output[]} */
  #closed(code, reason) {
    if (this.state !== "connecting" && this.state !== "open") return [];
    const wasOpen = this.state === "open";
    const outputs = this.#abandon();
    const name = /^([a-z][a-z0-9_]*)(:|$)/.exec(reason)?.[1] ?? `close_${code}`;
    if (code === 1008 && (name === "token_expired" || name === "token_revoked") && !this.#refusal) {
      this.#refusal = name;
      this.#fresh = true;
      return [...outputs, ...this.#authorize()];
    }
    if (code === 1008 || BROKEN.has(code) || (code >= 4500 && code <= 4999)) {
      return [...outputs, ...this.#refused(name)];
    }
    this.#refusal = ""; // nobody refused the fresh token
    // Come back now; but a hub that says so before its welcome is not stormed.
    if (code >= 4000 && code <= 4499 && wasOpen) return [...outputs, ...this.#authorize()];
    return [...outputs, ...this.#wait(code === 1013 ? OVERLOADED : 0)];
  }

  /** @returns {Output[]} */
  #stop() {
    const outputs = this.#abandon();
    if (this.state === "open" || this.state === "connecting") outputs.unshift({ do: "close" });
    this.state = "stopped";
    return outputs;
  }

  /** @param {number} min seconds @returns {Output[]} */
  #wait(min) {
    const max = min + Math.min(CAP, BASE * 2 ** this.#attempt);
    this.#attempt += 1;
    this.state = "waiting";
    return [{ do: "wait", min, max }];
  }

  /** @param {string} code @returns {Output[]} */
  #refused(code) {
    this.state = "stopped";
    return [{ do: "stop", code }];
  }

  /** @param {Frame} content @param {boolean} [own] nobody else waits for the answer @returns {Output} */
  #request({ type, ...rest }, own = false) {
    const frame = { type, ref: ++this.#refs, ...rest };
    this.#unsettled.set(frame.ref, { frame, own });
    return { do: "send", frame };
  }

  /** @returns {Output[]} */
  #abandon() {
    const refs = [...this.#unsettled.keys()];
    this.#unsettled.clear();
    this.#renewing = false;
    return refs.map((ref) => ({ do: "settle", ref, ok: false, code: "connection_lost" }));
  }

  /** @param {string} type @param {string[]} topics */
  #want(type, topics) {
    this.topics =
      type === "subscribe"
        ? [...new Set([...this.topics, ...topics])]
        : this.topics.filter((topic) => !topics.includes(topic));
  }

  /** @param {Frame} frame */
  #move({ cursor }) {
    if (typeof cursor === "string") this.cursor = cursor;
  }
}
