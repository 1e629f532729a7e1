// The browser and Node client of the notification hub. Everything that users may rely on is named here.

export { login, Session } from "./auth.js";
export { HubClient } from "./client.js";
export { HubError } from "./errors.js";

/**
 * @typedef {import("./types.js").HubEvent} HubEvent
 * @typedef {import("./types.js").Publication} Publication
 * @typedef {import("./types.js").Receipt} Receipt
 * @typedef {import("./types.js").Status} Status
 * @typedef {import("./types.js").Options} Options
 * @typedef {import("./auth.js").Tokens} Tokens
 */
