// Elements, without markup: text is only ever set as text, so that no event can become part of the page.

/**
 * The element with this id; the page and its modules belong together, so it is there.
 * @template {HTMLElement} T
 * @param {string} id
 * @param {new () => T} kind
 * @returns {T}
 */
export function find(id, kind) {
  const element = document.getElementById(id);
  if (!(element instanceof kind)) throw new Error(`the page has no ${kind.name} #${id}`);
  return element;
}

/**
 * @template {keyof HTMLElementTagNameMap} Tag
 * @param {Tag} tag
 * @param {Record<string, string | boolean>} [attributes] true: present; false: not
 * @param {...(Node | string)} children strings become text
 * @returns {HTMLElementTagNameMap[Tag]}
 */
export function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== false) element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children);
  return element;
}

/** @type {Map<string, number>} */
const hues = new Map();

/**
 * Gives a topic its colour, the same one all over the page and unlike the others' (golden-angle steps).
 * @template {HTMLElement} T
 * @param {T} element
 * @param {string} topic
 * @returns {T}
 */
export function tint(element, topic) {
  const hue = hues.get(topic) ?? Math.round(40 + hues.size * 137.5) % 360;
  hues.set(topic, hue);
  // Through the style object: the page's policy forbids style attributes.
  element.style.setProperty("--hue", String(hue));
  return element;
}
