// One WebSocket, and whether it lives. A browser shows no pings and may not notice a dead network for minutes, so a
// quiet connection is asked, and one that does not answer is taken for lost.

import { parse } from "./http.js";

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
 *
 * What a connection is opened with.
 * @typedef {{ http: import("./http.js").Http, query: URLSearchParams, token: string }} Opening
 *
 * Who is told. `frame` gets a frame's JSON, null for what is none. `closed` is called once, unless `close` was called before;
 * `after` are the seconds that the hub wants to be left alone.
 * @typedef {{ frame: (frame: any) => void, closed: (code: number, reason: string, after?: number) => void }} Handlers
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
   * @param {Opening} opening
   * @param {Handlers} handlers
   * @throws {DOMException} SyntaxError, if the token has characters that no header can carry
   */
  constructor(WebSocket, { http, query, token }, handlers) {
    this.#handlers = handlers;
    const url = `${http.base.replace(/^http/i, "ws")}/v1/ws?${query}`;
    const socket = new WebSocket(url, ["hub.v1", `bearer.${token}`]);
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
    const frame = parse(String(data)) ?? null;
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
