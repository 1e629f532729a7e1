// Tabs that share a connection, as clients of one process, on sockets whose other end is the test. Browsers' own tabs are
// in tests/browser.

import assert from "node:assert/strict";
import { afterEach, test } from "node:test";

import { HubClient } from "../src/index.js";
import { FakeSocket, fakeFetch } from "./fake.js";

const skip = globalThis.navigator?.locks ? false : "this Node has no Web Locks";

/** @param {string} sub */
const token = (sub) => `x.${btoa(JSON.stringify({ iss: "hub", sub })).replaceAll("=", "")}.x`;

/** @type {HubClient[]} */
let clients = [];
afterEach(() => {
  for (const client of clients) client.close();
  clients = [];
  FakeSocket.all = [];
});

let rounds = 0;
/** A group of tabs of its own for each test. */
const group = () => `test ${rounds++}`;

/** @param {string} share @param {Partial<import("../src/types.js").Options>} [options] */
function tab(share, options) {
  const client = new HubClient({
    url: "http://hub.test", token: token("alice"), WebSocket: FakeSocket, transport: "websocket", share, ...options,
  });
  clients.push(client);
  const heard = /** @type {any[]} */ ([]);
  client.on("event", ({ data }) => heard.push(data.seq));
  return Object.assign(client, { heard });
}

/** Waits until it is so: the channel between tabs has its own pace. @param {() => unknown} so */
async function until(so) {
  for (let left = 500; !so(); left -= 1) {
    assert.ok(left, `never: ${so}`);
    await new Promise((done) => setTimeout(done, 2));
  }
}

/** The first of a group, connected. @param {string} share @param {Partial<import("../src/types.js").Options>} [options] */
async function first(share, options) {
  const leader = tab(share, options);
  const connected = leader.connect();
  await until(() => FakeSocket.all.length);
  FakeSocket.last.welcome();
  await connected;
  return leader;
}

test("two tabs have one connection, and both hear everything once", { skip }, async () => {
  const name = group();
  const one = await first(name);
  const other = tab(name);
  await other.connect();
  assert.equal(FakeSocket.all.length, 1);
  assert.equal(other.status.welcome?.["user"], "alice");
  FakeSocket.last.event(11);
  FakeSocket.last.event(12);
  await until(() => other.heard.length === 2);
  assert.deepEqual([one.heard, other.heard], [[11, 12], [11, 12]]);
  assert.equal(other.cursor, "e1:12");
});

test("two people do not share, nor does somebody whose token says nothing", { skip }, async () => {
  const name = group();
  await first(name);
  tab(name, { token: token("bob") }).connect();
  await until(() => FakeSocket.all.length === 2);
  tab(name, { token: "hubk_opaque" }).connect();
  await until(() => FakeSocket.all.length === 3);
});

test("when the leader leaves, another one leads on from where all of them were, without loss or doubling", { skip }, async () => {
  const name = group();
  const one = await first(name, { topics: ["a"] });
  const two = tab(name, { topics: ["b"] });
  await two.connect();
  const three = tab(name, { topics: ["c"] });
  await three.connect();
  FakeSocket.last.say({ type: "ok", ref: 1, topics: ["a", "b"], cursor: "e1:10" });
  await until(() => FakeSocket.last.sent.length === 2);
  FakeSocket.last.say({ type: "ok", ref: 2, topics: ["a", "b", "c"], cursor: "e1:10" });
  FakeSocket.last.event(11);
  await until(() => two.heard.length && three.heard.length);
  one.close();
  await until(() => FakeSocket.all.length === 2);
  const { url } = FakeSocket.last;
  assert.equal(url.searchParams.get("after"), "e1:11");
  const topics = url.searchParams.get("topics")?.split(",") ?? [];
  assert.ok(topics.includes("b") && topics.includes("c"), "what the others want is known");
  FakeSocket.last.welcome({ cursor: "e1:11" });
  FakeSocket.last.event(12);
  await until(() => two.heard.length === 2 && three.heard.length === 2);
  assert.deepEqual([one.heard, two.heard, three.heard], [[11], [11, 12], [11, 12]]);
});

test("a tab that was elsewhere in the log reads what is between, then hears the rest", { skip }, async () => {
  const name = group();
  await first(name);
  FakeSocket.last.event(11);
  FakeSocket.last.event(12);
  const event = (/** @type {number} */ seq) => ({ cursor: `e1:${seq}`, topic: "all", event: { id: `id-${seq}`, type: "t", data: { seq } } });
  const { fetch, calls } = fakeFetch({
    "GET /v1/events": () => {
      FakeSocket.last.event(13); // comes both ways
      FakeSocket.last.event(14);
      return { events: [event(9), event(11), event(12), event(13)], cursor: "e1:13", more: false, reset: false };
    },
  });
  const late = tab(name, { after: "e1:8", fetch });
  const resumed = new Promise((resolve) => late.on("resumed", resolve));
  await late.connect();
  assert.deepEqual(await resumed, { events: 4 });
  await until(() => late.heard.length === 5);
  assert.deepEqual(late.heard, [9, 11, 12, 13, 14]);
  assert.match(calls[0]?.route ?? "", /after=e1%3A8/);
});

test("a tab that follows asks the leader: topics, refusals, receipts", { skip }, async () => {
  const name = group();
  const one = await first(name);
  const other = tab(name);
  await other.connect();
  const socket = FakeSocket.last;
  const subscribed = other.subscribe("a");
  await until(() => socket.sent.length === 1);
  socket.say({ type: "ok", ref: 1, topics: ["all", "a"], cursor: "e1:10" });
  await subscribed;
  assert.deepEqual([one.topics, other.topics], [[], ["a"]]);
  await one.subscribe("a"); // there already: nobody is asked
  const refused = other.subscribe("secret");
  await until(() => socket.sent.length === 2);
  socket.say({ type: "error", ref: 2, code: "forbidden", detail: "No." });
  await assert.rejects(refused, { name: "HubError", code: "forbidden", detail: "No." });
  await other.unsubscribe("a"); // the other one wants it still
  assert.equal(socket.sent.length, 2);

  const published = other.publish({ type: "t", to: { all: true } });
  await until(() => socket.sent.length === 3);
  const { event, echo } = socket.sent[2];
  assert.equal(echo, true, "the tabs besides this one hear it");
  const { id } = event;
  const data = { seq: 11 };
  socket.say({ type: "event", cursor: "e1:11", topic: "all", event: { id, type: "t", source: "user:alice", time: "", data } });
  socket.say({ type: "ok", ref: 3, receipt: { id, cursor: "e1:11", time: "", duplicate: false } });
  assert.equal((await published).cursor, "e1:11");
  assert.deepEqual([one.heard, other.heard], [[11], []]);
});

test("what a tab wanted is left when it goes; what is published while the leader goes is said again", { skip }, async () => {
  const name = group();
  const one = await first(name);
  const two = tab(name);
  await two.connect();
  const three = tab(name, { topics: ["c"] });
  await three.connect();
  const socket = FakeSocket.last;
  await until(() => socket.sent.length === 1);
  socket.say({ type: "ok", ref: 1, topics: ["all", "c"], cursor: "e1:10" });
  three.close();
  await until(() => socket.sent.length === 2);
  assert.deepEqual(socket.sent[1], { type: "unsubscribe", ref: 2, topics: ["c"] });
  socket.say({ type: "ok", ref: 2, topics: ["all"], cursor: "e1:10" });

  const published = two.publish({ type: "t", to: { all: true } });
  await until(() => socket.sent.length === 3);
  one.close();
  await until(() => FakeSocket.all.length === 2);
  FakeSocket.last.welcome();
  await until(() => FakeSocket.last.sent.length === 1);
  const again = FakeSocket.last.sent[0];
  assert.equal(again.event.id, socket.sent[2].event.id);
  FakeSocket.last.say({ type: "ok", ref: again.ref, receipt: { id: "x", cursor: "e1:11", time: "", duplicate: true } });
  assert.equal((await published).duplicate, true);
});

test("presence reaches those who come later; a refusal is one tab's, the next one tries its own token", { skip }, async () => {
  const name = group();
  const one = await first(name, { topics: ["room:1"] });
  FakeSocket.last.say({ type: "presence", topic: "room:1", action: "state", users: ["alice"] });
  FakeSocket.last.say({ type: "presence", topic: "room:1", action: "join", user: "bob" });
  const other = tab(name, { topics: ["room:1"] });
  const told = new Promise((resolve) => other.on("presence", resolve));
  await other.connect();
  assert.deepEqual(await told, { topic: "room:1", action: "state", users: ["alice", "bob"] });
  FakeSocket.last.end(1008, "user_disabled");
  await until(() => FakeSocket.all.length === 2);
  assert.equal(one.status.code, "user_disabled");
  assert.equal(other.state, "connecting");
  FakeSocket.last.end(1008, "user_disabled");
  await until(() => other.state === "stopped");
  assert.equal(other.status.code, "user_disabled");
});
