// Where no WebSocket gets through: server-sent events, on real sockets of this machine.

import assert from "node:assert/strict";
import { test } from "node:test";
import { WebSocket } from "ws";

import { HubClient } from "../src/index.js";
import { serve } from "./small_hub.js";

/** @param {import("node:test").TestContext} t @param {string} url @param {Partial<import("../src/types.js").Options>} [options] */
function make(t, url, options) {
  t.mock.method(Math, "random", () => 0);
  const client = new HubClient({ url, token: "jwt-1", WebSocket: /** @type {any} */ (WebSocket), client: "tab-00000001", ...options });
  t.after(() => client.close());
  return client;
}

/** Waits until it gets there (again). @param {HubClient} client @param {string} state */
const next = (client, state) =>
  new Promise((resolve) => {
    client.on("state", (status) => status.state === state && resolve(undefined));
  });

/** @param {AsyncIterator<import("../src/types.js").HubEvent>} events @param {number} count */
async function take(events, count) {
  const data = [];
  while (data.length < count) data.push((await events.next()).value?.data);
  return data;
}

test("a network that lets no WebSocket through: events come all the same, in order, once, after a cut, too", async (t) => {
  const hub = await serve(t);
  const client = make(t, hub.url, { topics: ["orders"] });
  const events = client.events();
  await client.connect();
  assert.equal(client.status.welcome?.["user"], "alice");
  hub.publish(1);
  hub.publish(2, "orders");
  assert.deepEqual(await take(events, 2), [1, 2]);
  hub.cut();
  hub.publish(3);
  assert.deepEqual(await take(events, 1), [3]);
  hub.publish(4);
  assert.deepEqual(await take(events, 1), [4]);
  assert.equal(client.cursor, "e1:4");
  assert.equal(hub.upgrades, 1, "what worked is tried first");
  assert.equal(hub.calls[0]?.token, "jwt-1");
  assert.equal(hub.calls[0]?.query.get("topics"), "orders");
  assert.equal(hub.calls[1]?.query.get("after"), "e1:2");
});

test("a WebSocket is tried again when the network may be another", async (t) => {
  const hub = await serve(t);
  const client = make(t, hub.url);
  await client.connect();
  hub.sockets = true;
  client.retry(); // the browser's hint
  const events = client.events();
  hub.cut();
  await next(client, "open");
  assert.equal(hub.upgrades, 2);
  hub.publish("over the socket");
  assert.deepEqual(await take(events, 1), ["over the socket"]);
  assert.equal(hub.streams.size, 0);
});

test("a hub that is away is no network that blocks: the socket is tried first again", async (t) => {
  const hub = await serve(t, { sockets: true });
  const away = { status: 502 };
  hub.instead["/v1/sse"] = away;
  hub.sockets = false;
  const client = make(t, hub.url);
  const connected = client.connect();
  for (let tries = 0; tries < 3; tries += 1) await next(client, "waiting");
  hub.sockets = true;
  await connected;
  assert.equal(hub.streams.size, 0);
});

test("told to, it uses nothing else; or never", async (t) => {
  const hub = await serve(t);
  await make(t, hub.url, { transport: "sse" }).connect();
  assert.equal(hub.upgrades, 0);
  const never = make(t, hub.url, { transport: "websocket" });
  never.connect();
  await next(never, "waiting");
  assert.equal(hub.calls.length, 1);
});

test("topics are added and left, and a token is renewed, on the way, and nothing is lost", async (t) => {
  const hub = await serve(t);
  let tokens = 0;
  const client = make(t, hub.url, { token: undefined, tokenProvider: () => `jwt-${++tokens}`, transport: "sse" });
  const events = client.events();
  await client.connect();
  hub.refuse = () => void hub.publish("between two streams");
  await Promise.all([client.subscribe("a", "b"), client.subscribe("c")]);
  hub.refuse = () => undefined;
  assert.deepEqual(await take(events, 2), ["between two streams", "between two streams"]);
  assert.deepEqual(client.topics, ["a", "b", "c"]);
  await client.unsubscribe("b");
  hub.publish("to b", "b");
  hub.publish("to c", "c");
  assert.deepEqual(await take(events, 1), ["to c"]);
  hub.refuse = (query) => (query.get("topics")?.includes("secret") ? { status: 403, body: { code: "forbidden", detail: "Not that." } } : undefined);
  await assert.rejects(client.subscribe("secret"), { code: "forbidden", detail: "Not that." });
  hub.publish("to all");
  assert.deepEqual(await take(events, 1), ["to all"]);
});

test("publishing is a request; what is refused is told, and what was lost is said again under the same id", async (t) => {
  const hub = await serve(t);
  const client = make(t, hub.url, { transport: "sse" });
  await client.connect();
  const receipt = await client.publish({ type: "t", to: { all: true } });
  const posted = hub.calls.at(-1);
  assert.equal(receipt.id, posted?.body.id);
  assert.deepEqual(posted?.body.exclude, ["tab-00000001"], "it does not hear itself");
  await client.publish({ type: "t", to: { all: true } }, { echo: true });
  assert.equal(hub.calls.at(-1)?.body.exclude, undefined);
  hub.instead["/v1/events"] = { status: 422, body: { code: "event_invalid", detail: "Bad." } };
  await assert.rejects(client.publish({ type: "", to: {} }), { code: "event_invalid", detail: "Bad." });
});

test("a goodbye and a refusal say what a socket's close would", async (t) => {
  const hub = await serve(t);
  const client = make(t, hub.url, { transport: "sse" });
  await client.connect();
  hub.close(1008, "logged_out: The session was logged out");
  await next(client, "stopped");
  assert.equal(client.status.code, "logged_out");

  hub.instead["/v1/sse"] = { status: 401, body: { code: "token_signature", detail: "It is wrong." } };
  await assert.rejects(client.connect(), { code: "token_signature", detail: "It is wrong." });
});

test("Retry-After is kept to, also where the socket could not say so", async (t) => {
  const hub = await serve(t);
  hub.instead["/v1/sse"] = { status: 429, body: { code: "rate_limited", detail: "" }, headers: { "Retry-After": "17" } };
  const client = make(t, hub.url);
  client.connect();
  await next(client, "waiting");
  assert.equal(client.status.wait, 17);
  assert.deepEqual(client.status.close, { code: 1013, reason: "rate_limited: " });
  client.retry();
  assert.equal(client.state, "waiting", "no hint makes it shorter");
});
