// Events as an async iterator, with a bounded buffer between the socket and the reader.

import { HubError } from "./errors.js";

/**
 * @template T
 * @implements {AsyncIterableIterator<T>}
 */
export class Stream {
  /** @type {T[]} */
  #buffer = [];
  /** @type {{ resolve: (result: IteratorResult<T, undefined>) => void, reject: (error: unknown) => void }[]} */
  #readers = [];
  /** @type {{ error: unknown } | null} */
  #ended = null;
  #limit;
  #onEnd;
  #onRead;

  /**
   * @param {number} limit values that may wait for the reader
   * @param {() => void} onEnd called once, at the end
   * @param {() => void} [onRead] called when the reader has dealt with all there is
   */
  constructor(limit, onEnd, onRead) {
    this.#limit = limit;
    this.#onEnd = onEnd;
    this.#onRead = onRead;
  }

  /** Whether the reader has dealt with all there is: it waits for more, or has left. */
  get isRead() {
    return this.#ended !== null || this.#readers.length > 0;
  }

  /** @param {T} value */
  push(value) {
    if (this.#ended) return;
    const reader = this.#readers.shift();
    if (reader) reader.resolve({ value, done: false });
    else if (this.#buffer.length < this.#limit) this.#buffer.push(value);
    else this.end(new HubError("buffer_full", `${this.#limit} events wait for their reader.`));
  }

  /** What is buffered is still read; then the iteration ends, or throws `error`. @param {unknown} [error] */
  end(error) {
    if (this.#ended) return;
    this.#ended = { error };
    this.#onEnd();
    for (const reader of this.#readers.splice(0)) this.next().then(reader.resolve, reader.reject);
  }

  /** @returns {Promise<IteratorResult<T, undefined>>} */
  next() {
    if (this.#buffer.length) {
      return Promise.resolve({ value: /** @type {T} */ (this.#buffer.shift()), done: false });
    }
    if (!this.#ended) {
      return new Promise((resolve, reject) => {
        this.#readers.push({ resolve, reject });
        this.#onRead?.();
      });
    }
    const { error } = this.#ended;
    this.#ended = { error: undefined }; // an error is thrown once
    return error === undefined ? Promise.resolve({ value: undefined, done: true }) : Promise.reject(error);
  }

  /** @returns {Promise<IteratorResult<T, undefined>>} */
  return() {
    this.#buffer = [];
    this.end();
    return this.next();
  }

  [Symbol.asyncIterator]() {
    return this;
  }
}
