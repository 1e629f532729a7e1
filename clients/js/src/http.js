// HTTP calls to one hub: JSON in, JSON out, problems (RFC 9457) as HubError.

import { HubError } from "./errors.js";

/** How long a call may take if it does not say, in milliseconds. */
const PATIENCE = 30_000;

/**
 * @typedef {object} Call
 * @property {string} [method]
 * @property {string} [token]
 * @property {unknown} [body]
 * @property {number} [patience] milliseconds after which the call is given up
 */

export class Http {
  #fetch;

  /** @param {string} url the hub's address @param {import("./types.js").Fetch} [fetch] */
  constructor(url, fetch = globalThis.fetch) {
    this.base = url.replace(/^ws/i, "http").replace(/\/+$/, "");
    this.#fetch = fetch;
  }

  /**
   * @param {string} path
   * @param {Call} [options]
   * @returns {Promise<any>} the answer's JSON; undefined if it has none
   * @throws {HubError} the hub's refusal, or `unreachable` (status 0)
   */
  async call(path, { patience = PATIENCE, ...options } = {}) {
    const response = await this.open(path, { ...options, signal: AbortSignal.timeout(patience) });
    try {
      return parse(await response.text());
    } catch (error) {
      throw unreachable(error);
    }
  }

  /**
   * As `call`, as soon as the answer begins.
   * @param {string} path
   * @param {Call & { signal: AbortSignal }} options
   */
  async open(path, { method = "GET", token, body, signal }) {
    /** @type {Record<string, string>} */
    const headers = {};
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
        signal,
      });
      if (response.ok) return response;
      text = await response.text();
    } catch (error) {
      throw unreachable(error);
    }
    const { status, statusText } = response;
    const problem = parse(text);
    const error = new HubError(problem?.code ?? `http_${status}`, problem?.detail ?? statusText, status);
    // A date, which a proxy may say, is not worth its reading.
    error.retryAfter = Number(response.headers.get("Retry-After") ?? 0) || 0;
    throw error;
  }
}

/** @param {unknown} error */
const unreachable = (error) => new HubError("unreachable", error instanceof Error ? error.message : "", 0);

/** A frame's, or an answer's. @param {string} text @returns {any} undefined if it is none: a proxy's HTML, or nothing */
export function parse(text) {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** @param {Record<string, any>} values what is null or empty is left out */
export function queryOf(values) {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(values)) if (`${value ?? ""}`) query.set(name, value);
  return query;
}
