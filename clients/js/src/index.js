// The browser and Node client of the notification hub. Everything that users may rely on is named here.

export { HubClient } from "./client.js";
export { HubError } from "./errors.js";

/**
 * @typedef {import("./types.js").HubEvent} HubEvent
 * @typedef {import("./types.js").InboxItem} InboxItem
 * @typedef {import("./types.js").InboxPage} InboxPage
 * @typedef {import("./types.js").InboxMark} InboxMark
 * @typedef {import("./types.js").Publication} Publication
 * @typedef {import("./types.js").Receipt} Receipt
 * @typedef {import("./types.js").Status} Status
 * @typedef {import("./types.js").Options} Options
 * @typedef {import("./session.js").Tokens} Tokens
 */
