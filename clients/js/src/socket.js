// One WebSocket, and whether it lives. A browser shows no pings and may not notice a dead network for minutes, so a
// quiet connection is asked, and one that does not answer is taken for lost.

/**
 * The part of the WebSocket interface (https://websockets.spec.whatwg.org) that the client needs.
 * @typedef {object} WebSocketLike
 * @property {(text: string) => void} send
 * @property {(code?: number, reason?: string) => void} close
 * @property {number} readyState
 * @property {any} onmessage
 * @property {any} onclose
 * @property {any} onerror
 *
 * @typedef {new (url: string, protocols: string[]) => WebSocketLike} WebSocketClass
 */

/** Milliseconds without a frame after which the hub is asked, and that it then has to answer, or to welcome. */
const QUIET = 25_000;
const PATIENCE = 10_000;

/** The reference of this module's own pings; other requests have numbers. */
const PING = "ping";

export class Socket {
  #socket;
  #handlers;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #timer;

  /**
   * @param {WebSocketClass} WebSocket
   * @param {string} url
   * @param {string[]} protocols
   * @param {{ frame: (frame: unknown) => void, closed: (code: number, reason: string) => void }} handlers
   *   `frame` gets a frame's JSON, null for what is none. `closed` is called once, unless `close` was called before.
   * @throws {DOMException} SyntaxError, if a protocol has characters that no header can carry
   */
  constructor(WebSocket, url, protocols, handlers) {
    this.#handlers = handlers;
    const socket = new WebSocket(url, protocols);
    this.#socket = socket;
    socket.onmessage = (/** @type {{ data: unknown }} */ { data }) => this.#message(data);
    socket.onclose = (/** @type {{ code: number, reason: string }} */ { code, reason }) => this.#end(code, reason);
    socket.onerror = () => {}; // says nothing, and is followed by a close
    this.#watch(PATIENCE, () => this.#lost());
  }

  /** @param {unknown} frame */
  send(frame) {
    // Sending on a socket that has begun to close would throw; its close event is on the way.
    if (this.#socket.readyState === 1) this.#socket.send(JSON.stringify(frame));
  }

  /** Asks the hub now whether it is there, as after the network changed. */
  probe() {
    if (this.#socket.readyState !== 1) return; // the welcome is awaited already
    this.send({ type: "ping", ref: PING });
    this.#watch(PATIENCE, () => this.#lost());
  }

  /** Closes it; nothing more is heard of it. */
  close() {
    this.#detach();
    this.#socket.close(1000);
  }

  /** @param {unknown} data */
  #message(data) {
    this.#watch(QUIET, () => this.probe());
    const frame = parse(String(data));
    if (frame?.ref !== PING) this.#handlers.frame(frame);
  }

  #lost() {
    this.close();
    this.#handlers.closed(1006, "");
  }

  /** @param {number} code @param {string} reason */
  #end(code, reason) {
    this.#detach();
    this.#handlers.closed(code, reason);
  }

  #detach() {
    clearTimeout(this.#timer);
    this.#socket.onmessage = this.#socket.onclose = null;
  }

  /** @param {number} delay @param {() => void} then */
  #watch(delay, then) {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(then, delay);
  }
}

/** @param {string} text @returns {any} */
function parse(text) {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}
