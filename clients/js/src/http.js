// HTTP calls to one hub: JSON in, JSON out, problems (RFC 9457) as HubError.

import { HubError } from "./errors.js";

/** How long a call may take if it does not say, in milliseconds. */
const PATIENCE = 30_000;

export class Http {
  #fetch;

  /** @param {string} url the hub's address @param {import("./types.js").Fetch} [fetch] */
  constructor(url, fetch = globalThis.fetch) {
    this.base = url.replace(/^ws/i, "http").replace(/\/+$/, "");
    this.#fetch = fetch;
  }

  /**
   * @param {string} path
   * @param {{ method?: string, token?: string, body?: unknown, patience?: number }} [options] `patience`: milliseconds
   *   after which the call is given up
   * @returns {Promise<any>} the answer's JSON; undefined if it has none
   * @throws {HubError} the hub's refusal, or `unreachable` (status 0)
   */
  async call(path, { method = "GET", token, body, patience = PATIENCE } = {}) {
    /** @type {Record<string, string>} */
    const headers = { Accept: "application/json" };
    if (token !== undefined) headers["Authorization"] = `Bearer ${token}`;
    if (body !== undefined) headers["Content-Type"] = "application/json";
    const fetch = this.#fetch; // called bare: a browser's wants no other `this`
    let response, text;
    try {
      response = await fetch(this.base + path, {
        method,
        headers,
        body: body === undefined ? null : JSON.stringify(body),
        cache: "no-store",
        credentials: "omit",
        signal: AbortSignal.timeout(patience),
      });
      text = await response.text();
    } catch (error) {
      throw new HubError("unreachable", error instanceof Error ? error.message : "", 0);
    }
    const value = parse(text);
    if (response.ok) return value;
    throw new HubError(value?.code ?? `http_${response.status}`, value?.detail ?? response.statusText, response.status);
  }
}

/** @param {string} text @returns {any} */
function parse(text) {
  try {
    return JSON.parse(text);
  } catch {
    return undefined; // 204, or a proxy's HTML
  }
}
