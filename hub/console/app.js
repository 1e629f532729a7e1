// The console: puts its parts and the hub's client together.

import { HubClient, HubError } from "/client/index.js";
import { HubInbox } from "/client/inbox.js";
import { Session } from "/client/session.js";
import { Compose } from "./compose.js";
import { Desk } from "./desk.js";
import { find } from "./dom.js";
import { Door } from "./door.js";
import { Pill } from "./pill.js";
import { Tab } from "./tab.js";
import { explain, explainError, nameRefusal } from "./words.js";

/**
 * @typedef {import("/client/types.js").Status} Status
 * @typedef {{ session: Session } | { token: string }} Identity
 */

/** Refusals of a topic: the connection can live without it. */
const TOPIC_REFUSED = new Set(["forbidden", "topic_invalid", "too_many_topics"]);
/** Milliseconds that the hub has to close the socket of a session that was signed out. */
const FAREWELL = 2000;

const tab = new Tab();
const desk = new Desk(tab);
const pill = new Pill(() => client?.retry());
const compose = new Compose((event) => {
  if (!client) throw new Error("Nobody is signed in.");
  // Echoed, so that it has its place among the others' events; the hub sends it once.
  return client.publish(event, { echo: true });
});
const door = new Door({ session: (session) => enter({ session }), token: (token) => enter({ token }) });
const signOut = find("sign-out", HTMLButtonElement);
const inbox = find("inbox", HubInbox);
const banner = find("banner", HTMLElement);
const hold = find("hold", HTMLElement);

/** @type {HubClient | null} */
let client = null;
/** @type {Identity | null} */
let identity = null;
let wasOpen = false;
let leaving = false;

desk.onSelect = (topic) => compose.select(topic);
signOut.addEventListener("click", leave);
find("banner-action", HTMLButtonElement).addEventListener("click", () => goOut());

/** @param {Identity} who */
function enter(who) {
  const former = client;
  client = null; // what it says from here on is nobody's business
  former?.close();
  identity = who;
  wasOpen = leaving = false;
  tab.save("session" in who ? { tokens: who.session.tokens, token: null } : { tokens: null, token: who.token });
  client = new HubClient({ url: location.origin, client: tab.memory.client, topics: tab.memory.topics, ...who });
  const mine = client;
  client.on("state", (status) => {
    if (mine === client) follow(status);
  });
  client.on("token", (tokens) => {
    if (mine === client) tab.save({ tokens });
  });
  desk.attach(client);
  client.connect();
}

/** Somebody who was here before the page was loaded anew. @param {Identity} who */
function goOn(who) {
  hold.hidden = signOut.hidden = false;
  enter(who);
}

/** @param {Status} status */
function follow(status) {
  pill.show(status, wasOpen);
  if (status.state === "open") opened(status);
  if (status.state === "waiting" && wasOpen) desk.lost(status.close);
  if (status.state === "stopped" && !leaving) stopped(status);
}

/** @param {Status} status */
function opened({ welcome }) {
  banner.hidden = hold.hidden = true;
  if (wasOpen) return desk.back();
  wasOpen = true;
  door.shut();
  signOut.hidden = false;
  signOut.textContent = identity && "token" in identity ? "Disconnect" : "Sign out";
  compose.reset();
  showInbox();
  return desk.open(welcome?.["user"] ?? "", welcome?.["topics"] ?? []);
}

/** The bell is for people: a service has no inbox. */
async function showInbox() {
  const mine = client;
  const me = await mine?.me().catch(() => null);
  if (mine !== client || me?.kind !== "user") return;
  inbox.client = mine;
  inbox.hidden = false;
}

/** The hub does not want this client any more. @param {Status} status */
function stopped({ code = "closed", close, error }) {
  if (TOPIC_REFUSED.has(code) && client?.topics.length) {
    desk.dropTopics(explain(code, close?.reason));
    return client.connect();
  }
  // It is the close that says why, or the token that could then not be had.
  const words = error instanceof HubError && error.code === code ? explainError(error) : explain(code, close?.reason);
  const [number, name] = nameRefusal(code, close);
  if (!wasOpen) {
    goOut();
    return door.refuse(number, name, words);
  }
  find("banner-close", HTMLElement).textContent = number;
  find("banner-name", HTMLElement).textContent = name;
  find("banner-words", HTMLElement).textContent = words;
  banner.hidden = false;
  desk.refused(`${number} ${name}`.trim());
  return undefined;
}

async function leave() {
  const mine = client;
  if (!mine || leaving) return;
  leaving = true;
  let words = "You are signed out.";
  if (identity && "session" in identity) {
    const closed = ended(mine);
    try {
      await identity.session.logout();
      await closed;
      const { close } = mine.status;
      if (close) words = `You are signed out, and the hub closed the connection: ${close.code} ${close.reason}`;
    } catch (error) {
      words = `You are signed out here, but the hub does not know it yet: ${explainError(error)}`;
    }
  }
  if (mine === client) goOut(words);
}

/** Settles when the client has stopped, or when that takes too long. @param {HubClient} mine */
function ended(mine) {
  return new Promise((resolve) => {
    if (mine.state !== "open") return resolve(undefined);
    mine.on("state", ({ state }) => state === "stopped" && resolve(undefined));
    setTimeout(resolve, FAREWELL);
    return undefined;
  });
}

/** Back to the door; nothing of the person stays. @param {string} [words] */
function goOut(words) {
  leaving = true;
  client?.close();
  client = identity = inbox.client = null;
  inbox.hidden = true;
  tab.save({ tokens: null, token: null, topics: [] });
  banner.hidden = hold.hidden = signOut.hidden = true;
  desk.close();
  pill.show({ state: "idle" }, false);
  door.open(words);
}

await tab.claim();
const { tokens, token } = tab.memory;
if (tokens) goOn({ session: new Session({ url: location.origin, tokens }) });
else if (token) goOn({ token });
else door.open(tab.isCopy ? "This tab is a copy of one where you are signed in. Sign in to be a second person here." : "");
