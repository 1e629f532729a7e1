// What is kept over page loads: the cursor, and a login that tabs share. And the hub's wish to be left alone.

import assert from "node:assert/strict";
import { test } from "node:test";

import { HubError } from "../src/index.js";
import { Session } from "../src/session.js";
import { make, open, pass } from "./bench.js";
import { FakeSocket, fakeFetch, settled } from "./fake.js";

/** @param {Record<string, string>} [values] */
function store(values = {}) {
  return {
    values,
    getItem: (/** @type {string} */ key) => values[key] ?? null,
    setItem: (/** @type {string} */ key, /** @type {string} */ value) => void (values[key] = value),
  };
}
const KEY = "hub.cursor http://hub.test";

test("the cursor is kept as events are told, and the next page load goes on from there", async () => {
  const storage = store();
  const client = await open({ storage });
  assert.equal(storage.values[KEY], "e1:10");
  client.on("event", () => assert.notEqual(storage.values[KEY], "e1:11", "not before the listener had it"));
  FakeSocket.last.event(11);
  assert.equal(storage.values[KEY], "e1:11");
  client.close();
  make({ storage }).connect();
  await settled();
  assert.equal(FakeSocket.last.url.searchParams.get("after"), "e1:11");
  make({ storage, after: "e1:5" }).connect();
  await settled();
  assert.equal(FakeSocket.last.url.searchParams.get("after"), "e1:5", "what is said counts more");
});

test("what a slow reader has not dealt with is not kept as dealt with", async () => {
  const storage = store();
  const client = await open({ storage });
  const events = client.events();
  FakeSocket.last.event(11);
  FakeSocket.last.event(12);
  assert.equal(storage.values[KEY], "e1:10");
  await events.next();
  await events.next(); // it has dealt with the first
  assert.equal(storage.values[KEY], "e1:10");
  events.next(); // and with the second
  assert.equal(storage.values[KEY], "e1:12");
});

test("a kept cursor that the hub cannot read is forgotten", async () => {
  const storage = store({ [KEY]: "nonsense" });
  const client = make({ storage });
  const connected = assert.rejects(client.connect(), { code: "cursor_invalid" });
  await settled();
  FakeSocket.last.end(4502, "cursor_invalid: Not a cursor.");
  await connected;
  assert.equal(storage.values[KEY], "");
});

test("tabs that keep one login take turns in renewing it", async () => {
  let renewals = 0;
  const { fetch } = fakeFetch({
    "POST /v1/auth/refresh": ({ refresh_token }) => {
      assert.equal(refresh_token, `refresh-${renewals}`, "each is used once");
      renewals += 1;
      return { access_token: `access-${renewals}`, refresh_token: `refresh-${renewals}`, expires_in: 60 };
    },
  });
  const storage = store();
  const url = "http://hub.test";
  const first = new Session({ url, storage, fetch, tokens: { access: "access-0", refresh: "refresh-0", renewAt: 0 } });
  const other = new Session({ url, storage, fetch });
  assert.deepEqual(await Promise.all([first.token(), first.token({ fresh: true })]), ["access-1", "access-1"]);
  assert.equal(await other.token(), "access-1", "the other tab's");
  assert.equal(await other.token({ fresh: true }), "access-2");
  assert.equal(await first.token(), "access-2");
  assert.equal(renewals, 2);
  if (!globalThis.navigator?.locks) return; // nothing to take turns with
  const both = await Promise.all([first.token({ fresh: true }), other.token({ fresh: true })]);
  assert.deepEqual([both, renewals], [["access-3", "access-3"], 3]);
});

test("calls wait as long as the hub says, and are made again; a longer wait is told", async () => {
  let answers = [{ status: 503, retryAfter: "2" }, { status: 429, retryAfter: "1" }];
  const fetch = /** @type {any} */ (
    async () => {
      const answer = answers.shift();
      if (!answer) return new Response(JSON.stringify({ users: ["bob"] }));
      const headers = { "Retry-After": answer.retryAfter };
      return new Response(JSON.stringify({ code: "overloaded" }), { status: answer.status, headers });
    }
  );
  const client = make({ fetch });
  /** @type {string[] | undefined} */
  let users;
  const asked = client.presence("room:1").then((answer) => (users = answer));
  await settled();
  await pass(1.9);
  assert.equal(answers.length, 1);
  await pass(0.2);
  assert.equal(answers.length, 0);
  assert.equal(users, undefined);
  await pass(1);
  await asked;
  assert.deepEqual(users, ["bob"]);
  answers = [{ status: 503, retryAfter: "600" }];
  await assert.rejects(client.presence("room:1"), { code: "overloaded", retryAfter: 600, temporary: true });
});

test("a token that may be asked for later is asked for then", async () => {
  let asked = 0;
  const tokenProvider = () => {
    asked += 1;
    throw Object.assign(new HubError("too_many_attempts", "", 429), { retryAfter: 40 });
  };
  const client = make({ token: undefined, tokenProvider });
  client.connect();
  await settled();
  assert.equal(client.status.wait, 40.25);
  await pass(39);
  assert.equal(asked, 1);
  await pass(2);
  assert.equal(asked, 2);
});
