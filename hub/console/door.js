// The way in: a name and a password, or a token; and what the hub said if it sent somebody away.

import { login } from "/client/session.js";
import { find } from "./dom.js";
import { explainError } from "./words.js";

export class Door {
  #door = find("door", HTMLElement);
  #refusal = find("refusal", HTMLElement);
  #username = find("username", HTMLInputElement);
  #password = find("password", HTMLInputElement);
  #token = find("token", HTMLTextAreaElement);

  /**
   * @param {{ session: (session: import("/client/session.js").Session) => void, token: (token: string) => void }} enter
   */
  constructor(enter) {
    find("sign-in", HTMLFormElement).addEventListener("submit", async (event) => {
      event.preventDefault();
      const button = /** @type {HTMLButtonElement | null} */ (event.submitter);
      if (button) button.disabled = true;
      this.#refusal.hidden = true;
      try {
        const username = this.#username.value.trim();
        enter.session(await login({ url: location.origin, username, password: this.#password.value }));
        this.#password.value = "";
      } catch (error) {
        this.#say("", "", explainError(error));
        this.#password.select();
      } finally {
        if (button) button.disabled = false;
      }
    });
    find("token-form", HTMLFormElement).addEventListener("submit", (event) => {
      event.preventDefault();
      this.#refusal.hidden = true;
      const token = this.#token.value.trim();
      if (token) enter.token(token);
    });
  }

  /** Opens the door, with words if there are some. @param {string} [words] */
  open(words) {
    this.#show();
    if (words) this.#say("", "", words, true);
    else this.#refusal.hidden = true;
    this.#username.focus();
  }

  /** Somebody was sent away. @param {string} close @param {string} code @param {string} words */
  refuse(close, code, words) {
    this.#show();
    this.#say(close, code, words);
    this.#refusal.focus();
  }

  shut() {
    this.#door.hidden = true;
    this.#token.value = "";
  }

  #show() {
    this.#door.hidden = false;
  }

  /** @param {string} close @param {string} code @param {string} words @param {boolean} [calm] not a refusal */
  #say(close, code, words, calm = false) {
    this.#refusal.hidden = false;
    this.#refusal.classList.toggle("calm", calm);
    find("refusal-close", HTMLElement).textContent = close;
    find("refusal-name", HTMLElement).textContent = code;
    find("refusal-words", HTMLElement).textContent = words;
  }
}
