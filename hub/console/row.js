// One line of the feed: an event, or something that happened to the connection or to people.

import { make, tint } from "./dom.js";
import { show } from "./json.js";
import { dayOf, exact, timeOfDay } from "./time.js";

/** @typedef {import("/client/types.js").HubEvent} HubEvent */

/** Characters of a text that are shown without asking. */
const LONG_TEXT = 600;

/**
 * @param {HubEvent} event
 * @param {string} me the source that is this person
 */
export function eventRow(event, me) {
  const date = new Date(event.time);
  const mine = event.source === me;
  const body = make("div", { class: "body" });
  const said = text(event);
  const chat = said !== null && event.type.startsWith("chat.");
  const from = make("span", { class: "source", title: event.source }, mine ? "you" : name(event.source));
  const type = make("span", { class: "type" }, event.type);
  const topic = tint(make("span", { class: "topic" }, event.topic), event.topic);
  // Of what was said, who said it comes first; of what happened, what.
  const meta = make("p", { class: "meta" }, ...(chat ? [from, topic, type] : [type, topic, from]));
  if (event.cursor === null) meta.append(make("span", { class: "tag", title: "It is not in the log." }, "ephemeral"));
  body.append(meta);
  const data = said === null ? show(event.data) : paragraph(said);
  if (data) body.append(data);
  const row = make(
    "li",
    { class: "row" },
    make("time", { datetime: event.time, title: exact(date) }, timeOfDay(date)),
    tint(make("span", { class: "node", "aria-hidden": "true" }), event.topic),
    body,
  );
  row.classList.toggle("mine", mine);
  row.classList.toggle("chat", chat);
  row.classList.toggle("passing", event.cursor === null);
  return row;
}

/**
 * @param {"lost" | "back" | "gap" | "people" | "note"} kind
 * @param {string} words
 * @param {Date} date
 */
export function markRow(kind, words, date) {
  return make(
    "li",
    { class: `row mark mark-${kind}` },
    make("time", { datetime: date.toISOString(), title: exact(date) }, timeOfDay(date)),
    make("span", { class: "node", "aria-hidden": "true" }),
    make("p", { class: "body" }, words),
  );
}

/** @param {Date} date */
export const dayRow = (date) => make("li", { class: "day" }, make("span", {}, dayOf(date)));

/** What is looked through by the filter. @param {HubEvent} event */
export const searchable = (event) =>
  `${event.type} ${event.topic} ${event.source} ${JSON.stringify(event.data)}`.toLowerCase();

/** A text that was said, if the event is one. @param {HubEvent} event @returns {string | null} */
function text({ data }) {
  if (typeof data === "string") return data;
  if (typeof data !== "object" || data === null) return null;
  const keys = Object.keys(data);
  return keys.length === 1 && typeof data.text === "string" ? data.text : null;
}

/** @param {string} said */
function paragraph(said) {
  if (said.length <= LONG_TEXT) return make("p", { class: "text" }, said);
  const summary = make("summary", {}, make("span", { class: "text" }, `${said.slice(0, 200)}…`));
  return make("details", { class: "data" }, summary, make("p", { class: "text" }, said));
}

/** @param {string} source */
const name = (source) => source.replace(/^(user|service):/, "");
