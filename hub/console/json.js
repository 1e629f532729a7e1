// A value as people read JSON: indented, coloured, cut where it is too long to look at.

import { make } from "./dom.js";

/** Lines that are shown without asking, and characters that are shown at all. */
const SHORT = 8;
const LONGEST = 20_000;

/** A key (with its colon), a text, a literal or a number. */
const TOKEN = /("(?:\\.|[^"\\])*")(\s*:)?|\b(true|false|null)\b|-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?/g;

/** @param {unknown} value @returns {HTMLElement | null} null if there is nothing to show */
export function show(value) {
  if (value === null || value === undefined) return null;
  const text = JSON.stringify(value, null, 2);
  const flat = JSON.stringify(value);
  if (flat.length <= 100) return make("pre", { class: "json" }, paint(spaced(value)));
  const cut = text.length > LONGEST;
  const block = make("pre", { class: "json" }, paint(cut ? text.slice(0, LONGEST) : text));
  /** @type {HTMLElement[]} */
  const body = [block];
  if (cut) body.push(make("p", { class: "hint" }, `Cut here; the data has ${text.length.toLocaleString()} characters.`));
  if (text.split("\n", SHORT + 1).length <= SHORT && text.length < 600) return block;
  const preview = make("code", { class: "json" }, `${flat.slice(0, 120)}…`);
  return make("details", { class: "data" }, make("summary", {}, preview), ...body);
}

/** One line, with the spaces that eyes want. @param {unknown} value @returns {string} */
function spaced(value) {
  if (Array.isArray(value)) return `[${value.map(spaced).join(", ")}]`;
  if (typeof value !== "object" || value === null) return JSON.stringify(value);
  const fields = Object.entries(value).map(([name, field]) => `${JSON.stringify(name)}: ${spaced(field)}`);
  return fields.length ? `{ ${fields.join(", ")} }` : "{}";
}

/** @param {string} text JSON, perhaps cut short */
function paint(text) {
  const fragment = document.createDocumentFragment();
  let from = 0;
  for (const match of text.matchAll(TOKEN)) {
    const [token, string, colon, literal] = match;
    fragment.append(text.slice(from, match.index));
    const kind = string === undefined ? (literal ? "literal" : "number") : colon === undefined ? "string" : "key";
    fragment.append(make("span", { class: kind }, string ?? token), colon ?? "");
    from = match.index + token.length;
  }
  fragment.append(text.slice(from));
  return fragment;
}
