// The runtime of the core: carries out what it says, with connections, timers and tokens. It knows no listeners and no
// streams: whoever made it is told what happens, by name, as `HubClient` tells it on.

import { HubError } from "./errors.js";
import { queryOf } from "./http.js";
import { Renewal } from "./renewal.js";
import { Socket } from "./socket.js";

/**
 * @import { Core, Input, Output } from "./core.js"
 * @import { Http } from "./http.js"
 * @import { WebSocketClass } from "./socket.js"
 * @import { Events, HubEvent, Status, TokenProvider } from "./types.js"
 *
 * @typedef {object} Setup
 * @property {Http} http
 * @property {TokenProvider} provider
 * @property {WebSocketClass | undefined} WebSocket undefined: server-sent events only
 * @property {boolean} fallback whether server-sent events may be used
 *
 * What happens. `cursor`: everything up to there has been told.
 * @typedef {Events & { cursor: string | null }} News
 * @typedef {<Name extends keyof News>(name: Name, value: News[Name]) => void} Tell
 */

export class Line {
  #setup;
  /** Requests on their way, by reference. @type {Map<number, { resolve: (frame: any) => void, reject: (error: HubError) => void }>} */
  #requests = new Map();
  /** @type {Socket | import("./event_stream.js").EventStream | null} */
  #connection = null;
  /** The event stream whose code is being loaded, for those who need one. @type {symbol | null} */
  #loading = null;
  /** Server-sent events worked where a WebSocket did not: they are tried first. */
  #blocked = false;
  #token = "";
  /** The request for a token that is under way; what becomes of an older one concerns nobody. @type {symbol | null} */
  #asking = null;
  /** What is known of the next status. @type {Omit<Status, "state">} */
  #news = {};
  /** Seconds for which the hub wants to be left alone. */
  #after = 0;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #retry;
  /** When an early retry is allowed, in milliseconds. */
  #notBefore = 0;
  #renewal = new Renewal(() => this.#feed({ kind: "expiring" }));
  /** @type {string | null} */
  #told;

  /** @type {Status} */
  status = { state: "idle" };

  /** @param {Core} core @param {Setup} setup @param {Tell} tell */
  constructor(core, setup, tell) {
    this.core = core;
    this.#setup = setup;
    /** Who is told. */
    this.tell = tell;
    this.#told = core.cursor;
  }

  get topics() {
    return this.core.topics;
  }

  start() {
    this.#feed({ kind: "start" });
  }

  stop() {
    this.#feed({ kind: "stop" });
  }

  /** See `HubClient.retry`. */
  retry() {
    this.#blocked = false; // it may be another network
    const { state } = this.core;
    if (state === "open") this.#connection?.probe();
    else if (state === "waiting" && Date.now() >= this.#notBefore) this.#feed({ kind: "timer" });
  }

  /** @param {Input} input @returns {Promise<any>} the answer */
  request(input) {
    return new Promise((resolve, reject) => {
      this.#requests.set(this.core.nextRef, { resolve, reject });
      this.#feed(input);
    });
  }

  /** @param {Input} input */
  #feed(input) {
    for (const output of this.core.handle(input)) this.#carryOut(output);
    if (this.core.cursor !== this.#told) this.tell("cursor", (this.#told = this.core.cursor));
    if (this.core.state !== this.status.state) this.#enter();
  }

  /** @param {Output} output */
  #carryOut(output) {
    switch (output.do) {
      case "token":
        return void this.#authorize(output["fresh"]);
      case "open":
        return this.#open(output);
      case "send":
        return this.#connection?.send(output["frame"]);
      case "deliver":
        return this.tell("event", flat(output));
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
      token = await this.#setup.provider({ fresh });
    } catch (error) {
      if (asking !== this.#asking) return;
      this.#news.error = error;
      const known = error instanceof HubError ? error : null;
      const code = known?.code === "token_unavailable" ? undefined : known?.code;
      this.#after = known?.retryAfter ?? 0;
      this.#feed({ kind: "token_failed", retry: !known || known.temporary, code });
      if (this.core.state === "open") this.#renewal.again();
      return;
    }
    if (asking !== this.#asking) return;
    this.#token = token;
    this.#feed({ kind: "token", value: token });
  }

  /** @param {Output} output */
  #open({ topics, after, client }) {
    const { http, WebSocket, fallback } = this.#setup;
    /** Events that came while catching up; null when that is over. @type {number | null} */
    let missed = after === null ? null : 0;
    let welcome = false;
    let streams = false;
    const frame = (/** @type {any} */ frame) => {
      if (frame?.type === "welcome" && this.core.state === "connecting") {
        welcome = true;
        this.#blocked = streams;
        this.#news = { welcome: frame };
      }
      this.#feed({ kind: "frame", frame });
      if (missed !== null && frame?.type === "event" && frame.cursor != null) missed += 1;
      if (missed !== null && frame?.type === "cursor") {
        this.tell("resumed", { events: missed });
        missed = null;
      }
      if (typeof frame?.expires === "number" && this.core.state === "open") this.#renewal.set(frame.expires);
    };
    const opening = { http, query: queryOf({ client, topics, after }), token: this.#token };
    const connect = (/** @type {boolean} */ stream) => {
      const closed = (/** @type {number} */ code, /** @type {string} */ reason, after = 0) => {
        // At the same moment, over HTTP: what fails, too, is not there, and what works was blocked.
        if (!welcome && !stream && fallback && code === 1006) return connect(true);
        if (!welcome) this.#blocked = false;
        this.#news = { close: { code, reason } };
        this.#after = after;
        return this.#feed({ kind: "closed", code, reason });
      };
      streams = stream;
      const handlers = { frame, closed };
      if (!stream && WebSocket) {
        try {
          this.#connection = new Socket(WebSocket, opening, handlers);
        } catch {
          closed(1008, "token_malformed");
        }
        return;
      }
      const mine = (this.#loading = Symbol());
      import("./event_stream.js").then(
        ({ EventStream }) => {
          if (mine === this.#loading) this.#connection = new EventStream(opening, handlers);
        },
        () => mine === this.#loading && closed(1006, ""),
      );
    };
    connect(this.#blocked || !WebSocket);
  }

  /** @param {Output} output */
  #notify({ do: _, kind, ...rest }) {
    if (kind === "presence" || kind === "reset") this.tell(kind, /** @type {any} */ (rest));
    else if (kind !== "open") this.tell("error", new HubError(rest["code"] ?? "frame_invalid", rest["detail"]));
  }

  /** @param {Output} output */
  #settle({ ref, ok, frame, code }) {
    const request = this.#requests.get(ref);
    this.#requests.delete(ref);
    if (ok) return request?.resolve(frame);
    const error = new HubError(code ?? frame.code, frame?.detail);
    if (request) request.reject(error);
    else if (frame) this.tell("error", error); // nobody waits for it: a renewed token was refused, say
  }

  /** @param {number} min @param {number} max seconds */
  #wait(min, max) {
    const least = Math.max(min, this.#after);
    const wait = least + Math.random() * (max - min);
    this.#news.wait = wait;
    this.#notBefore = Date.now() + least * 1000;
    this.#retry = setTimeout(() => this.#feed({ kind: "timer" }), wait * 1000);
  }

  /** A new state, and what follows from it. */
  #enter() {
    const { state } = this.core;
    if (state !== "authorizing") this.#asking = null;
    if (state !== "waiting") clearTimeout(this.#retry);
    if (state !== "open") this.#renewal.stop();
    if (state !== "open" && state !== "connecting") {
      this.#connection?.close();
      this.#connection = this.#loading = null;
    }
    const status = { state, ...this.#news };
    this.status = status;
    delete this.#news.wait; // the next state is another
    delete this.#news.error;
    if (state === "stopped") this.#news = {};
    this.tell("state", status);
  }
}

/** @param {Record<string, any>} frame @returns {HubEvent} */
export function flat({ topic, cursor = null, event }) {
  return { source: "", time: "", data: null, ...event, topic, cursor };
}
