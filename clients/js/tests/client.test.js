// The runtime: connecting, events, iteration, and its end.

import assert from "node:assert/strict";
import { mock, test } from "node:test";

import { HubClient, HubError } from "../src/index.js";
import { make, open, pass } from "./bench.js";
import { countTimers, FakeSocket, fakeFetch, settled } from "./fake.js";

test("the token goes as a subprotocol, the rest into the URL", async () => {
  make({ topics: ["a", "b"], after: "e1:3" }).connect();
  await settled();
  const { url, protocols } = FakeSocket.last;
  assert.equal(url.href, "ws://hub.test/v1/ws?client=tab-00000001&topics=a%2Cb&after=e1%3A3");
  assert.deepEqual(protocols, ["hub.v1", "bearer.jwt-1"]);
});

test("who connects, and where, must be said", () => {
  assert.throws(() => new HubClient({ url: "http://hub.test", WebSocket: FakeSocket }), /token/);
  assert.throws(() => new HubClient({ token: "x", WebSocket: FakeSocket }), /url/);
});

test("connect settles with the welcome, and the state tells all of it", async () => {
  const client = make();
  /** @type {string[]} */
  const states = [];
  client.on("state", ({ state }) => states.push(state));
  const connected = client.connect();
  await settled();
  FakeSocket.last.welcome();
  await connected;
  assert.deepEqual(states, ["authorizing", "connecting", "open"]);
  assert.equal(client.status.welcome?.["user"], "alice");
  assert.equal(client.cursor, "e1:10");
});

test("a refusal rejects connect, ends iterations, and is told with code and reason", async () => {
  const client = make();
  const events = client.events();
  const next = assert.rejects(events.next(), { name: "HubError", code: "token_signature" });
  const connected = assert.rejects(client.connect(), { code: "token_signature", detail: "It is wrong." });
  await settled();
  FakeSocket.last.end(1008, "token_signature: It is wrong.");
  await Promise.all([next, connected]);
  assert.deepEqual(client.status, {
    state: "stopped",
    code: "token_signature",
    close: { code: 1008, reason: "token_signature: It is wrong." },
  });
  assert.deepEqual(await events.next(), { value: undefined, done: true });
});

test("a token that no header can carry is refused as malformed, without a socket", async () => {
  const client = make({ token: "not a token" });
  await assert.rejects(client.connect(), { code: "token_malformed" });
  assert.equal(FakeSocket.all.length, 0);
});

test("events are told flat, in order, to every listener, whatever one of them does", async () => {
  const client = await open();
  const error = new Error("a listener's own");
  /** @type {unknown[]} */
  const heard = [];
  const errors = /** @type {unknown[]} */ ([]);
  client.on("error", (value) => errors.push(value));
  client.on("event", () => {
    throw error;
  });
  client.on("event", async () => {
    throw error;
  });
  const off = client.on("event", (event) => heard.push(event));
  FakeSocket.last.event(11);
  off();
  FakeSocket.last.event(12);
  await settled();
  const expected = { id: "id-11", type: "t", source: "service:shop", time: "2026-01-01T00:00:00Z", data: { seq: 11 } };
  assert.deepEqual(heard, [{ ...expected, topic: "orders", cursor: "e1:11" }]);
  assert.deepEqual(errors, [error, error, error, error]);
  assert.equal(client.cursor, "e1:12");
});

test("an error listener that throws ends on the console, not in the socket", async () => {
  const client = await open();
  const console = mock.method(globalThis.console, "error", () => {});
  client.on("error", () => {
    throw new Error("again");
  });
  client.on("event", () => {
    throw new Error("first");
  });
  FakeSocket.last.event(11);
  assert.equal(console.mock.callCount(), 1);
  assert.equal(client.state, "open");
});

test("iteration: buffered and awaited events, in order, until close", async () => {
  const client = await open();
  const events = client.events();
  FakeSocket.last.event(11);
  FakeSocket.last.event(12);
  const seen = [];
  for await (const event of events) {
    seen.push(event.cursor);
    if (seen.length === 2) setImmediate(() => FakeSocket.last.event(13));
    if (seen.length === 3) client.close();
  }
  assert.deepEqual(seen, ["e1:11", "e1:12", "e1:13"]);
  assert.equal(FakeSocket.last.closedWith, 1000);
});

test("iteration: leaving the loop ends it; what comes later is not kept", async () => {
  const client = await open();
  const events = client.events();
  for (const seq of [11, 12, 13]) FakeSocket.last.event(seq);
  for await (const event of events) if (event) break;
  FakeSocket.last.event(14);
  assert.deepEqual(await events.next(), { value: undefined, done: true });
  assert.equal(client.state, "open");
});

test("iteration: a reader that does not keep up gets what was kept, then is told", async () => {
  const client = await open();
  const events = client.events({ buffer: 1 });
  FakeSocket.last.event(11);
  FakeSocket.last.event(12);
  assert.equal((await events.next()).value.cursor, "e1:11");
  await assert.rejects(events.next(), { code: "buffer_full" });
});

test("each state tells its own circumstances and no others'", async () => {
  let error = /** @type {Error | null} */ (new Error("the wire was cut"));
  const tokenProvider = async () => {
    if (error) throw error;
    return "jwt";
  };
  const client = make({ token: undefined, tokenProvider });
  const heard = /** @type {any[]} */ ([]);
  client.on("state", (status) => heard.push(status));
  client.connect();
  await settled();
  const first = error;
  error = null;
  await pass(1);
  FakeSocket.last.end(1006);
  await pass(1);
  FakeSocket.last.end(1008, "forbidden: No.");
  client.connect();
  await settled();
  const lost = { code: 1006, reason: "" };
  assert.deepEqual(heard, [
    { state: "authorizing" },
    { state: "waiting", wait: 0.25, error: first },
    { state: "authorizing" },
    { state: "connecting" },
    { state: "waiting", wait: 0.5, close: lost },
    { state: "authorizing", close: lost },
    { state: "connecting", close: lost },
    { state: "stopped", code: "forbidden", close: { code: 1008, reason: "forbidden: No." } },
    { state: "authorizing" },
    { state: "connecting" },
  ]);
});

test("closing leaves no timer behind, whatever the state", async (t) => {
  const timers = countTimers(t);
  const client = make();
  const toState = {
    connecting: () => {},
    open: () => FakeSocket.last.welcome({ expires: 1_900_000_000 }),
    waiting: () => FakeSocket.last.end(1006),
  };
  for (const [state, bring] of Object.entries(toState)) {
    client.connect();
    await settled();
    bring();
    assert.equal(client.state, state);
    assert.ok(timers() > 0);
    client.close();
    assert.equal(timers(), 0, state);
  }
  client.connect();
  await settled();
  FakeSocket.last.welcome({ expires: 1_900_000_000 });
  FakeSocket.last.end(1008, "logged_out");
  assert.equal(timers(), 0);
});

test("a stopped client starts again where it was", async () => {
  const client = await open();
  FakeSocket.last.event(11);
  client.close();
  client.close();
  const connected = client.connect();
  await settled();
  assert.equal(FakeSocket.last.url.searchParams.get("after"), "e1:11");
  FakeSocket.last.welcome();
  await connected;
});

test("a listener may close, publish and subscribe", async () => {
  const client = await open();
  client.on("event", async () => {
    await client.subscribe("more");
    client.close();
  });
  FakeSocket.last.event(11);
  FakeSocket.last.say({ type: "ok", ref: 1, topics: ["more"], cursor: "e1:11" });
  await settled();
  assert.equal(client.state, "stopped");
});

test("history, presence and me go over HTTP, with a fresh token if the first is over", async () => {
  const entry = { cursor: "e1:1", topic: "a", event: { id: "1", type: "t", source: "user:bob", time: "", data: null } };
  const { fetch, calls } = fakeFetch({
    "GET /v1/events": () => ({ events: [entry], cursor: "e1:1", reset: false, more: false }),
    "GET /v1/presence/room%3A1": () => ({ topic: "room:1", users: ["alice"] }),
    "GET /v1/me": (_, token) => (token === "jwt-2" ? { subject: "alice" } : { status: 401, code: "token_expired" }),
  });
  const client = make({ token: undefined, tokenProvider: ({ fresh }) => (fresh ? "jwt-2" : "jwt-1"), fetch });
  assert.deepEqual(await client.history(["a", "b"], { after: "earliest", limit: 5 }), {
    events: [{ ...entry.event, topic: "a", cursor: "e1:1" }],
    cursor: "e1:1",
    reset: false,
    more: false,
  });
  assert.deepEqual(await client.presence("room:1"), ["alice"]);
  assert.equal((await client.me()).subject, "alice");
  assert.deepEqual(
    calls.map(({ route, token }) => [route, token]),
    [
      ["GET /v1/events?topics=a%2Cb&after=earliest&limit=5", "jwt-1"],
      ["GET /v1/presence/room%3A1", "jwt-1"],
      ["GET /v1/me", "jwt-1"],
      ["GET /v1/me", "jwt-2"],
    ],
  );
});
