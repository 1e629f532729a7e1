// What this tab remembers over a reload: who is signed in, as which client, following what. Each tab for itself, so
// that two tabs can be two people.

/**
 * @typedef {object} Memory
 * @property {string} client this tab's name at the hub
 * @property {import("/client/session.js").Tokens | null} tokens a login
 * @property {string | null} token or a token that was pasted
 * @property {string[]} topics
 */

const KEY = "hub.tab";
/** Milliseconds that a page which is being left has to let go of its name. */
const PATIENCE = 1000;

/** @returns {Memory} */
function blank() {
  const bytes = crypto.getRandomValues(new Uint8Array(8));
  const client = `tab-${Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("")}`;
  return { client, tokens: null, token: null, topics: [] };
}

export class Tab {
  /** @type {Memory} */
  memory;
  /** Whether this tab was made as a copy of one that is still there. */
  isCopy = false;

  constructor() {
    this.memory = { ...blank(), ...JSON.parse(sessionStorage.getItem(KEY) ?? "{}") };
  }

  /**
   * Browsers copy a tab's storage when they duplicate a tab. Two tabs that share one refresh token would end the session
   * at its next use, so the copy forgets it.
   */
  async claim() {
    if (!(await hold(`hub ${this.memory.client}`))) {
      this.isCopy = this.memory.tokens !== null;
      this.memory = blank();
      await hold(`hub ${this.memory.client}`);
    }
    this.save();
  }

  /** @param {Partial<Memory>} [changes] */
  save(changes = {}) {
    Object.assign(this.memory, changes);
    sessionStorage.setItem(KEY, JSON.stringify(this.memory));
  }
}

/** Holds a name for as long as the page lives; false if another tab has it. @param {string} name */
function hold(name) {
  return new Promise((resolve) => {
    if (!navigator.locks) return resolve(true); // a page without TLS: no way to know
    const signal = AbortSignal.timeout(PATIENCE);
    navigator.locks
      .request(name, { signal }, () => {
        resolve(true);
        return new Promise(() => {});
      })
      .catch(() => resolve(false));
    return undefined;
  });
}
