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
 * @property {{ title?: string, body?: string, url?: string, icon?: string }} [display] how it wants to be shown to people
 * @property {string} [expires] RFC 3339
 * @property {string} [collapse_key] a newer one takes the place of an older one with the same key
 * @property {"low" | "normal" | "high"} [priority]
 */

/**
 * @typedef {HubEvent & { cursor: string, read: boolean, archived: boolean }} InboxItem
 *
 * A page of the inbox. `unread`: of the whole inbox. `next`: where the next page begins, null if this is the last. `cursor`:
 * the place in the log at which this is true.
 * @typedef {{ items: InboxItem[], unread: number, next: string | null, cursor: string }} InboxPage
 *
 * @typedef {{ limit?: number, after?: string, unread?: boolean, archived?: boolean | "any", type?: string, topic?: string }} InboxQuery
 *
 * Some events were marked, on this device or another of the same user. `ids` is null where `up_to`, a cursor, says which.
 * @typedef {{ action: "read" | "unread" | "archive" | "unarchive", ids: string[] | null, up_to: string | null,
 *   unread: number }} InboxMark
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
 * @property {string} [collapse_key] it takes the place of an older one with the same key
 * @property {"low" | "normal" | "high"} [priority]
 * @property {{ title?: string, body?: string, url?: string, icon?: string }} [display] how it wants to be shown to people
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
 * for. `inbox`: events were marked. `token`: a session's new tokens, null when it is over.
 * @typedef {{ event: HubEvent, inbox: InboxMark, state: Status, presence: Presence, resumed: { events: number },
 *   reset: { reason: string }, error: unknown, token: import("./session.js").Tokens | null }} Events
 */

/**
 * Returns a JWT, a newly made one if `fresh`. If it throws a `HubError` that is not `temporary`, the client stops;
 * after any other error it tries again.
 * @typedef {(options: { fresh: boolean }) => string | Promise<string>} TokenProvider
 */

/**
 * One of `token`, `tokenProvider` and `session` says who connects.
 * @typedef {object} Options
 * @property {string} [url] the hub's address; in a browser the page's own origin by default
 * @property {string} [token] a JWT, used until it ends
 * @property {TokenProvider} [tokenProvider]
 * @property {import("./session.js").Session} [session] a login at the hub
 * @property {string[]} [topics] besides those that the token subscribes by itself
 * @property {string | null} [after] a cursor to resume from
 * @property {string} [client] 8-64 of `A-Z a-z 0-9 _ -`: this tab or process; what it publishes is not sent back to it
 * @property {Pick<Storage, "getItem" | "setItem">} [storage] keeps the cursor over page loads: `localStorage`, or
 *   `sessionStorage` for each tab its own
 * @property {boolean | string} [share] one connection for all tabs of this origin in which the same person is signed in;
 *   a text makes a group of its own
 * @property {"auto" | "websocket" | "sse"} [transport] `auto`: a WebSocket, or server-sent events where none gets through
 * @property {import("./socket.js").WebSocketClass} [WebSocket] where there is no global one (Node before 22)
 * @property {Fetch} [fetch]
 */

/** @typedef {typeof globalThis.fetch} Fetch */

export {};
