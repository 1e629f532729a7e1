// The client on real sockets of this machine: closes with their reasons, cut connections, resuming.

import assert from "node:assert/strict";
import { once } from "node:events";
import { test } from "node:test";
import { WebSocket, WebSocketServer } from "ws";

import { HubClient } from "../src/index.js";

/**
 * A hub that keeps a log of numbers and cuts connections.
 * @param {import("node:test").TestContext} t
 */
async function serve(t) {
  const server = new WebSocketServer({ host: "127.0.0.1", port: 0, handleProtocols: () => "hub.v1" });
  t.after(() => server.close());
  await once(server, "listening");
  const { port } = /** @type {import("node:net").AddressInfo} */ (server.address());
  const hub = {
    url: `http://127.0.0.1:${port}`,
    length: 0,
    connections: 0,
    publish() {
      hub.length += 1;
      for (const socket of server.clients) send(socket, hub.length);
    },
    cut() {
      for (const socket of server.clients) socket.terminate();
    },
  };
  const send = (/** @type {WebSocket} */ socket, /** @type {number} */ seq) => {
    const event = { id: String(seq), type: "t", source: "service:shop", time: "2026-01-01T00:00:00Z", data: seq };
    socket.send(JSON.stringify({ type: "event", cursor: `e1:${seq}`, topic: "all", event }));
  };
  server.on("connection", (socket, request) => {
    hub.connections += 1;
    if (!request.headers["sec-websocket-protocol"]?.includes("bearer.good")) {
      return socket.close(1008, "token_signature: The token's signature is wrong.");
    }
    const after = new URL(request.url ?? "", "http://x").searchParams.get("after");
    const seq = after ? Number(after.split(":")[1]) : hub.length;
    socket.send(JSON.stringify({ type: "welcome", protocol: "hub.v1", cursor: `e1:${seq}`, topics: ["all"] }));
    for (let next = seq + 1; next <= hub.length; next += 1) send(socket, next);
    return undefined;
  });
  return hub;
}

const classes = /** @type {[string, any][]} */ ([["ws", WebSocket]]);
if (globalThis.WebSocket) classes.push(["this Node's own", globalThis.WebSocket]);

for (const [name, WebSocketClass] of classes) {
  test(`${name}: a refusal arrives with its code and reason`, async (t) => {
    const hub = await serve(t);
    const client = new HubClient({ url: hub.url, token: "bad", WebSocket: WebSocketClass });
    await assert.rejects(client.connect(), { code: "token_signature" });
    assert.deepEqual(client.status.close, { code: 1008, reason: "token_signature: The token's signature is wrong." });
    assert.equal(hub.connections, 1);
  });

  test(`${name}: cut off again and again, it misses nothing and sees nothing twice`, async (t) => {
    const hub = await serve(t);
    const client = new HubClient({ url: hub.url, token: "good", WebSocket: WebSocketClass });
    t.after(() => client.close());
    t.mock.method(Math, "random", () => 0);
    await client.connect();
    /** @type {number[]} */
    const seen = [];
    const events = client.events();
    for (let round = 0; round < 5; round += 1) {
      hub.publish();
      hub.cut();
      hub.publish();
      while (seen.length < hub.length) seen.push((await events.next()).value.data);
    }
    assert.deepEqual(seen, [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
    assert.ok(hub.connections >= 6);
  });
}
