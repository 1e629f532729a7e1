// The state machine against the vectors that every client of the hub is held to.

import assert from "node:assert/strict";
import { test } from "node:test";

import { Core } from "../src/core.js";
import { vectors } from "./fake.js";

const client = vectors("client");
const wire = vectors("wire", "from-hub");

test("there are vectors", () => {
  assert.ok(client.length > 50);
  assert.equal(wire.length, 2);
});

for (const vector of client) {
  test(`client: ${vector.name}`, () => {
    const core = new Core(vector);
    for (const [index, step] of vector.steps.entries()) {
      const outputs = core.handle(step.in);
      assert.deepEqual(outputs, step.out, `step ${index}: ${JSON.stringify(step.in)}`);
      if (step.state !== undefined) assert.equal(core.state, step.state, `state after step ${index}`);
      if (step.cursor !== undefined) assert.equal(core.cursor, step.cursor, `cursor after step ${index}`);
    }
  });
}

for (const { why, text, expect } of wire.flatMap(({ frames }) => frames)) {
  test(`wire: ${why}`, () => {
    const frame = json(text);
    const core = new Core({ client: "tab-00000001" });
    core.handle({ kind: "start" });
    core.handle({ kind: "token", value: "jwt" });
    if (frame?.type !== "welcome") core.handle({ kind: "frame", frame: { type: "welcome", cursor: "e1:0" } });
    const before = [core.state, core.cursor];
    const outputs = core.handle({ kind: "frame", frame });
    const invalid = [{ do: "notify", kind: "invalid" }];
    if (expect.is === "frame") {
      assert.deepEqual(frame, expect.frame);
      assert.notDeepEqual(outputs, invalid);
      assert.equal(core.state, "open");
    } else {
      assert.deepEqual(outputs, { garbage: invalid, ignored: [] }[/** @type {"garbage" | "ignored"} */ (expect.is)]);
      assert.deepEqual([core.state, core.cursor], before);
    }
  });
}

/** @param {string} text */
function json(text) {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}
