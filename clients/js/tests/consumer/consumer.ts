// A project that uses the package, as its compiler sees it: compiled by the test of the package, never run.

import { HubClient, HubError, type HubEvent, type InboxItem, type InboxMark } from "notification-hub-client";
import { HubInbox } from "notification-hub-client/inbox";
import { login, Session } from "notification-hub-client/session";

const session: Session = await login({ url: "https://hub.test", username: "alice", password: "", storage: localStorage });
const client = new HubClient({ session, share: true, storage: localStorage, transport: "auto", topics: ["orders"] });

for await (const event of client.events()) {
  const title: string | undefined = event.display?.title;
  console.log(title, (event satisfies HubEvent).cursor);
}

const { items, unread, next } = await client.inbox({ limit: 30, archived: "any", unread: true });
const first: InboxItem | undefined = items[0];
if (first) await client.mark("read", [first.id]);
await client.mark("archive", { upTo: first?.cursor ?? "" });
// @ts-expect-error There is no such mark.
await client.mark("forget", []);

const off: () => void = client.on("state", ({ state, wait }) => state === "waiting" && wait);
client.on("inbox", (mark: InboxMark) => mark.unread + unread);
off();

const inbox = document.querySelector("hub-inbox");
if (inbox instanceof HubInbox) {
  inbox.client = client;
  inbox.labels = { title: "News" };
  inbox.addEventListener("hub-inbox-open", ({ detail }) => detail.read);
  inbox.addEventListener("hub-inbox-change", ({ detail }) => detail.unread);
}

try {
  await client.publish({ type: "t", to: { all: true }, priority: "high", display: { title: String(next) } });
} catch (error) {
  if (error instanceof HubError) setTimeout(() => client.retry(), error.retryAfter * 1000);
}
