// Makes dist/: what pages without a bundler load, minified. Run by `npm pack` and `npm publish`, and by the test of the
// sizes. Whoever has a bundler gets the sources, and the hub serves those, too.

import { build } from "esbuild";
import { mkdir, rm, writeFile } from "node:fs/promises";
import { pathToFileURL } from "node:url";
import { minify } from "terser";

/** What the other files share with the client they take from it. Not typed, and not promised to anybody. */
const CLIENT = `
export * from "./src/index.js";
export { Http, parse } from "./src/http.js";
export { randomName } from "./src/client.js";
`;
const OTHERS = ["session", "inbox", "event_stream", "tabs"];

/** @type {import("esbuild").Plugin} */
const shared = {
  name: "shared",
  setup({ onResolve }) {
    onResolve({ filter: /^\.\/(http|errors|client)\.js$/ }, () => ({ path: "./hub-client.js", external: true }));
  },
};

/** @type {import("esbuild").BuildOptions} */
const COMMON = { bundle: true, minify: true, format: "esm", target: "es2022", write: false, logLevel: "warning" };

/** @param {string} folder @returns {Promise<Record<string, string>>} the files by name, as written there */
export async function make(folder) {
  const root = new URL(".", import.meta.url).pathname;
  const lazy = ["./tabs.js", "./event_stream.js"];
  const client = await build({ ...COMMON, stdin: { contents: CLIENT, resolveDir: root }, external: lazy });
  const others = await Promise.all(
    OTHERS.map((name) => build({ ...COMMON, entryPoints: [`${root}src/${name}.js`], plugins: [shared] })),
  );
  /** @type {Record<string, string>} */
  const files = {};
  for (const [index, name] of ["hub-client", ...OTHERS].entries()) {
    const text = (index ? others[index - 1] : client)?.outputFiles?.[0]?.text ?? "";
    const { code } = await minify(text, { module: true, ecma: 2020, compress: { passes: 4 } });
    files[`${name}.js`] = code ?? "";
  }
  await rm(folder, { recursive: true, force: true });
  await mkdir(folder, { recursive: true });
  await Promise.all(Object.entries(files).map(([name, code]) => writeFile(`${folder}/${name}`, code)));
  return files;
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href) {
  await make(new URL("dist", import.meta.url).pathname);
}
