// What makes a frame from the hub one: the fields that docs/protocol.md, section 5, says it needs. Unknown types, actions
// and fields are no error.

/** The texts that each type needs. @type {Record<string, string[]>} */
const TEXTS = {
  welcome: ["cursor"],
  event: ["topic"],
  cursor: ["cursor"],
  reset: ["reason", "cursor"],
  presence: ["topic", "action"],
  ok: [],
  error: ["code"],
};

/** What else it needs. @type {Record<string, (frame: Record<string, any>) => boolean>} */
const MORE = {
  event: ({ cursor, event }) => (cursor == null || isText(cursor)) && isObject(event) && hasTexts(event, ["id", "type"]),
  presence: ({ action, users, user }) => {
    if (action === "state") return Array.isArray(users) && users.every(isText);
    return (action !== "join" && action !== "leave") || isText(user);
  },
  ok: ({ ref }) => isRef(ref),
  error: ({ ref }) => ref == null || isRef(ref),
};

/** @param {unknown} frame @returns {frame is Record<string, any>} */
export function isValid(frame) {
  if (!isObject(frame) || !isText(frame["type"])) return false;
  const type = frame["type"];
  if (!Object.hasOwn(TEXTS, type)) return true;
  return hasTexts(frame, TEXTS[type] ?? []) && (MORE[type]?.(frame) ?? true);
}

/** @param {unknown} value */
const isText = (value) => typeof value === "string";

/** @param {unknown} value */
const isRef = (value) => isText(value) || Number.isInteger(value);

/** @param {any} value @param {string[]} names */
const hasTexts = (value, names) => names.every((name) => isText(value[name]));

/** @param {unknown} value @returns {value is Record<string, any>} */
const isObject = (value) => typeof value === "object" && value !== null && !Array.isArray(value);
