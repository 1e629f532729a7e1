// The state machine against the vectors that every client of the hub is held to.

import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { test } from "node:test";

import { Core } from "../src/core.js";

const folder = new URL("../../../tests/vectors/client/", import.meta.url);
const names = readdirSync(folder).filter((name) => name.endsWith(".json"));

test("there are vectors", () => assert.ok(names.length > 0));

for (const name of names) {
  const vector = JSON.parse(readFileSync(new URL(name, folder), "utf8"));
  test(`${name}: ${vector.name}`, () => {
    const core = new Core(vector);
    for (const [index, step] of vector.steps.entries()) {
      const outputs = core.handle(step.in);
      assert.deepEqual(outputs, step.out, `step ${index}: ${JSON.stringify(step.in)}`);
      if (step.state !== undefined) assert.equal(core.state, step.state, `state after step ${index}`);
      if (step.cursor !== undefined) assert.equal(core.cursor, step.cursor, `cursor after step ${index}`);
    }
  });
}
