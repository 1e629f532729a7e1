// When an open connection's token is to be renewed: well before it ends, and not when all other clients do.

/** A token is renewed after a random part of what is left of its life. */
const FROM = 0.7;
const TO = 0.9;
/** Milliseconds until it is renewed if it seems over already: the clocks differ then, and the hub's is right. */
const BLIND = 30_000;
const LONGEST_TIMER = 2 ** 31 - 1;

export class Renewal {
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #timer;
  #expires = 0;
  #onDue;

  /** @param {() => void} onDue */
  constructor(onDue) {
    this.#onDue = onDue;
  }

  /** A token ends at this time. @param {number} expires Unix seconds */
  set(expires) {
    this.#expires = expires;
    this.again();
  }

  /** It could not be renewed: there is some time left to try again. */
  again() {
    this.stop();
    const left = this.#expires * 1000 - Date.now();
    const part = FROM + Math.random() * (TO - FROM);
    this.#timer = setTimeout(this.#onDue, left > 0 ? Math.min(left * part, LONGEST_TIMER) : BLIND);
  }

  stop() {
    clearTimeout(this.#timer);
  }
}
