// The browser and Node client of the notification hub. Everything that users may rely on is named here.

export { login, Session } from "./auth.js";
export { HubClient } from "./client.js";
export { HubError } from "./errors.js";
