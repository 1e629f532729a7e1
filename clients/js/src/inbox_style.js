// How the inbox looks, until somebody says otherwise: by the custom properties named in the README, and by ::part.

export const STYLE = `
:host {
  --_ink: var(--hub-inbox-ink, light-dark(#1b2430, #ebe9e4));
  --_soft: var(--hub-inbox-soft, light-dark(#596372, #9aa6b4));
  --_paper: var(--hub-inbox-paper, light-dark(#ffffff, #19212b));
  --_hover: var(--hub-inbox-hover, light-dark(#f3f4f6, #222c38));
  --_line: var(--hub-inbox-line, light-dark(#dfe2e7, #33404e));
  --_accent: var(--hub-inbox-accent, light-dark(#1d5fd1, #7fb0ff));
  --_on-accent: var(--hub-inbox-on-accent, light-dark(#ffffff, #0b1420));
  --_radius: var(--hub-inbox-radius, 12px);
  display: inline-block;
  position: relative;
  font: var(--hub-inbox-font, 0.9375rem/1.4 system-ui, sans-serif);
  color: var(--_ink);
}
:host([hidden]), [hidden] { display: none !important; }
:host([theme="light"]) { color-scheme: light; }
:host([theme="dark"]) { color-scheme: dark; }
:host([inline]) { display: block; }
*, *::before { box-sizing: border-box; }
h2, p, ul { margin: 0; padding: 0; list-style: none; }
button, a { font: inherit; color: inherit; }
button { border: 0; border-radius: calc(var(--_radius) / 2); padding: 0.3rem 0.5rem; background: none; cursor: pointer; }
button:hover { background: var(--_hover); }
button:disabled { color: var(--_soft); cursor: default; background: none; }
:focus-visible { outline: 2px solid var(--_accent); outline-offset: -2px; }
svg { width: 1.4em; height: 1.4em; display: block; fill: none; stroke: currentColor; stroke-width: 1.8;
  stroke-linecap: round; stroke-linejoin: round; }
.unseen { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); white-space: nowrap; }
.bell { position: relative; padding: 0.5rem; border-radius: 50%; }
.badge { position: absolute; inset-block-start: 0; inset-inline-end: 0; min-width: 1.15rem; padding: 0 0.25rem;
  border-radius: 1rem; background: var(--_accent); color: var(--_on-accent);
  font-size: 0.6875rem; line-height: 1.15rem; font-weight: 650; text-align: center; font-variant-numeric: tabular-nums; }
.panel { position: absolute; inset-block-start: calc(100% + 0.5rem); right: 0; z-index: var(--hub-inbox-z-index, 1000);
  display: flex; flex-direction: column; inline-size: var(--hub-inbox-width, 24rem); max-inline-size: calc(100vw - 1rem);
  max-block-size: min(var(--hub-inbox-height, 34rem), calc(100dvh - 6rem)); overflow: hidden;
  background: var(--_paper); border: 1px solid var(--_line); border-radius: var(--_radius);
  box-shadow: var(--hub-inbox-shadow, 0 10px 32px rgb(0 0 0 / 18%)); }
:host([inline]) .panel { position: static; inline-size: auto; max-inline-size: none; box-shadow: none; }
:host([inline]) .bell, :host([inline]) .close { display: none; }
.panel.rightwards { right: auto; left: 0; }
header { display: flex; flex-wrap: wrap; align-items: center; gap: 0.1rem 0.25rem; padding: 0.6rem 0.5rem 0.6rem 1rem;
  border-block-end: 1px solid var(--_line); }
h2 { flex: 1; font-size: 1.0625rem; font-weight: 650; }
header button { font-size: 0.8125rem; color: var(--_accent); }
header .close { color: var(--_soft); }
header .close svg { width: 1.2em; height: 1.2em; }
.scroll { overflow-y: auto; overscroll-behavior: contain; }
li { position: relative; display: grid; grid-template-columns: 1.4rem auto minmax(0, 1fr) auto; align-items: start;
  padding: 0.7rem 0.5rem 0.7rem 0; border-block-end: 1px solid var(--_line); }
li:last-child { border-block-end: 0; }
li:hover { background: var(--_hover); }
li::before { content: ""; width: 0.5rem; height: 0.5rem; margin: 0.4rem 0 0 0.45rem; border-radius: 50%; }
li.unread::before { background: var(--_accent); }
.icon { grid-column: 2; width: 2rem; height: 2rem; margin-inline-end: 0.6rem; border-radius: 0.4rem; object-fit: cover; }
.item { grid-column: 3; display: block; text-align: start; text-decoration: none; padding: 0; border-radius: 4px; }
.item:hover { background: none; }
.item::after { content: ""; position: absolute; inset: 0; }
.item:focus-visible { outline: none; }
.item:focus-visible::after { outline: 2px solid var(--_accent); outline-offset: -2px; border-radius: 4px; }
.title { display: block; overflow-wrap: anywhere; }
.unread .title { font-weight: 650; }
.body { display: -webkit-box; -webkit-line-clamp: 3; -webkit-box-orient: vertical; overflow: hidden; color: var(--_soft);
  overflow-wrap: anywhere; }
.time { display: block; margin-block-start: 0.15rem; font-size: 0.8125rem; color: var(--_soft); }
.high .title::before { content: "!"; margin-inline-end: 0.35em; color: var(--_accent); font-weight: 800; }
.actions { position: relative; z-index: 1; grid-column: 4; display: flex; color: var(--_soft); }
.actions button { padding: 0.3rem; }
.actions button:hover { color: var(--_ink); background: var(--_line); }
.actions svg { width: 1.2em; height: 1.2em; }
.note { display: flex; align-items: center; justify-content: center; gap: 0.5rem; padding: 2.2rem 1rem; color: var(--_soft);
  text-align: center; }
.note.failed { padding: 0.6rem 1rem; border-block-end: 1px solid var(--_line); color: var(--_ink); }
.note button, .more { color: var(--_accent); }
.more { display: block; inline-size: 100%; padding: 0.7rem; border-radius: 0; }
@media (hover: hover) {
  .actions { opacity: 0; }
  li:hover .actions, li:focus-within .actions { opacity: 1; }
}
@media (max-width: 30rem) {
  :host(:not([inline])) .panel { position: fixed; inset: auto 0.5rem 0.5rem; inline-size: auto; max-inline-size: none;
    max-block-size: calc(100dvh - 5rem); }
}
@media (forced-colors: active) {
  li.unread::before, .badge { forced-color-adjust: none; background: Highlight; color: HighlightText; }
}
`;
