// A daemon on the JavaScript client: prints each event as a line of JSON, answers each with one of its own.

import { HubClient } from "../../clients/js/src/index.js";
import { Session } from "../../clients/js/src/session.js";

const [url, username, password] = process.argv.slice(2);
const client = new HubClient({ url, session: new Session({ url, username, password }), topics: ["orders"] });
const say = (/** @type {any} */ line) => console.log(JSON.stringify(line));

client.on("state", ({ state, close, code }) => say({ state, close, code }));
client.on("resumed", (resumed) => say({ resumed }));
process.on("SIGTERM", () => client.close());

try {
  for await (const event of client.events()) {
    say({ topic: event.topic, cursor: event.cursor, data: event.data });
    const { data } = event;
    client.publish({ type: "seen", data, to: { topics: ["receipts"] } }).then(
      () => say({ answered: data }),
      (error) => say({ unanswered: data, code: error.code }),
    );
  }
  say({ end: "closed" });
} catch (error) {
  say({ end: /** @type {any} */ (error).code });
}
