// Reads an AsyncAPI document from standard input and prints what is wrong with it, a line each.
import { text } from "node:stream/consumers";
import { Parser } from "@asyncapi/parser";

const { diagnostics } = await new Parser().parse(await text(process.stdin));
// 3.0 is what tools understand; that there is a 3.1 is no fault.
for (const { code, message, path } of diagnostics.filter(({ code }) => code !== "asyncapi-latest-version")) {
  console.log(`${code}: ${message} at ${path.join(".")}`);
}
