// What one of several tabs hears: each event once and in order, though leaders change, and though the tab may come with a
// cursor that is not the leader's (it was loaded anew, say). It then reads what is between from the log by itself: cursors
// cannot be compared, but what is read and what is told meet in the same events.

import { HubError } from "./errors.js";

/**
 * @import { News, Tell } from "./line.js"
 * @import { HubEvent, Page } from "./types.js"
 */

/** Events that are remembered. */
const REMEMBERED = 1000;
/** Events read from the log at once, and milliseconds until it is tried again. */
const PAGE = 500;
const PAUSE = 250;

export class Hearing {
  /** @type {string | null} */
  cursor;

  #tell;
  #history;
  /** The cursors of the newest events. @type {Set<string>} */
  #seen = new Set();
  /** What this tab published and does not want to hear. @type {Set<string>} */
  #own = new Set();
  /** What is told while this tab reads the log. @type {[keyof News, any][] | null} */
  #held = null;

  /**
   * @param {string | null} cursor
   * @param {Tell} tell
   * @param {(topics: string[], options: { after?: string, limit?: number }) => Promise<Page>} history
   */
  constructor(cursor, tell, history) {
    this.cursor = cursor;
    this.#tell = tell;
    this.#history = history;
  }

  /** @param {string} id of an event that this tab publishes */
  leaveOut(id) {
    remember(this.#own, id);
  }

  /** @template {keyof News} Name @param {Name} name @param {News[Name]} value */
  hear(name, value) {
    if (this.#held) this.#held.push([name, value]);
    else if (name === "event") this.#deliver(/** @type {HubEvent} */ (value));
    else {
      if (name === "cursor") this.cursor = /** @type {string | null} */ (value);
      this.#tell(name, value);
    }
  }

  /** What is being read concerns nobody any more. */
  stop() {
    this.#held = null;
  }

  /**
   * A leader stands at this cursor; what it tells follows from there.
   * @param {string | null} cursor
   * @param {() => string[] | null} topics what is followed; null while it has no connection
   */
  meet(cursor, topics) {
    const { cursor: mine } = this;
    if (!this.#held && mine !== null && mine !== cursor) this.#catchUp(mine, topics);
    this.hear("cursor", cursor);
  }

  /** @param {string} after @param {() => string[] | null} followed */
  async #catchUp(after, followed) {
    const held = (this.#held = /** @type {[keyof News, any][]} */ ([]));
    let events = 0;
    for (;;) {
      try {
        const topics = followed();
        if (!topics) throw new HubError("not_connected", "", 0);
        const page = await this.#history(topics, { after, limit: PAGE });
        if (held !== this.#held) return;
        if (page.reset) this.#tell("reset", { reason: "truncated" });
        for (const event of page.events) events += Number(this.#deliver(event));
        after = this.cursor = page.cursor;
        this.#tell("cursor", after);
        if (!page.more) break;
      } catch (error) {
        if (held !== this.#held) return;
        if (error instanceof HubError && !error.temporary) {
          this.#tell("reset", { reason: error.code });
          break;
        }
        await new Promise((done) => setTimeout(done, PAUSE));
        if (held !== this.#held) return;
      }
    }
    this.#held = null;
    this.#tell("resumed", { events });
    for (const [name, value] of held) this.hear(name, value);
  }

  /** @param {HubEvent} event @returns {boolean} whether it was news */
  #deliver(event) {
    const { cursor, id } = event;
    if (cursor !== null && this.#seen.has(cursor)) return false;
    if (cursor !== null) remember(this.#seen, cursor);
    if (!this.#own.delete(id)) this.#tell("event", event);
    return true;
  }
}

/** @param {Set<string>} set @param {string} value */
function remember(set, value) {
  set.add(value);
  if (set.size > REMEMBERED) for (const oldest of set) return set.delete(oldest);
  return false;
}
