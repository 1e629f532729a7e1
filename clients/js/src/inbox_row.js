// One line of the inbox: what happened, when, and what can be done with it.

/**
 * @import { InboxItem } from "./types.js"
 * @import { Words } from "./inbox_words.js"
 */

export const ICONS = {
  bell: "M6 9a6 6 0 0 1 12 0c0 6 2.5 7.5 2.5 7.5h-17S6 15 6 9M10 20a2.2 2.2 0 0 0 4 0",
  close: "M6 6l12 12M18 6L6 18",
  read: "M5 12.5l4.5 4.5L19 7.5",
  unmark: "M12 12m-4 0a4 4 0 1 0 8 0a4 4 0 1 0-8 0",
  archive: "M4 5h16v4H4zM6 9v10h12V9M10 13h4",
};

/** Each unit of time with the seconds that it has, from which on it is spoken of. @type {[Intl.RelativeTimeFormatUnit, number][]} */
const UNITS = [
  ["year", 31_536_000],
  ["month", 2_592_000],
  ["week", 604_800],
  ["day", 86_400],
  ["hour", 3600],
  ["minute", 60],
];

/**
 * @template {keyof HTMLElementTagNameMap} Name
 * @param {Name} name
 * @param {Record<string, string | boolean>} [attributes] false is left out
 * @param {...(string | Node)} children
 */
export function make(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value !== false) element.setAttribute(key, value === true ? "" : value);
  }
  element.append(...children);
  return element;
}

/** @param {keyof typeof ICONS} name */
export function icon(name) {
  const space = "http://www.w3.org/2000/svg";
  const svg = document.createElementNS(space, "svg");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("aria-hidden", "true");
  const path = document.createElementNS(space, "path");
  path.setAttribute("d", ICONS[name]);
  svg.append(path);
  return svg;
}

/** @param {keyof typeof ICONS} name @param {string} label @param {string} part @param {() => void} then */
export function iconButton(name, label, part, then) {
  const button = make("button", { type: "button", class: name, part, "aria-label": label, title: label }, icon(name));
  button.addEventListener("click", then);
  return button;
}

/**
 * @param {InboxItem} item
 * @param {Words} words
 * @param {string} language
 * @param {{ open: (event: Event) => void, toggle: () => void, archive: () => void }} handlers
 */
export function row(item, words, language, { open, toggle, archive }) {
  const { title, body, url, image } = shown(item);
  const time = new Date(item.time);
  const content = [
    make("span", { class: "title", part: "title" }, ...(item.read ? [] : [make("span", { class: "unseen" }, `${words.new}: `)]), title),
    ...(body ? [make("span", { class: "body", part: "body" }, body)] : []),
    make(
      "time",
      { class: "time", part: "time", datetime: item.time, title: time.toLocaleString(language) },
      ago(time, language),
    ),
  ];
  const main = url
    ? make("a", { class: "item", part: "link", href: url }, ...content)
    : make("button", { class: "item", part: "link", type: "button" }, ...content);
  main.addEventListener("click", open);
  const element = make(
    "li",
    { class: `${item.read ? "" : "unread"} ${item.priority ?? ""}`, part: item.read ? "item" : "item item-unread" },
    ...(image ? [make("img", { class: "icon", part: "icon", src: image, alt: "", loading: "lazy", referrerpolicy: "no-referrer" })] : []),
    main,
    make(
      "span",
      { class: "actions", part: "actions" },
      iconButton(item.read ? "unmark" : "read", item.read ? words.unmark : words.read, "action", toggle),
      iconButton("archive", words.archive, "action", archive),
    ),
  );
  return element;
}

/** What there is to show: as the event wants it, or as far as its data tells. @param {InboxItem} item */
function shown({ display, data, type }) {
  const texts = typeof data === "object" && data !== null ? data : { text: data };
  const text = (/** @type {unknown[]} */ ...values) => String(values.find((value) => value && typeof value === "string") ?? "");
  return {
    title: text(display?.title, texts.title, texts.text, type),
    body: text(display?.body, texts.body),
    url: safe(display?.url),
    image: safe(display?.icon),
  };
}

/** An address that a publisher may name: of a page, and nothing that runs. @param {unknown} value */
function safe(value) {
  try {
    const { protocol, href } = new URL(String(value ?? "about:blank"), document.baseURI);
    return protocol === "https:" || protocol === "http:" ? href : "";
  } catch {
    return "";
  }
}

/** @param {Date} time @param {string} language */
export function ago(time, language) {
  const seconds = Math.min(0, (time.getTime() - Date.now()) / 1000);
  const [unit, length] = UNITS.find(([, length]) => -seconds >= length) ?? ["second", 1];
  const format = new Intl.RelativeTimeFormat(language, { numeric: "auto" });
  return Number.isNaN(seconds) ? "" : format.format(length === 1 ? 0 : Math.round(seconds / length), unit);
}
