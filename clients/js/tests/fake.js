// A WebSocket, a hub's HTTP side and a browser's window, as far as the client sees them: no network, no time.
// And the vectors that every client of the hub is held to.

import { readdirSync, readFileSync } from "node:fs";

const VECTORS = new URL("../../../tests/vectors/", import.meta.url);

/** @param {string} folder @param {string} [prefix] of the files' names @returns {any[]} */
export function vectors(folder, prefix = "") {
  const files = readdirSync(new URL(folder, VECTORS)).filter((name) => name.startsWith(prefix) && name.endsWith(".json"));
  return files.map((name) => JSON.parse(readFileSync(new URL(`${folder}/${name}`, VECTORS), "utf8")));
}

/** A WebSocket whose other end is the test. Each new one is in `FakeSocket.all`. */
export class FakeSocket {
  /** @type {FakeSocket[]} */
  static all = [];
  static get last() {
    return /** @type {FakeSocket} */ (FakeSocket.all.at(-1));
  }

  /** @type {any} */ onmessage = null;
  /** @type {any} */ onclose = null;
  /** @type {any} */ onerror = null;
  /** What the client sent. @type {any[]} */
  sent = [];
  readyState = 0;
  /** @type {number | undefined} */
  closedWith;

  /** @param {string} url @param {string[]} protocols */
  constructor(url, protocols) {
    // What browsers check (RFC 7230, 3.2.6: token).
    if (protocols.some((name) => !/^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/.test(name))) throw new SyntaxError("bad subprotocol");
    this.url = new URL(url);
    this.protocols = protocols;
    FakeSocket.all.push(this);
  }

  /** @param {string} text */
  send(text) {
    this.sent.push(JSON.parse(text));
  }

  /** @param {number} [code] */
  close(code) {
    this.closedWith = code;
    this.readyState = 2;
  }

  // --- The hub's side

  /** @param {any} frame */
  say(frame) {
    this.onmessage?.({ data: typeof frame === "string" ? frame : JSON.stringify(frame) });
  }

  /** @param {Record<string, any>} [fields] */
  welcome(fields = {}) {
    this.readyState = 1;
    this.say({ type: "welcome", protocol: "hub.v1", user: "alice", topics: ["all"], cursor: "e1:10", ...fields });
  }

  /** @param {number} seq @param {string} [topic] */
  event(seq, topic = "orders") {
    const event = { id: `id-${seq}`, type: "t", source: "service:shop", time: "2026-01-01T00:00:00Z", data: { seq } };
    this.say({ type: "event", cursor: `e1:${seq}`, topic, event });
  }

  /** @param {number} code @param {string} [reason] */
  end(code, reason = "") {
    this.readyState = 3;
    this.onclose?.({ code, reason });
  }
}

/**
 * A `fetch` that answers from a table: `"POST /v1/auth/refresh"` → what it returns, called with the body.
 * A status other than 200 stands in the answer's `status`; a throw is a network that is down.
 * @param {Record<string, (body: any, token: string) => any>} routes
 */
export function fakeFetch(routes) {
  /** @type {{ route: string, body: any, token: string }[]} */
  const calls = [];
  const fetch = async (/** @type {any} */ url, /** @type {any} */ init) => {
    const { pathname, search } = new URL(url);
    const route = `${init.method} ${pathname}`;
    const body = init.body === null ? undefined : JSON.parse(init.body);
    const token = init.headers["Authorization"]?.replace("Bearer ", "");
    calls.push({ route: route + search, body, token });
    const answer = routes[route]?.(body, token);
    const status = answer?.status ?? (answer === undefined ? 204 : 200);
    return new Response(answer === undefined ? null : JSON.stringify(answer), { status });
  };
  return { fetch: /** @type {typeof globalThis.fetch} */ (fetch), calls };
}

/** Lets promises that are settled already be heard. */
export const settled = () => new Promise((resolve) => setImmediate(resolve));

/**
 * Puts a window's events in the place where a browser has them. Returns a function that makes one happen; its
 * `listeners()` counts who listens.
 * @param {import("node:test").TestContext} t
 */
export function fakeWindow(t) {
  const target = new EventTarget();
  const global = /** @type {any} */ (globalThis);
  const names = /** @type {const} */ (["addEventListener", "removeEventListener"]);
  const before = names.map((name) => global[name]);
  const spies = names.map((name) => t.mock.method(target, name));
  for (const name of names) global[name] = (/** @type {any[]} */ ...args) => /** @type {any} */ (target)[name](...args);
  t.after(() => names.forEach((name, index) => (global[name] = before[index])));
  const tell = (/** @type {string} */ name) => target.dispatchEvent(new Event(name));
  const [added, removed] = spies.map((spy) => () => spy.mock.callCount());
  return Object.assign(tell, { listeners: () => (added?.() ?? 0) - (removed?.() ?? 0) });
}

/**
 * Counts the timers that are set and have not ended: each of them would keep a process alive.
 * @param {import("node:test").TestContext} t
 */
export function countTimers(t) {
  const { setTimeout, clearTimeout } = globalThis;
  const pending = new Set();
  t.mock.method(globalThis, "setTimeout", (/** @type {() => void} */ then, /** @type {number} */ delay) => {
    const timer = setTimeout(() => {
      pending.delete(timer);
      then();
    }, delay);
    pending.add(timer);
    return timer;
  });
  t.mock.method(globalThis, "clearTimeout", (/** @type {any} */ timer) => {
    pending.delete(timer);
    clearTimeout(timer);
  });
  return () => pending.size;
}
