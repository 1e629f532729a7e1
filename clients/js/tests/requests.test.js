// The runtime's requests, presence and resets.

import assert from "node:assert/strict";
import { test } from "node:test";

import { make, open, pass } from "./bench.js";
import { FakeSocket, settled } from "./fake.js";

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
