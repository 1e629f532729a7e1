// What makes a frame from the hub one: the fields that docs/protocol.md, section 5, says it needs. Unknown types, actions
// and fields are no error.

/** @param {unknown} value */
const isText = (value) => typeof value === "string";

/** @param {unknown} value */
const isRef = (value) => isText(value) || Number.isInteger(value);

/** @param {any} value @param {...string} names */
const hasText = (value, ...names) => names.every((name) => isText(value[name]));

/** @type {Record<string, (frame: Record<string, any>) => boolean>} */
const CHECKS = {
  welcome: (frame) => hasText(frame, "cursor"),
  event: ({ cursor, topic, event }) =>
    (cursor == null || isText(cursor)) && isText(topic) && isObject(event) && hasText(event, "id", "type"),
  cursor: (frame) => hasText(frame, "cursor"),
  reset: (frame) => hasText(frame, "reason", "cursor"),
  presence: ({ topic, action, users, user }) => {
    if (!isText(topic) || !isText(action)) return false;
    if (action === "state") return Array.isArray(users) && users.every(isText);
    return (action !== "join" && action !== "leave") || isText(user);
  },
  ok: ({ ref }) => isRef(ref),
  error: ({ ref, code }) => isText(code) && (ref == null || isRef(ref)),
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
