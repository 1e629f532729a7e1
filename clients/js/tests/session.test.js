// Logins: tokens that stay young, refresh tokens that are spent once.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { beforeEach, mock, test } from "node:test";

import { HubClient } from "../src/index.js";
import { login, Session } from "../src/session.js";
import { FakeSocket, fakeFetch, settled } from "./fake.js";

const url = "https://hub.test";

beforeEach(() => {
  mock.timers.reset();
  mock.timers.enable({ apis: ["Date"], now: 1_800_000_000_000 });
});

/** @param {Record<string, (body: any, token: string) => any>} [routes] */
function hub(routes = {}) {
  let count = 0;
  const pair = () => ({
    access_token: `access-${++count}`,
    refresh_token: `refresh-${count}`,
    token_type: "bearer",
    expires_in: 100,
    refresh_expires_in: 1000,
  });
  return fakeFetch({ "POST /v1/auth/login": pair, "POST /v1/auth/refresh": pair, ...routes });
}

test("login: a token that is kept while it is young, then renewed with the newest refresh token", async () => {
  const { fetch, calls } = hub();
  const stored = /** @type {any[]} */ ([]);
  const session = await login({ url, username: "alice", password: "secret", fetch, onTokens: (tokens) => stored.push(tokens) });
  assert.equal(await session.token(), "access-1");
  mock.timers.tick(89_000);
  assert.equal(await session.token(), "access-1");
  mock.timers.tick(2_000);
  assert.equal(await session.token(), "access-2");
  assert.equal(await session.token({ fresh: true }), "access-3");
  assert.deepEqual(
    calls.map(({ route, body }) => [route, body]),
    [
      ["POST /v1/auth/login", { username: "alice", password: "secret" }],
      ["POST /v1/auth/refresh", { refresh_token: "refresh-1" }],
      ["POST /v1/auth/refresh", { refresh_token: "refresh-2" }],
    ],
  );
  assert.deepEqual(stored.map((tokens) => tokens.refresh), ["refresh-1", "refresh-2", "refresh-3"]);
  assert.deepEqual(session.tokens, stored.at(-1));
});

test("login: a wrong password shows at once", async () => {
  const { fetch } = hub({ "POST /v1/auth/login": () => ({ status: 401, code: "credentials_invalid", detail: "Wrong." }) });
  await assert.rejects(login({ url, username: "alice", password: "x", fetch }), {
    code: "credentials_invalid",
    detail: "Wrong.",
    status: 401,
    temporary: false,
  });
});

test("calls at the same time spend one refresh token", async () => {
  const { fetch, calls } = hub();
  const session = new Session({ url, tokens: { access: "old", refresh: "refresh-0", renewAt: 0 }, fetch });
  const tokens = await Promise.all([session.token(), session.token({ fresh: true }), session.token()]);
  assert.deepEqual(tokens, ["access-1", "access-1", "access-1"]);
  assert.equal(calls.length, 1);
});

test("a refused refresh ends the session, unless there is a password", async () => {
  const refused = { "POST /v1/auth/refresh": () => ({ status: 401, code: "refresh_reused", detail: "Spent." }) };
  const tokens = { access: "old", refresh: "spent", renewAt: 0 };
  const stored = /** @type {any[]} */ ([]);
  const session = new Session({ url, tokens, fetch: hub(refused).fetch, onTokens: (value) => stored.push(value) });
  await assert.rejects(session.token(), { code: "refresh_reused" });
  await assert.rejects(session.token(), { code: "refresh_invalid" });
  assert.deepEqual(stored, [null]);
  const daemon = new Session({ url, tokens, username: "bot", password: "secret", fetch: hub(refused).fetch });
  assert.equal(await daemon.token(), "access-1");
});

test("a hub that cannot be reached ends nothing", async () => {
  let up = false;
  const { fetch } = hub({
    "POST /v1/auth/refresh": () => {
      if (!up) throw new TypeError("fetch failed");
      return { access_token: "new", refresh_token: "new", expires_in: 100 };
    },
  });
  const session = new Session({ url, tokens: { access: "old", refresh: "refresh-0", renewAt: 0 }, fetch });
  await assert.rejects(session.token(), { code: "unreachable", status: 0, temporary: true });
  up = true;
  assert.equal(await session.token(), "new");
});

/**
 * Puts signals that the test aborts in the place of those that time does.
 * @param {import("node:test").TestContext} t
 */
function fakeTimeouts(t) {
  /** @type {{ after: number, abort: () => void }[]} */
  const timeouts = [];
  t.mock.method(AbortSignal, "timeout", (/** @type {number} */ after) => {
    const controller = new AbortController();
    timeouts.push({ after, abort: () => controller.abort() });
    return controller.signal;
  });
  return timeouts;
}

/** Seconds for which the hub takes a spent refresh token again. */
function grace() {
  const source = readFileSync(new URL("../../../hub/identity/sessions.py", import.meta.url), "utf8");
  return Number(/^GRACE = ([\d.]+)$/m.exec(source)?.[1]);
}

/** A `fetch` of which nothing is heard. @type {typeof globalThis.fetch} */
const silence = (_, init) =>
  new Promise((_, reject) => init?.signal?.addEventListener("abort", () => reject(init.signal?.reason)));

test("a refresh whose answer is lost is asked for again while the hub still takes the spent token", async (t) => {
  const timeouts = fakeTimeouts(t);
  const { fetch, calls } = hub();
  let silent = true;
  const session = new Session({
    url,
    tokens: { access: "old", refresh: "refresh-0", renewAt: 0 },
    fetch: (...args) => {
      const answer = fetch(...args); // the hub did it
      return silent ? silence(...args) : answer;
    },
  });
  const token = session.token();
  await settled();
  assert.equal(calls.length, 1);
  silent = false;
  timeouts[0]?.abort();
  assert.equal(await token, "access-2");
  assert.deepEqual(
    calls.map(({ body }) => body),
    [{ refresh_token: "refresh-0" }, { refresh_token: "refresh-0" }],
  );
  // All of it, the second try's answer too, is over before the grace is.
  const spent = timeouts.reduce((sum, { after }) => sum + after, 0);
  assert.ok(spent < grace() * 1000, `${spent} ms`);
});

test("a refresh is asked for twice at most, and not again after the hub's own word", async (t) => {
  const timeouts = fakeTimeouts(t);
  const tokens = { access: "old", refresh: "refresh-0", renewAt: 0 };
  const lost = new Session({ url, tokens, fetch: silence });
  const rejected = assert.rejects(lost.token(), { code: "unreachable", temporary: true });
  timeouts[0]?.abort();
  await settled();
  timeouts[1]?.abort();
  await rejected;
  assert.deepEqual(lost.tokens, tokens);

  for (const [answer, tries] of /** @type {const} */ ([
    [{ status: 503, code: "overloaded" }, 1],
    [{ status: 429, code: "overloaded" }, 1],
    [{ status: 502 }, 2],
  ])) {
    const { fetch, calls } = hub({ "POST /v1/auth/refresh": () => answer });
    await assert.rejects(new Session({ url, tokens, fetch }).token(), { status: answer.status, temporary: true });
    assert.equal(calls.length, tries);
  }
});

test("logout ends the session at the hub and here, even if the hub is gone", async () => {
  const { fetch, calls } = hub({ "POST /v1/auth/logout": () => undefined });
  const session = await login({ url, username: "alice", password: "secret", fetch });
  await session.logout();
  assert.deepEqual(calls.at(-1), { route: "POST /v1/auth/logout", body: undefined, token: "access-1" });
  assert.equal(session.tokens, null);

  const down = hub({ "POST /v1/auth/logout": () => ({ status: 503 }) });
  const other = await login({ url, username: "alice", password: "secret", fetch: down.fetch });
  await assert.rejects(other.logout(), { code: "http_503", temporary: true });
  assert.equal(other.tokens, null);

  const over = hub({ "POST /v1/auth/logout": () => ({ status: 401, code: "logged_out" }) });
  await (await login({ url, username: "alice", password: "secret", fetch: over.fetch })).logout();
});

test("a client whose session logs in by itself tells the tokens", async () => {
  const { fetch } = hub();
  const session = new Session({ url, username: "alice", password: "secret", fetch });
  const client = new HubClient({ url, session, fetch, WebSocket: FakeSocket });
  const told = /** @type {any[]} */ ([]);
  client.on("token", (tokens) => told.push(tokens?.access));
  client.connect();
  await settled();
  await settled();
  assert.deepEqual(told, ["access-1"]);
  assert.deepEqual(FakeSocket.last.protocols, ["hub.v1", "bearer.access-1"]);
  assert.equal(FakeSocket.last.url.protocol, "wss:");
  client.close();
});

test("a client that is given a session tells its tokens beside whoever was told before", async () => {
  const told = /** @type {any[]} */ ([]);
  const session = new Session({
    url,
    tokens: { access: "old", refresh: "refresh-0", renewAt: 0 },
    fetch: hub().fetch,
    onTokens: (tokens) => told.push(["session", tokens?.access]),
  });
  const client = new HubClient({ url, session, WebSocket: FakeSocket });
  client.on("token", (tokens) => told.push(["client", tokens?.access]));
  client.connect();
  await settled();
  await settled();
  client.close();
  assert.deepEqual(told, [
    ["session", "access-1"],
    ["client", "access-1"],
  ]);
});
