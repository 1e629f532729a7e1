// The runtime, with a socket whose other end is the test and a clock that the test moves.

import assert from "node:assert/strict";
import { beforeEach, mock, test } from "node:test";

import { HubClient, HubError } from "../src/index.js";
import { countTimers, FakeSocket, fakeFetch, fakeWindow, settled, vectors } from "./fake.js";

/** @type {number} what Math.random returns */
let chance = 0.5;

beforeEach(() => {
  FakeSocket.all = [];
  chance = 0.5;
  mock.restoreAll();
  mock.timers.reset();
  mock.timers.enable({ apis: ["setTimeout", "Date"], now: 1_800_000_000_000 });
  mock.method(Math, "random", () => chance);
});

/** @param {import("../src/types.js").Options} [options] */
function make(options = {}) {
  return new HubClient({ url: "http://hub.test/", token: "jwt-1", WebSocket: FakeSocket, client: "tab-00000001", ...options });
}

/** @param {import("../src/types.js").Options} [options] */
async function open(options) {
  const client = make(options);
  const connected = client.connect();
  await settled();
  FakeSocket.last.welcome();
  await connected;
  return client;
}

/** @param {number} seconds */
async function pass(seconds) {
  mock.timers.tick(seconds * 1000);
  await settled();
}

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

test("a lost connection comes back after a random wait, from the cursor", async () => {
  const client = await open({ topics: ["orders"] });
  FakeSocket.last.event(11);
  FakeSocket.last.end(1006);
  assert.deepEqual(client.status, { state: "waiting", wait: 0.25, close: { code: 1006, reason: "" } });
  await pass(0.24);
  assert.equal(FakeSocket.all.length, 1);
  await pass(0.02);
  assert.equal(FakeSocket.all.length, 2);
  assert.equal(FakeSocket.last.url.searchParams.get("after"), "e1:11");
  FakeSocket.last.welcome({ cursor: "e1:11" });
  assert.equal(client.state, "open");
  assert.equal(client.status.close, undefined);
});

test("when all that was missed has come, that is told once, with how much it was", async () => {
  const client = await open();
  const resumed = /** @type {number[]} */ ([]);
  client.on("resumed", ({ events }) => resumed.push(events));
  FakeSocket.last.event(11);
  FakeSocket.last.say({ type: "cursor", cursor: "e1:12" });
  FakeSocket.last.end(1006);
  await pass(1);
  FakeSocket.last.welcome({ cursor: "e1:12" });
  FakeSocket.last.event(13);
  FakeSocket.last.event(14);
  assert.deepEqual(resumed, []);
  FakeSocket.last.say({ type: "cursor", cursor: "e1:20" });
  FakeSocket.last.event(21);
  FakeSocket.last.say({ type: "cursor", cursor: "e1:21" });
  assert.deepEqual(resumed, [2]);
});

test("a socket that is not welcomed in ten seconds is given up", async () => {
  const client = make();
  client.connect();
  await settled();
  const first = FakeSocket.last;
  await pass(10);
  assert.equal(first.closedWith, 1000);
  assert.equal(client.state, "waiting");
});

test("a quiet connection is asked, and lives if it answers", async () => {
  const client = await open();
  const socket = FakeSocket.last;
  await pass(25);
  assert.deepEqual(socket.sent, [{ type: "ping", ref: "ping" }]);
  socket.say({ type: "ok", ref: "ping" });
  await pass(24);
  assert.equal(client.state, "open");
  assert.equal(socket.sent.length, 1);
});

test("a connection that does not answer is lost, and what it says later is not heard", async () => {
  const client = await open();
  const socket = FakeSocket.last;
  await pass(25);
  await pass(10);
  assert.equal(client.state, "waiting");
  socket.event(99);
  socket.end(1006);
  assert.equal(client.cursor, "e1:10");
  await pass(1);
  assert.equal(FakeSocket.all.length, 2);
});

test("a frame that is no JSON is told as an error and ends nothing", async () => {
  const client = await open();
  const errors = /** @type {any[]} */ ([]);
  client.on("error", (/** @type {any} */ error) => errors.push(error.code));
  FakeSocket.last.say("{");
  FakeSocket.last.say({ type: "error", ref: null, code: "frame_invalid", detail: "No." });
  assert.deepEqual(errors, ["frame_invalid", "frame_invalid"]);
  assert.equal(client.state, "open");
});

test("no frame of the vectors ends anything; each that is none is told", async () => {
  const client = await open();
  const rows = vectors("wire", "from-hub").flatMap(({ frames }) => frames);
  const errors = /** @type {any[]} */ ([]);
  const events = /** @type {any[]} */ ([]);
  client.on("error", (error) => errors.push(error));
  client.on("event", (event) => events.push(event));
  for (const { why, text, expect } of rows) {
    const before = errors.length;
    FakeSocket.last.say(text);
    const told = expect.is === "garbage" || (expect.frame?.type === "error" && expect.frame.ref == null);
    assert.equal(errors.length - before, told ? 1 : 0, why);
  }
  assert.equal(client.state, "open");
  const bare = events.filter(({ source }) => source === "");
  assert.deepEqual(bare, [
    { id: "7", type: "order.paid", source: "", time: "", data: null, topic: "orders", cursor: "e1:11" },
  ]);
});

test("the network coming back ends the wait at once", async (t) => {
  const tell = fakeWindow(t);
  chance = 1;
  const client = await open();
  FakeSocket.last.end(1006);
  tell("online");
  await settled();
  assert.equal(FakeSocket.all.length, 2);
  FakeSocket.last.welcome();
  assert.equal(client.state, "open");
  tell("offline"); // perhaps; ask
  assert.deepEqual(FakeSocket.last.sent, [{ type: "ping", ref: "ping" }]);
  assert.equal(tell.listeners(), 2);
  client.close();
  assert.equal(tell.listeners(), 0);
});

test("but an overloaded hub is left its five seconds", async (t) => {
  const tell = fakeWindow(t);
  await open();
  FakeSocket.last.end(1013, "overloaded");
  await pass(4.9);
  tell("online");
  await settled();
  assert.equal(FakeSocket.all.length, 1);
  await pass(0.2);
  tell("online");
  await settled();
  assert.equal(FakeSocket.all.length, 2);
});

test("subscribe and unsubscribe: asked for while open, noted otherwise, refused with the hub's words", async () => {
  const client = make();
  await client.subscribe("a", "b");
  await client.unsubscribe("a");
  assert.deepEqual(client.topics, ["b"]);
  client.connect();
  await settled();
  const socket = FakeSocket.last;
  assert.equal(socket.url.searchParams.get("topics"), "b");
  socket.welcome();
  const asked = client.subscribe("c");
  socket.say({ type: "ok", ref: 3, topics: ["all", "b", "c"], cursor: "e1:10" });
  await asked;
  assert.deepEqual(client.topics, ["b", "c"]);
  const refused = client.subscribe("secret");
  socket.say({ type: "error", ref: 4, code: "forbidden", detail: "You may not." });
  await assert.rejects(refused, { code: "forbidden", detail: "You may not.", message: "forbidden: You may not." });
  assert.deepEqual(client.topics, ["b", "c"]);
});

test("publish: a receipt for an event whose id was made up", async () => {
  const client = await open();
  const published = client.publish({ type: "t", to: { topics: ["a"] } }, { echo: true });
  const [frame] = FakeSocket.last.sent;
  assert.match(frame.event.id, /^[0-9a-f]{16}$/);
  assert.deepEqual(frame, { type: "publish", ref: 1, event: { id: frame.event.id, type: "t", to: { topics: ["a"] } }, echo: true });
  const receipt = { id: frame.event.id, cursor: "e1:11", time: "2026-01-01T00:00:00Z", duplicate: false };
  FakeSocket.last.say({ type: "ok", ref: 1, receipt });
  assert.deepEqual(await published, receipt);
});

test("publish: lost on its way, it is published again under the same id", async () => {
  const client = await open();
  const published = client.publish({ type: "t", to: { all: true } });
  const first = FakeSocket.last.sent[0];
  FakeSocket.last.end(1006);
  await pass(1);
  FakeSocket.last.welcome();
  await settled();
  const second = FakeSocket.last.sent[0];
  assert.deepEqual(second, { ...first, ref: 2 });
  FakeSocket.last.say({ type: "ok", ref: 2, receipt: { id: first.event.id, cursor: "e1:11", time: "", duplicate: true } });
  assert.equal((await published).duplicate, true);
});

test("publish: an ephemeral event is not repeated, and nothing is published without a connection", async () => {
  const client = await open();
  const lost = client.publish({ type: "t", to: { all: true }, durable: false });
  assert.equal(FakeSocket.last.sent[0].event.id, undefined);
  FakeSocket.last.end(1006);
  await assert.rejects(lost, { code: "connection_lost" });
  await assert.rejects(client.publish({ type: "t", to: { all: true } }), { code: "not_connected" });
});

test("publish: waiting for a connection that is refused ends with the refusal", async () => {
  const client = await open();
  const published = client.publish({ type: "t", to: { all: true } });
  FakeSocket.last.end(1006);
  await pass(1);
  FakeSocket.last.end(1008, "user_disabled");
  await assert.rejects(published, { code: "user_disabled" });
});

test("presence and reset are told", async () => {
  const client = await open();
  const heard = /** @type {any[]} */ ([]);
  client.on("presence", (presence) => heard.push(presence));
  client.on("reset", (reset) => heard.push(reset));
  FakeSocket.last.say({ type: "presence", topic: "room:1", action: "state", users: ["alice"] });
  FakeSocket.last.say({ type: "presence", topic: "room:1", action: "join", user: "bob" });
  FakeSocket.last.say({ type: "reset", reason: "truncated", cursor: "e1:50" });
  assert.deepEqual(heard, [
    { topic: "room:1", action: "state", users: ["alice"] },
    { topic: "room:1", action: "join", user: "bob" },
    { reason: "truncated" },
  ]);
  assert.equal(client.cursor, "e1:50");
});

test("an expiring token is renewed in time, on the same connection", async () => {
  const asked = /** @type {boolean[]} */ ([]);
  const tokenProvider = ({ fresh = false }) => `jwt-${asked.push(fresh)}`;
  const client = make({ token: undefined, tokenProvider });
  client.connect();
  await settled();
  const socket = FakeSocket.last;
  socket.welcome({ expires: 1_800_000_100 });
  await pass(79);
  assert.deepEqual(asked, [false]);
  await pass(2); // 80 of 100 seconds: between 70 and 90, by chance
  assert.deepEqual(asked, [false, true]);
  assert.deepEqual(socket.sent.at(-1), { type: "auth", ref: 1, token: "jwt-2" });
  socket.say({ type: "ok", ref: 1, expires: 1_800_000_181, topics: ["all"] });
  await pass(79);
  assert.equal(asked.length, 2);
  socket.say({ type: "cursor", cursor: "e1:10" });
  await pass(2);
  assert.equal(socket.sent.at(-1).token, "jwt-3");
});

test("a token that cannot be renewed now is tried again before it ends", async () => {
  let tries = 0;
  const tokenProvider = ({ fresh = false }) => {
    if (fresh && ++tries === 1) throw new HubError("unreachable", "", 0);
    return "jwt";
  };
  const client = make({ token: undefined, tokenProvider });
  client.connect();
  await settled();
  FakeSocket.last.welcome({ expires: 1_800_000_020 });
  await pass(16);
  assert.equal(tries, 1);
  assert.equal(client.state, "open");
  await pass(3.5);
  assert.equal(tries, 2);
  assert.equal(FakeSocket.last.sent.at(-1).type, "auth");
});

test("a clock that runs ahead does not make a storm of renewals; a far end does not overflow the timer", async () => {
  for (const expires of [1_700_000_000, 1_900_000_000]) {
    let renewals = 0;
    const client = make({ token: undefined, tokenProvider: ({ fresh }) => (fresh ? `jwt-${++renewals}` : "jwt") });
    client.connect();
    await settled();
    FakeSocket.last.welcome({ expires });
    await pass(20);
    assert.equal(renewals, 0);
    client.close();
  }
});

test("an expired token: a fresh one, at once, and on from the cursor", async () => {
  const client = make({ token: undefined, tokenProvider: ({ fresh }) => (fresh ? "jwt-2" : "jwt-1") });
  client.connect();
  await settled();
  FakeSocket.last.welcome();
  FakeSocket.last.event(11);
  FakeSocket.last.end(1008, "token_expired");
  await settled();
  assert.deepEqual(FakeSocket.last.protocols, ["hub.v1", "bearer.jwt-2"]);
  assert.equal(FakeSocket.last.url.searchParams.get("after"), "e1:11");
});

test("an expired token that was given as such is the end", async () => {
  const client = await open();
  FakeSocket.last.end(1008, "token_expired: The token has expired.");
  await settled();
  assert.equal(client.status.code, "token_expired");
  assert.equal(client.status.close?.code, 1008);
});

test("a token provider's refusal stops; its other failures are tried again", async () => {
  let error = new Error("the wire was cut");
  const tokenProvider = async () => {
    throw error;
  };
  const client = make({ token: undefined, tokenProvider });
  const connected = client.connect();
  await settled();
  assert.equal(client.state, "waiting");
  assert.equal(client.status.error, error);
  error = new HubError("refresh_reused", "", 401);
  await pass(1);
  await assert.rejects(connected, { code: "refresh_reused" });
  assert.equal(client.status.error, error);
});

test("what becomes of a request for a token that is over does nothing", async () => {
  /** @type {{ resolve: (token: string) => void, reject: (error: unknown) => void }[]} */
  const asked = [];
  const client = make({ tokenProvider: () => new Promise((resolve, reject) => asked.push({ resolve, reject })) });
  const given = assert.rejects(client.connect(), { code: "closed" });
  client.close();
  await given;
  const connected = client.connect();
  asked[0]?.reject(new HubError("credentials_invalid", "Wrong.", 401));
  await settled();
  assert.equal(client.state, "authorizing");
  asked[1]?.resolve("jwt-2");
  await settled();
  assert.deepEqual(FakeSocket.last.protocols, ["hub.v1", "bearer.jwt-2"]);
  FakeSocket.last.welcome();
  await connected;

  client.close();
  client.connect();
  client.close();
  client.connect();
  asked[2]?.resolve("jwt-3");
  await settled();
  assert.equal(FakeSocket.all.length, 1);
  asked[3]?.resolve("jwt-4");
  await settled();
  assert.deepEqual(FakeSocket.last.protocols, ["hub.v1", "bearer.jwt-4"]);

  client.close();
  client.connect();
  client.close();
  asked[4]?.reject(new Error("too late to be of interest"));
  await settled();
  client.connect();
  assert.deepEqual(client.status, { state: "authorizing" });
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
