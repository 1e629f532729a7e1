// The runtime when connections are lost, quiet or refused.

import assert from "node:assert/strict";
import { test } from "node:test";

import { chance, make, open, pass } from "./bench.js";
import { FakeSocket, fakeWindow, settled, vectors } from "./fake.js";

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
  chance.next = 1;
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
