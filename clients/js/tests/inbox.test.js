// The inbox: its calls, and how it stands on a device while events come and marks are told. (The element that shows it is
// tested in Chromium, tests/browser.)

import assert from "node:assert/strict";
import { test } from "node:test";

import { Inbox } from "../src/inbox_model.js";
import { make, open, pass } from "./bench.js";
import { FakeSocket, fakeFetch, settled } from "./fake.js";

const ME = { subject: "alice", topics: ["orders"] };

/** @param {number} seq @param {Record<string, any>} [fields] @param {boolean} [read] */
function entry(seq, fields = {}, read = false) {
  const event = { id: `id-${seq}`, type: "t", source: "service:shop", time: "2026-01-01T00:00:00Z", data: { seq }, ...fields };
  return { cursor: `e1:${seq}`, topic: "orders", event, read, archived: false };
}

/** @param {any[]} items newest first @param {Record<string, any>} [routes] */
async function device(items, routes = {}) {
  const unread = () => items.filter(({ read }) => !read).length;
  const page = { items, next: null, cursor: "e1:10", get unread() { return unread(); } };
  const { fetch, calls } = fakeFetch({ "GET /v1/me": () => ME, "GET /v1/inbox": () => page, ...routes });
  const client = await open({ fetch });
  const news = /** @type {any[]} */ ([]);
  const inbox = new Inbox(client, (item) => item && news.push(item.id));
  while (!inbox.loaded && !inbox.error) await settled();
  return { client, inbox, calls, news, ids: () => inbox.items.map(({ id }) => id) };
}

/** @param {Record<string, any>} mark */
const tell = (mark) =>
  FakeSocket.last.say({
    type: "event", cursor: "e1:99", topic: "user:alice",
    event: { id: "m", type: "hub.inbox", source: "user:alice", time: "", data: { ids: null, up_to: null, ...mark } },
  });

test("the calls: pages as flat items, marks by ids or up to a cursor", async () => {
  const { fetch, calls } = fakeFetch({
    "GET /v1/inbox": () => ({ items: [entry(7, {}, true)], unread: 3, next: "n", cursor: "e1:9" }),
    "POST /v1/inbox/read": () => ({ changed: 1, unread: 2, cursor: "e1:10" }),
    "POST /v1/inbox/archive": () => ({ changed: 2, unread: 0, cursor: "e1:11" }),
  });
  const client = make({ fetch });
  const page = await client.inbox({ limit: 10, unread: true, after: "m" });
  const { event } = entry(7);
  assert.deepEqual(page.items, [{ ...event, cursor: "e1:7", topic: "orders", read: true, archived: false }]);
  assert.deepEqual([page.unread, page.next, page.cursor], [3, "n", "e1:9"]);
  assert.equal((await client.mark("read", ["id-7"])).unread, 2);
  await client.mark("archive", { upTo: "e1:9" });
  assert.deepEqual(
    calls.map(({ route, body }) => [route, body]),
    [
      ["GET /v1/inbox?limit=10&unread=true&after=m", undefined],
      ["POST /v1/inbox/read", { ids: ["id-7"] }],
      ["POST /v1/inbox/archive", { up_to: "e1:9" }],
    ],
  );
});

test("the hub's word on a mark is told as `inbox`, not as an event", async () => {
  const client = await open();
  const heard = /** @type {any[]} */ ([]);
  client.on("event", (event) => heard.push(event));
  client.on("inbox", (mark) => heard.push(mark));
  tell({ action: "read", ids: ["id-1"], unread: 4 });
  assert.deepEqual(heard, [{ action: "read", ids: ["id-1"], up_to: null, unread: 4 }]);
  assert.equal(client.cursor, "e1:99");
});

test("events that come are on top and counted; what is not of the inbox is not", async () => {
  const { inbox, news, ids } = await device([entry(9), entry(8, {}, true)]);
  assert.equal(inbox.unread, 1);
  FakeSocket.last.event(11);
  FakeSocket.last.event(12, "chat:lobby"); // a topic of this page, not of the token
  FakeSocket.last.say({ type: "event", topic: "orders", event: { id: "e", type: "typing" } }); // ephemeral
  assert.deepEqual(ids(), ["id-11", "id-9", "id-8"]);
  assert.equal(inbox.unread, 2);
  assert.deepEqual(news, ["id-11"]);
});

test("a newer one with the same key takes the place of one that was not read", async () => {
  const { inbox, ids } = await device([entry(9, { collapse_key: "k" }), entry(8, { collapse_key: "k" }, true)]);
  FakeSocket.last.say({ type: "event", cursor: "e1:11", topic: "orders", event: { id: "id-11", type: "t", collapse_key: "k" } });
  assert.deepEqual(ids(), ["id-11", "id-8"]);
  assert.equal(inbox.unread, 1);
});

test("marks of other devices are followed, and bring the hub's own count", async () => {
  const { inbox, ids, calls } = await device([entry(9), entry(8), entry(7)]);
  tell({ action: "read", ids: ["id-8"], unread: 2 });
  assert.deepEqual(inbox.items.map(({ read }) => read), [false, true, false]);
  tell({ action: "archive", ids: ["id-9"], unread: 1 });
  assert.deepEqual(ids(), ["id-8", "id-7"]);
  tell({ action: "read", up_to: "e1:8", unread: 0 });
  assert.deepEqual(inbox.items.map(({ read }) => read), [true, true]);
  assert.equal(inbox.unread, 0);
  const before = calls.length;
  tell({ action: "read", up_to: "e1:77", unread: 5 }); // which ones are meant is not to be seen here
  tell({ action: "unarchive", ids: ["id-1"], unread: 5 });
  await settled();
  assert.equal(calls.length, before + 2);
});

test("an own mark shows at once, and is taken back if the hub does not do it", async () => {
  const routes = /** @type {Record<string, any>} */ ({
    "POST /v1/inbox/read": () => ({ changed: 1, unread: 1, cursor: "e1:12" }),
    "POST /v1/inbox/archive": () => ({ status: 422, code: "request_invalid" }),
  });
  const { inbox, ids } = await device([entry(9), entry(8)], routes);
  const marked = inbox.mark("read", ["id-9"]);
  assert.deepEqual([inbox.unread, inbox.items[0]?.read], [1, true]);
  await marked;
  assert.equal(inbox.unread, 1);
  const refused = inbox.markAll("archive");
  assert.deepEqual([inbox.unread, ids()], [0, []]);
  await refused;
  assert.deepEqual(ids(), ["id-9", "id-8"]);
  assert.equal(inbox.error?.code, "request_invalid");
});

test("what is told while a page is on its way is not lost by it, nor doubled", async () => {
  let pages = 0;
  const { inbox, ids } = await device([], {
    "GET /v1/inbox": () => {
      pages += 1;
      return { items: pages === 1 ? [] : [entry(11), entry(9)], unread: pages === 1 ? 0 : 2, next: null, cursor: "" };
    },
  });
  const loading = inbox.load();
  FakeSocket.last.event(11); // in the answer, too
  FakeSocket.last.event(12);
  await loading;
  assert.deepEqual(ids(), ["id-12", "id-11", "id-9"]);
  assert.equal(inbox.unread, 3);
});

test("what is past its time is hidden, and not counted, at its time", async () => {
  const expires = new Date(Date.now() + 5000).toISOString();
  const { inbox, ids } = await device([entry(9, { expires }), entry(8)]);
  assert.deepEqual([ids(), inbox.unread], [["id-9", "id-8"], 2]);
  await pass(4.9);
  assert.equal(inbox.unread, 2);
  await pass(0.2);
  assert.deepEqual([ids(), inbox.unread], [["id-8"], 1]);
});

test("older ones come a page at a time; after a gap it is loaded anew", async () => {
  let pages = 0;
  const { inbox, ids, calls } = await device([], {
    "GET /v1/inbox": () => {
      const last = ++pages === 2;
      return { items: last ? [entry(9), entry(3)] : [entry(9)], unread: 1, next: last ? null : "next", cursor: "" };
    },
  });
  assert.equal(inbox.more, true);
  await inbox.loadMore();
  assert.equal(calls.at(-1)?.route, "GET /v1/inbox?limit=30&after=next");
  assert.deepEqual([ids(), inbox.more], [["id-9", "id-3"], false]);
  FakeSocket.last.say({ type: "reset", reason: "truncated", cursor: "e1:50" });
  while (ids().length !== 1) await settled();
});
