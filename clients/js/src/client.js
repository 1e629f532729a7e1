// The runtime of the client: carries out what the core says, with sockets, timers, tokens and promises.

import { provider } from "./auth.js";
import { Core } from "./core.js";
import { Emitter } from "./emitter.js";
import { HubError } from "./errors.js";
import { Http } from "./http.js";
import { Renewal } from "./renewal.js";
import { Socket } from "./socket.js";
import { Stream } from "./stream.js";

/**
 * @import { Input, Output } from "./core.js"
 * @import { WebSocketClass } from "./socket.js"
 * @import { Events, HubEvent, Me, Options, Page, Publication, Receipt, Status } from "./types.js"
 */

export class HubClient {
  #http;
  #provider;
  #WebSocket;
  #core;
  /** @type {Emitter<Events>} */
  #emitter = new Emitter();
  /** Requests on their way, by reference. @type {Map<number, Deferred>} */
  #requests = new Map();
  /** Those who wait for the connection to open. @type {Deferred[]} */
  #waiters = [];
  /** @type {Set<Stream<HubEvent>>} */
  #streams = new Set();
  /** @type {Socket | null} */
  #socket = null;
  #token = "";
  /** The request for a token that is under way; what becomes of an older one concerns nobody. @type {symbol | null} */
  #asking = null;
  /** @type {Status} */
  #status = { state: "idle" };
  /** What is known of the next status. @type {Omit<Status, "state">} */
  #news = {};
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #retry;
  /** When an early retry is allowed, in milliseconds. */
  #notBefore = 0;
  #renewal = new Renewal(() => this.#feed({ kind: "expiring" }));

  /** @param {Options} [options] */
  constructor({ url = globalThis.location?.origin, client = randomName(), ...options } = {}) {
    if (!url) throw new TypeError("url: where is the hub?");
    const WebSocket = options.WebSocket ?? globalThis.WebSocket;
    if (!WebSocket) throw new TypeError("WebSocket: this Node has none; pass the class of the npm package ws.");
    this.#http = new Http(url, options.fetch);
    this.#provider = provider({ url, ...options }, (tokens) => this.#emitter.emit("token", tokens));
    this.#WebSocket = /** @type {WebSocketClass} */ (WebSocket);
    this.#core = new Core({ client, topics: options.topics, after: options.after });
    /** This tab's or process's name. */
    this.client = client;
  }

  /** Where to go on from: the newest cursor seen. A slow reader stores the `cursor` of the event it has dealt with. */
  get cursor() {
    return this.#core.cursor;
  }

  /** `idle`, `authorizing`, `connecting`, `open`, `waiting` or `stopped`. */
  get state() {
    return this.#core.state;
  }

  /** The state with its circumstances. */
  get status() {
    return this.#status;
  }

  /** The topics wanted besides those that the token subscribes by itself. */
  get topics() {
    return [...this.#core.topics];
  }

  /**
   * Connects, and stays connected until `close` or a refusal.
   * @returns {Promise<void>} settles with the first connection; need not be awaited
   * @throws {HubError} the refusal
   */
  connect() {
    if (this.state === "idle" || this.state === "stopped") {
      this.#wake("addEventListener");
      this.#feed({ kind: "start" });
    }
    const opened = this.#opened();
    opened.catch(() => {}); // the state tells it too
    return opened;
  }

  /** Ends the connection and every iteration over events. */
  close() {
    this.#feed({ kind: "stop" });
  }

  /**
   * The network changed, or somebody looks: tries now rather than at the end of a wait (but leaves an overloaded hub its
   * time), or asks an open connection whether it lives. Browsers' own hints of that kind are followed already.
   */
  retry() {
    if (this.state === "open") this.#socket?.probe();
    else if (this.state === "waiting" && Date.now() >= this.#notBefore) this.#feed({ kind: "timer" });
  }

  /**
   * Calls `listener` from now on; one that throws or rejects is told to `error` listeners and harms nobody.
   * @template {keyof Events} Name
   * @param {Name} name
   * @param {(value: Events[Name]) => unknown} listener
   * @returns {() => void} ends it
   */
  on(name, listener) {
    return this.#emitter.on(name, listener);
  }

  /**
   * The events from now on, each once, in order; connects if need be. Ends with `close`.
   * @param {{ buffer?: number }} [options] events that may wait for a slow reader before the iteration throws `buffer_full`
   * @returns {AsyncIterableIterator<HubEvent>} throws a HubError if the hub refuses the connection
   */
  events({ buffer = 10_000 } = {}) {
    /** @type {Stream<HubEvent>} */
    const stream = new Stream(buffer, () => this.#streams.delete(stream));
    this.#streams.add(stream);
    this.connect();
    return stream;
  }

  /**
   * Adds topics, all or none. While there is no connection it notes them for the next.
   * @param {...string} topics
   * @throws {HubError} `forbidden`, `topic_invalid`, `too_many_topics`, `connection_lost`
   */
  async subscribe(...topics) {
    await this.#request({ kind: "subscribe", topics });
  }

  /** @param {...string} topics */
  async unsubscribe(...topics) {
    await this.#request({ kind: "unsubscribe", topics });
  }

  /**
   * Publishes over the socket. If the connection is lost before the receipt came, a durable event is published again,
   * under the same id, as soon as there is a new one: it arrives once.
   * @param {Publication} event
   * @param {{ echo?: boolean }} [options] `echo`: this client is sent it, too
   * @returns {Promise<Receipt>}
   * @throws {HubError} `not_connected`, `forbidden`, `event_invalid`, `event_too_large`, …
   */
  async publish(event, { echo } = {}) {
    const repeatable = event.durable !== false;
    const named = repeatable ? { id: randomName(), ...event } : event;
    for (;;) {
      try {
        return (await this.#request({ kind: "publish", event: named, echo })).receipt;
      } catch (error) {
        if (!repeatable || !(error instanceof HubError) || error.code !== "connection_lost") throw error;
        await this.#opened();
      }
    }
  }

  /**
   * Reads the log. Without `after`: the newest `limit` events, oldest first.
   * @param {string[]} topics
   * @param {{ after?: string, limit?: number }} [options] `after`: a cursor, or `earliest`
   * @returns {Promise<Page>}
   */
  async history(topics, { after, limit } = {}) {
    const query = new URLSearchParams({ topics: topics.join(",") });
    if (after !== undefined) query.set("after", after);
    if (limit !== undefined) query.set("limit", String(limit));
    const page = await this.#call(`/v1/events?${query}`);
    return { ...page, events: page.events.map(flat) };
  }

  /** Who is in the topic. @param {string} topic @returns {Promise<string[]>} */
  async presence(topic) {
    return (await this.#call(`/v1/presence/${encodeURIComponent(topic)}`)).users;
  }

  /** Who the token says I am and what I may do. @returns {Promise<Me>} */
  me() {
    return this.#call("/v1/me");
  }

  // --- The core's inputs and outputs

  /** @param {Input} input */
  #feed(input) {
    for (const output of this.#core.handle(input)) this.#carryOut(output);
    if (this.state !== this.#status.state) this.#enter();
  }

  /** @param {Output} output */
  #carryOut(output) {
    switch (output.do) {
      case "token":
        return void this.#authorize(output["fresh"]);
      case "open":
        return this.#open(output);
      case "send":
        return this.#socket?.send(output["frame"]);
      case "deliver":
        return this.#deliver(flat(output));
      case "notify":
        return this.#notify(output);
      case "settle":
        return this.#settle(output);
      case "wait":
        return this.#wait(output["min"], output["max"]);
      case "stop":
        this.#news.code = output["code"];
    }
  }

  /** @param {boolean} fresh */
  async #authorize(fresh) {
    const asking = (this.#asking = Symbol());
    let token;
    try {
      token = await this.#provider({ fresh });
    } catch (error) {
      if (asking !== this.#asking) return;
      this.#news.error = error;
      const known = error instanceof HubError ? error : null;
      const code = known?.code === "token_unavailable" ? undefined : known?.code;
      this.#feed({ kind: "token_failed", retry: !known || known.temporary, code });
      if (this.state === "open") this.#renewal.again();
      return;
    }
    if (asking !== this.#asking) return;
    this.#token = token;
    this.#feed({ kind: "token", value: token });
  }

  /** @param {Output} output */
  #open({ topics, after, client }) {
    const query = new URLSearchParams({ client });
    if (topics.length) query.set("topics", topics.join(","));
    if (after !== null) query.set("after", after);
    const url = `${this.#http.base.replace(/^http/i, "ws")}/v1/ws?${query}`;
    const closed = (/** @type {number} */ code, /** @type {string} */ reason) => {
      this.#news = { close: { code, reason } };
      this.#feed({ kind: "closed", code, reason });
    };
    /** Events that came while catching up; null when that is over. @type {number | null} */
    let missed = after === null ? null : 0;
    const frame = (/** @type {any} */ frame) => {
      if (frame?.type === "welcome" && this.state === "connecting") this.#news = { welcome: frame };
      this.#feed({ kind: "frame", frame });
      if (missed !== null && frame?.type === "event" && frame.cursor != null) missed += 1;
      if (missed !== null && frame?.type === "cursor") {
        this.#emitter.emit("resumed", { events: missed });
        missed = null;
      }
      if (typeof frame?.expires === "number" && this.state === "open") this.#renewal.set(frame.expires);
    };
    try {
      this.#socket = new Socket(this.#WebSocket, url, ["hub.v1", `bearer.${this.#token}`], { frame, closed });
    } catch {
      closed(1008, "token_malformed: It has characters that no JWT has.");
    }
  }

  /** @param {Output} output */
  #notify({ do: _, kind, ...rest }) {
    if (kind === "presence" || kind === "reset") this.#emitter.emit(kind, /** @type {any} */ (rest));
    else if (kind !== "open") this.#emitter.fail(new HubError(rest["code"] ?? "frame_invalid", rest["detail"]));
  }

  /** @param {HubEvent} event */
  #deliver(event) {
    this.#emitter.emit("event", event);
    for (const stream of [...this.#streams]) stream.push(event);
  }

  /** @param {Output} output */
  #settle({ ref, ok, frame, code }) {
    const request = this.#requests.get(ref);
    this.#requests.delete(ref);
    if (ok) return request?.resolve(frame);
    const error = new HubError(code ?? frame.code, frame?.detail);
    if (request) request.reject(error);
    else if (frame) this.#emitter.fail(error); // nobody waits for it: a renewed token was refused, say
  }

  /** @param {number} min @param {number} max seconds */
  #wait(min, max) {
    const wait = min + Math.random() * (max - min);
    this.#news.wait = wait;
    this.#notBefore = Date.now() + min * 1000;
    this.#retry = setTimeout(() => this.#feed({ kind: "timer" }), wait * 1000);
  }

  /** A new state, and what follows from it. */
  #enter() {
    const state = this.state;
    if (state !== "authorizing") this.#asking = null;
    if (state !== "waiting") clearTimeout(this.#retry);
    if (state !== "open") this.#renewal.stop();
    if (state !== "open" && state !== "connecting") {
      this.#socket?.close();
      this.#socket = null;
    }
    const status = { state, ...this.#news };
    this.#status = status;
    delete this.#news.wait; // the next state is another
    delete this.#news.error;
    if (state === "stopped") this.#finish(status);
    if (state === "open") for (const waiter of this.#waiters.splice(0)) waiter.resolve(undefined);
    this.#emitter.emit("state", status);
  }

  /** @param {Status} status */
  #finish({ code = "closed", close, error: cause }) {
    this.#news = {};
    this.#wake("removeEventListener");
    const words = close?.reason.startsWith(`${code}:`) ? close.reason.slice(code.length + 1).trim() : "";
    const error = cause instanceof HubError && cause.code === code ? cause : new HubError(code, words);
    for (const waiter of this.#waiters.splice(0)) waiter.reject(error);
    for (const stream of [...this.#streams]) stream.end(this.#status.code && error);
  }

  // --- Requests

  /** @param {Input} input @returns {Promise<any>} the answer */
  #request(input) {
    return new Promise((resolve, reject) => {
      this.#requests.set(this.#core.nextRef, { resolve, reject });
      this.#feed(input);
    });
  }

  /** @returns {Promise<void>} */
  #opened() {
    if (this.state === "open") return Promise.resolve();
    if (this.state === "stopped") return Promise.reject(new HubError(this.#status.code ?? "closed"));
    return new Promise((resolve, reject) => this.#waiters.push({ resolve, reject }));
  }

  /** @param {string} path */
  async #call(path) {
    try {
      return await this.#http.call(path, { token: await this.#provider({ fresh: false }) });
    } catch (error) {
      if (!(error instanceof HubError) || !/^token_(expired|revoked)$/.test(error.code)) throw error;
      return await this.#http.call(path, { token: await this.#provider({ fresh: true }) });
    }
  }

  // --- Hints

  /** Listens to what a browser tells of the network. @param {"addEventListener" | "removeEventListener"} what */
  #wake(what) {
    globalThis[what]?.("online", this.#hint);
    globalThis[what]?.("offline", this.#hint);
    globalThis.document?.[what]("visibilitychange", this.#hint);
  }

  #hint = () => {
    if (globalThis.document?.visibilityState !== "hidden") this.retry();
  };
}

/** @typedef {{ resolve: (value: any) => void, reject: (error: HubError) => void }} Deferred */

/** @param {Record<string, any>} frame @returns {HubEvent} */
function flat({ topic, cursor = null, event }) {
  return { source: "", time: "", data: null, ...event, topic, cursor };
}

/** 16 random letters and digits; not `randomUUID`, which browsers keep from pages without TLS. */
function randomName() {
  return Array.from(crypto.getRandomValues(new Uint8Array(8)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}
