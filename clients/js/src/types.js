// The words that users of the client meet, as types; nothing here runs.

/**
 * An event, as delivered.
 * @typedef {object} HubEvent
 * @property {string} topic the one of this client's topics through which it came
 * @property {string | null} cursor its place in the log; null for an ephemeral one
 * @property {string} id
 * @property {string} type
 * @property {string} source who published it, as the hub knows them: `user:<id>` or `service:<id>`
 * @property {string} time RFC 3339
 * @property {any} data
 */

/**
 * An event to publish; it needs at least one target.
 * @typedef {object} Publication
 * @property {string} type
 * @property {any} [data]
 * @property {{ users?: string[], topics?: string[], all?: boolean }} to
 * @property {string} [id] makes it safe to repeat; made up if not given
 * @property {boolean} [durable] false: skips the log, goes only to those who are there now
 * @property {number} [ttl] seconds that it is kept
 * @property {string[]} [exclude] clients (tabs, processes) that are not sent it
 */

/**
 * What a publisher gets.
 * @typedef {{ id: string, cursor: string | null, time: string, duplicate: boolean }} Receipt
 */

/**
 * A piece of the log. `reset`: events between `after` and the oldest one retained are gone.
 * @typedef {{ events: HubEvent[], cursor: string, reset: boolean, more: boolean }} Page
 */

/**
 * Who a token speaks for and what they may do; `expires` in Unix seconds, null for an API key without an end.
 * @typedef {{ subject: string, kind: "user" | "service", admin: boolean, topics: string[],
 *   grants: { subscribe: string[], publish: string[] }, expires: number | null }} Me
 */

/**
 * The state of the connection and its circumstances.
 * @typedef {object} Status
 * @property {import("./core.js").State} state
 * @property {Record<string, any>} [welcome] open: the hub's first frame (`user`, `topics`, `expires`, …)
 * @property {number} [wait] waiting: seconds until the next try
 * @property {{ code: number, reason: string }} [close] how the last connection ended, until the next is open
 * @property {unknown} [error] what kept the client from a token
 * @property {string} [code] stopped by a refusal: its name
 */

/**
 * @typedef {{ topic: string, action: "state", users: string[] }
 *   | { topic: string, action: "join" | "leave", user: string }} Presence
 */

/**
 * What can be listened to. `resumed`: all that was missed has been delivered, this many events. `reset`: events were
 * lost to this client, so reload what you show. `error`: a listener threw, or the hub refused something that nobody waits
 * for. `token`: a session's new tokens, null when it is over.
 * @typedef {{ event: HubEvent, state: Status, presence: Presence, resumed: { events: number },
 *   reset: { reason: string }, error: unknown, token: import("./auth.js").Tokens | null }} Events
 */

/**
 * Returns a JWT, a newly made one if `fresh`. If it throws a `HubError` that is not `temporary`, the client stops;
 * after any other error it tries again.
 * @typedef {(options: { fresh: boolean }) => string | Promise<string>} TokenProvider
 */

/**
 * One of `token`, `tokenProvider`, `session` and `username` says who connects.
 * @typedef {object} Options
 * @property {string} [url] the hub's address; in a browser the page's own origin by default
 * @property {string} [token] a JWT, used until it ends
 * @property {TokenProvider} [tokenProvider]
 * @property {import("./auth.js").Session} [session] a login, see `login()`
 * @property {string} [username]
 * @property {string} [password] with `username`: logs in when it must
 * @property {string[]} [topics] besides those that the token subscribes by itself
 * @property {string | null} [after] a cursor to resume from
 * @property {string} [client] 8-64 of `A-Z a-z 0-9 _ -`: this tab or process; what it publishes is not sent back to it
 * @property {import("./socket.js").WebSocketClass} [WebSocket] where there is no global one (Node before 22)
 * @property {Fetch} [fetch]
 */

/** @typedef {typeof globalThis.fetch} Fetch */

export {};
