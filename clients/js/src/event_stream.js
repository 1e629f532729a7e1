// A connection without a WebSocket, for networks that let none through: server-sent events (WHATWG HTML, 9.2) down,
// ordinary requests up. It speaks the same frames as `Socket`, so that the core knows no difference.
//
// By `fetch` rather than `EventSource`: the token stands in a header and not in a URL, a refusal is read as what it is,
// and Node has it.

import { HubError } from "./errors.js";
import { parse } from "./http.js";

/**
 * @import { Handlers, Opening } from "./socket.js"
 */

/** Milliseconds without a byte after which the hub, which sends heartbeats, is taken for lost; or without a beginning. */
const SILENCE = 50_000;
const PATIENCE = 10_000;

/** Statuses that say that coming back would not help, with the close code that says the same. */
const FINAL = /** @type {Record<number, number>} */ ({ 401: 1008, 403: 1008, 429: 1013, 503: 1013, 422: 4500 });

export class EventStream {
  #http;
  #query;
  #token;
  #handlers;
  #abort = new AbortController();
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #timer;
  /** When the hub was last heard of, in milliseconds. */
  #heard = 0;
  /** Changes of what is followed need a stream of their own each: one at a time. @type {Promise<unknown>} */
  #turn = Promise.resolve();

  /** @param {Opening} opening @param {Handlers} handlers */
  constructor({ http, query, token }, handlers) {
    this.#http = http;
    this.#query = query;
    this.#token = token;
    this.#handlers = handlers;
    this.#open(handlers.frame, (error) => this.#fail(error));
  }

  /** @param {any} frame */
  send({ type, ref, event, echo, topics, token }) {
    const answer = (/** @type {any} */ fields) => this.#handlers.frame({ ref, ...fields });
    if (type === "publish") {
      const exclude = echo ? event.exclude : [...(event.exclude ?? []), this.#query.get("client")];
      this.#http.call("/v1/events", { method: "POST", token: this.#token, body: { ...event, exclude } }).then(
        (receipt) => answer({ type: "ok", receipt }),
        // Whether it arrived is not known: as with a connection that is lost.
        (error) => (error.status ? answer({ type: "error", code: error.code, detail: error.detail }) : this.#fail(error)),
      );
      return;
    }
    this.#turn = this.#turn.then(() => this.#change(type, topics, token, answer));
  }

  /** Nobody can be asked; but a sleep shows. */
  probe() {
    if (Date.now() - this.#heard > SILENCE) this.#fail();
  }

  /** Closes it; nothing more is heard of it. */
  close() {
    clearTimeout(this.#timer);
    this.#abort.abort();
  }

  /**
   * Goes on, from the same place, with a stream that has other topics or another token.
   * @param {"subscribe" | "unsubscribe" | "auth"} type
   * @param {string[]} topics
   * @param {string} token
   * @param {(fields: any) => void} answer
   */
  #change(type, topics, token, answer) {
    if (this.#abort.signal.aborted) return undefined;
    const [query, former] = [new URLSearchParams(this.#query), this.#token];
    if (type === "auth") this.#token = token;
    else {
      const others = (query.get("topics") ?? "").split(",").filter((topic) => topic && !topics.includes(topic));
      this.#query.set("topics", (type === "subscribe" ? [...others, ...topics] : others).join(","));
    }
    return new Promise((done) => {
      this.#open(
        (welcome) => {
          done(undefined);
          answer({ ...welcome, type: "ok" });
        },
        (error) => {
          done(undefined);
          if (!error?.status || error.temporary) return this.#fail(error);
          query.set("after", this.#query.get("after") ?? "");
          [this.#query, this.#token] = [query, former];
          this.#open(() => {}, (again) => this.#fail(again));
          return answer({ type: "error", code: error.code, detail: error.detail });
        },
      );
    });
  }

  /**
   * @param {(welcome: any) => void} welcomed gets the first frame
   * @param {(error?: HubError) => void} failed instead of it
   */
  async #open(welcomed, failed) {
    this.close();
    const { signal } = (this.#abort = new AbortController());
    /** @type {((error?: HubError) => void) | null} */
    let waiting = failed;
    const lost = (/** @type {HubError} */ error) => {
      if (signal.aborted) return;
      if (waiting) waiting(error);
      else this.#fail();
    };
    this.#watch(PATIENCE, lost);
    try {
      const { body } = await this.#http.open(`/v1/sse?${this.#query}`, { token: this.#token, signal });
      const reader = /** @type {ReadableStream<Uint8Array>} */ (body).getReader();
      const decoder = new TextDecoder();
      let text = "";
      for (;;) {
        const { done, value } = await reader.read();
        if (done || signal.aborted) break;
        this.#heard = Date.now();
        if (!waiting) this.#watch(SILENCE, lost);
        const blocks = (text + decoder.decode(value, { stream: true })).split("\n\n");
        text = blocks.pop() ?? "";
        for (const block of blocks) {
          const data = /^data: ?(.*)/m.exec(block)?.[1];
          if (data === undefined || signal.aborted) continue; // a heartbeat, or not ours any more
          const frame = parse(data) ?? null;
          if (frame?.type === "close") return this.#end(frame.code, frame.reason);
          if (typeof frame?.cursor === "string") this.#query.set("after", frame.cursor);
          const hear = waiting ? welcomed : this.#handlers.frame;
          waiting = null;
          hear(frame);
        }
      }
      lost(new HubError("unreachable", "", 0));
    } catch (error) {
      lost(error instanceof HubError ? error : new HubError("unreachable", String(error), 0));
    }
    return undefined;
  }

  /** @param {HubError} [error] */
  #fail({ code, detail, status = 0, retryAfter } = new HubError("")) {
    const refused = !code.startsWith("http_") && FINAL[status]; // a proxy's words are not the hub's
    if (refused) this.#end(refused, `${code}: ${detail}`, retryAfter);
    else this.#end(1006, "", retryAfter);
  }

  /** @param {number} code @param {string} reason @param {number} [after] */
  #end(code, reason, after) {
    this.close();
    this.#handlers.closed(code, reason, after);
  }

  /** @param {number} delay @param {(error: HubError) => void} lost */
  #watch(delay, lost) {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => lost(new HubError("unreachable", "", 0)), delay);
  }
}
