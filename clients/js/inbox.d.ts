// The types of the entry "notification-hub-client/inbox": those made from the sources, and what the element adds to a page.

import type { HubInbox } from "./types/inbox.js";
import type { InboxItem } from "./types/types.js";

export * from "./types/inbox.js";

declare global {
  interface HTMLElementTagNameMap {
    "hub-inbox": HubInbox;
  }
  interface HTMLElementEventMap {
    "hub-inbox-open": CustomEvent<InboxItem>;
    "hub-inbox-change": CustomEvent<{ unread: number }>;
  }
}
