// Listeners by name. One that throws harms neither the others nor whoever emits.

/** @template {Record<string, any>} Events */
export class Emitter {
  /** @type {Map<keyof Events, Set<(value: any) => unknown>>} */
  #listeners = new Map();

  /**
   * Calls `listener` with every `name` from now on.
   * @template {keyof Events} Name
   * @param {Name} name
   * @param {(value: Events[Name]) => unknown} listener may be async; it is not waited for
   * @returns {() => void} ends it
   */
  on(name, listener) {
    const listeners = this.#listeners.get(name) ?? new Set();
    this.#listeners.set(name, listeners);
    // An own function, so that the same listener given twice is called twice and each ends alone.
    const entry = (/** @type {any} */ value) => listener(value);
    listeners.add(entry);
    return () => void listeners.delete(entry);
  }

  /**
   * @template {keyof Events} Name
   * @param {Name} name
   * @param {Events[Name]} value
   */
  emit(name, value) {
    const failed = (/** @type {unknown} */ error) => this.fail(error, name);
    for (const listener of [...(this.#listeners.get(name) ?? [])]) {
      try {
        const result = listener(value);
        if (result instanceof Promise) result.catch(failed);
      } catch (error) {
        failed(error);
      }
    }
  }

  /**
   * Hands an error to the `error` listeners; where there are none, or one of them threw it, to the console.
   * @param {unknown} error
   * @param {keyof Events} [from]
   */
  fail(error, from) {
    if (from !== "error" && this.#listeners.get("error")?.size) this.emit("error", /** @type {any} */ (error));
    else console.error(error);
  }
}
