// A client on a socket whose other end is the test, and a clock that the test moves.

import { beforeEach, mock } from "node:test";

import { HubClient } from "../src/index.js";
import { FakeSocket, settled } from "./fake.js";

/** What Math.random returns. */
export const chance = { next: 0.5 };

beforeEach(() => {
  FakeSocket.all = [];
  chance.next = 0.5;
  mock.restoreAll();
  mock.timers.reset();
  mock.timers.enable({ apis: ["setTimeout", "Date"], now: 1_800_000_000_000 });
  mock.method(Math, "random", () => chance.next);
});

/** @param {import("../src/types.js").Options} [options] */
export function make(options = {}) {
  return new HubClient({ url: "http://hub.test/", token: "jwt-1", WebSocket: FakeSocket, client: "tab-00000001", transport: "websocket", ...options });
}

/** @param {import("../src/types.js").Options} [options] */
export async function open(options) {
  const client = make(options);
  const connected = client.connect();
  await settled();
  FakeSocket.last.welcome();
  await connected;
  return client;
}

/** @param {number} seconds */
export async function pass(seconds) {
  mock.timers.tick(seconds * 1000);
  await settled();
}
