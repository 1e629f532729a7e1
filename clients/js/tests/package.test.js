// What is published: its size, its files, its types.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { test } from "node:test";
import { fileURLToPath, pathToFileURL } from "node:url";
import { gzipSync } from "node:zlib";

import { make } from "../build.mjs";

const ROOT = new URL("..", import.meta.url);

/** Bytes, gzipped, that each file may have; whoever asks for less than 6 kB means the first. */
const LIMITS = { "hub-client.js": 6000, "session.js": 1200, "event_stream.js": 1500, "tabs.js": 3000, "inbox.js": 7500 };

/** @param {import("node:test").TestContext} t */
async function built(t) {
  const folder = mkdtempSync(`${tmpdir()}/hub-client-`);
  t.after(() => rmSync(folder, { recursive: true }));
  return { folder, files: await make(folder) };
}

test("what a page loads is small", async (t) => {
  const { files } = await built(t);
  assert.deepEqual(Object.keys(files).sort(), Object.keys(LIMITS).sort());
  for (const [name, limit] of Object.entries(LIMITS)) {
    const size = gzipSync(files[name] ?? "", { level: 9 }).length;
    t.diagnostic(`${name}: ${size} bytes gzipped, of ${limit}`);
    assert.ok(size < limit, `${name} has ${size} bytes gzipped; the limit is ${limit}`);
  }
});

test("the minified files work, and are one client: an error of one is an error of the other", async (t) => {
  const { folder } = await built(t);
  const client = await import(pathToFileURL(`${folder}/hub-client.js`).href);
  const { Session } = await import(pathToFileURL(`${folder}/session.js`).href);
  const { HubInbox } = await import(pathToFileURL(`${folder}/inbox.js`).href); // harmless where there is no page
  assert.equal(typeof HubInbox, "function");
  for (const lazy of ["tabs", "event_stream"]) assert.ok(await import(pathToFileURL(`${folder}/${lazy}.js`).href));
  const session = new Session({ url: "http://hub.test", fetch: async () => Promise.reject(new TypeError("down")) });
  const hub = new client.HubClient({ url: "http://hub.test", session });
  await assert.rejects(hub.connect(), (/** @type {any} */ error) => error instanceof client.HubError && error.code === "refresh_invalid");
});

test("what package.json names is what there is", () => {
  const { exports, files, dependencies } = JSON.parse(readFileSync(new URL("package.json", ROOT), "utf8"));
  assert.equal(dependencies, undefined, "no dependencies");
  for (const entry of [".", "./session", "./inbox"]) {
    const source = exports[entry].default;
    assert.ok(readFileSync(new URL(source, ROOT), "utf8"));
    assert.ok(exports[entry].types.endsWith(source.replace("./src/", "/").replace(/\.js$/, ".d.ts")));
  }
  assert.deepEqual(files, ["dist", "inbox.d.ts", "src", "types"]);
});

test("a project in TypeScript finds every type, whichever way it looks for them", (t) => {
  const compiler = fileURLToPath(new URL("node_modules/typescript/bin/tsc", ROOT));
  const compile = (/** @type {string[]} */ ...options) => {
    try {
      execFileSync(process.execPath, [compiler, ...options], { encoding: "utf8", cwd: tmpdir() });
    } catch (error) {
      assert.fail(/** @type {any} */ (error).stdout);
    }
  };
  compile("-p", fileURLToPath(new URL("tsconfig.types.json", ROOT)));
  const folder = mkdtempSync(`${tmpdir()}/hub-consumer-`);
  t.after(() => rmSync(folder, { recursive: true }));
  mkdirSync(`${folder}/node_modules`);
  symlinkSync(fileURLToPath(ROOT), `${folder}/node_modules/notification-hub-client`);
  copyFileSync(new URL("tests/consumer/consumer.ts", ROOT), `${folder}/consumer.mts`);
  for (const way of [["nodenext", "nodenext"], ["esnext", "bundler"]]) {
    const [module, resolution] = /** @type {[string, string]} */ (way);
    const options = ["--noEmit", "--strict", "--target", "es2022", "--lib", "es2023,dom,dom.asynciterable"];
    compile(...options, "--types", "", "--module", module, "--moduleResolution", resolution, `${folder}/consumer.mts`);
  }
});
