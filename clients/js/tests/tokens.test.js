// The runtime and its tokens: renewed in time, tried again, over.

import assert from "node:assert/strict";
import { test } from "node:test";

import { HubError } from "../src/index.js";
import { make, open, pass } from "./bench.js";
import { FakeSocket, settled } from "./fake.js";

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
