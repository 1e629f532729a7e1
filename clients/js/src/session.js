// A login: keeps an access token young with a refresh token that is spent at each use. An entry of its own, for those who
// log in at the hub.

import { HubError } from "./errors.js";
import { Http, parse } from "./http.js";

/**
 * What is worth keeping of a login, as plain JSON. `renewAt` is in milliseconds of this machine's clock, counted
 * from when the token arrived, so that a clock that is wrong does no harm.
 * @typedef {{ access: string, refresh: string, renewAt: number }} Tokens
 *
 * @typedef {object} SessionOptions
 * @property {string} url the hub's address
 * @property {Tokens | null} [tokens] goes on from these
 * @property {string} [username]
 * @property {string} [password] with `username`: logs in whenever there are no tokens that work
 * @property {Pick<Storage, "getItem" | "setItem">} [storage] keeps the tokens, for all tabs that use the same one
 *   (`localStorage`): they take turns in renewing them
 * @property {import("./types.js").Fetch} [fetch]
 * @property {(tokens: Tokens | null) => void} [onTokens] called with each new pair, and with null when the login is
 *   over. Whoever stores tokens must store the newest: using a spent refresh token ends the session.
 */

/** The part of a token's life after which it is renewed. The rest is for slow networks. */
const YOUNG = 0.9;

/**
 * Milliseconds after which the answer to a refresh counts as lost, and how often it is asked for. The hub takes a spent
 * refresh token for ten more seconds; used after that, it ends the session. So the last try is on its way well before.
 */
const PATIENCE = 4_000;
const TRIES = 2;

/** One login at one hub. */
export class Session {
  #http;
  #credentials;
  /** @type {Tokens | null} */
  #tokens = null;
  #storage;
  /** @type {Promise<Tokens> | null} */
  #renewing = null;

  /** @param {SessionOptions} options */
  constructor({ url, tokens = null, username, password, storage, fetch, onTokens }) {
    this.#http = new Http(url, fetch);
    this.#storage = storage;
    if (tokens) this.#keep(tokens, false);
    else this.#tokens = this.#stored();
    this.#credentials = username === undefined ? null : { username, password };
    this.onTokens = onTokens;
  }

  /** The newest pair. */
  get tokens() {
    if (this.#storage) this.#tokens = this.#stored();
    return this.#tokens;
  }

  /**
   * An access token: the one at hand while it is young, else (or if `fresh`) a new one. Calls at the same time share
   * one request.
   * @param {{ fresh?: boolean }} [options]
   * @returns {Promise<string>}
   * @throws {HubError} `credentials_invalid`, `refresh_invalid`, `refresh_reused`, `unreachable`, …
   */
  async token({ fresh = false } = {}) {
    const { tokens } = this;
    if (!fresh && tokens && Date.now() < tokens.renewAt) return tokens.access;
    this.#renewing ??= this.#renewOnce(tokens).finally(() => {
      this.#renewing = null;
    });
    return (await this.#renewing).access;
  }

  /** Ends the session here in any case, and at the hub, which closes its sockets (1008 `logged_out`). */
  async logout() {
    try {
      await this.#http.call("/v1/auth/logout", { method: "POST", token: await this.token() });
    } catch (error) {
      // A session that is over already is what was wanted.
      if (!(error instanceof HubError && error.status === 401)) throw error;
    } finally {
      this.#credentials = null;
      this.#keep(null);
    }
  }

  /** Unless another tab did meanwhile: a spent refresh token would end the session. @param {Tokens | null} old */
  #renewOnce(old) {
    const renew = () => {
      const { tokens } = this;
      return tokens && tokens.access !== old?.access ? Promise.resolve(tokens) : this.#renew();
    };
    const locks = this.#storage && globalThis.navigator?.locks;
    return locks ? locks.request(this.#key, renew) : renew();
  }

  async #renew() {
    if (this.#tokens) {
      try {
        return await this.#refresh(this.#tokens.refresh);
      } catch (error) {
        if (!(error instanceof HubError) || error.temporary) throw error;
        this.#keep(null);
        if (!this.#credentials) throw error;
      }
    }
    if (!this.#credentials) throw new HubError("refresh_invalid", "The session is over; log in again.");
    return await this.#ask("login", this.#credentials);
  }

  /** @param {string} token */
  async #refresh(token) {
    for (let left = TRIES - 1; ; left -= 1) {
      try {
        return await this.#ask("refresh", { refresh_token: token }, PATIENCE);
      } catch (error) {
        if (!left || !(error instanceof HubError) || !isLost(error)) throw error;
      }
    }
  }

  /** @param {"login" | "refresh"} what @param {unknown} body @param {number} [patience] */
  async #ask(what, body, patience) {
    const answer = await this.#http.call(`/v1/auth/${what}`, { method: "POST", body, patience });
    const tokens = {
      access: String(answer.access_token),
      refresh: String(answer.refresh_token),
      renewAt: Date.now() + answer.expires_in * 1000 * YOUNG,
    };
    this.#keep(tokens);
    return tokens;
  }

  /** @param {Tokens | null} tokens @param {boolean} [tell] */
  #keep(tokens, tell = true) {
    this.#tokens = tokens;
    this.#storage?.setItem(this.#key, JSON.stringify(tokens));
    if (tell) this.onTokens?.(tokens);
  }

  /** @returns {Tokens | null} */
  #stored() {
    return parse(this.#storage?.getItem(this.#key) ?? "null") ?? null;
  }

  get #key() {
    return `hub.tokens ${this.#http.base}`;
  }
}

/** Whether the hub may have done what it was asked and the answer did not arrive. @param {HubError} error */
function isLost({ status, code }) {
  return status === 0 || code.startsWith("http_5"); // a proxy's words, not the hub's
}

/**
 * Logs in, so that a wrong password shows here and now. The session lives on its refresh token; the password is
 * forgotten (a daemon that must outlive that gives its password to `Session` or `HubClient`).
 * @param {SessionOptions & { username: string, password: string }} options
 * @throws {HubError} `credentials_invalid`, `unreachable`, …
 */
export async function login({ username, password, ...rest }) {
  const first = new Session({ ...rest, username, password });
  await first.token();
  return new Session({ ...rest, tokens: first.tokens });
}
