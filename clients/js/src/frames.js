// What makes a frame from the hub one: the fields that this client relies on. Unknown types and fields are no error.

/** @param {unknown} value */
const isText = (value) => typeof value === "string";

/** @param {any} value @param {...string} names */
const hasText = (value, ...names) => names.every((name) => isText(value[name]));

/** @type {Record<string, (frame: Record<string, any>) => boolean>} */
const CHECKS = {
  welcome: (frame) => hasText(frame, "cursor"),
  event: ({ cursor, topic, event }) =>
    (cursor === undefined || isText(cursor)) &&
    isText(topic) &&
    isObject(event) &&
    hasText(event, "id", "type", "source", "time"),
  cursor: (frame) => hasText(frame, "cursor"),
  reset: (frame) => hasText(frame, "reason", "cursor"),
  presence: ({ topic, action, users, user }) =>
    isText(topic) &&
    (action === "state" ? Array.isArray(users) && users.every(isText) : isText(action) && isText(user)),
  ok: ({ ref, cursor }) => ref != null && (cursor === undefined || isText(cursor)),
  error: ({ ref, code }) => ref !== undefined && isText(code),
};

/** @param {unknown} frame @returns {frame is Record<string, any>} */
export function isValid(frame) {
  if (!isObject(frame) || !isText(frame["type"])) return false;
  const type = frame["type"];
  return !Object.hasOwn(CHECKS, type) || CHECKS[type]?.(frame) === true;
}

/** @param {unknown} value @returns {value is Record<string, any>} */
function isObject(value) {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
