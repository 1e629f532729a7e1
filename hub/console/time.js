// Times as people read them. In: RFC 3339 texts, and seconds.

const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" });
const day = new Intl.DateTimeFormat(undefined, { weekday: "long", day: "numeric", month: "long", year: "numeric" });

/** @param {Date} date @returns {string} 09:05:07, local */
export const timeOfDay = (date) => clock.format(date);

/** @param {Date} date @returns {string} Monday, 5 January 2026, local */
export const dayOf = (date) => day.format(date);

/** @param {Date} date @returns {string} local and exact, to the millisecond */
export function exact(date) {
  return `${dayOf(date)}, ${timeOfDay(date)}.${String(date.getMilliseconds()).padStart(3, "0")} · ${date.toISOString()}`;
}

/** @param {number} seconds @returns {string} 7 s, 2 min 5 s, 3 h 20 min, 4 days */
export function span(seconds) {
  const whole = Math.max(0, Math.round(seconds));
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min${whole % 60 ? ` ${whole % 60} s` : ""}`;
  if (whole < 172_800) return `${Math.floor(whole / 3600)} h ${Math.floor((whole % 3600) / 60)} min`;
  return `${Math.floor(whole / 86_400)} days`;
}

/** @param {number} count @param {string} noun */
export const plural = (count, noun) => `${count.toLocaleString()} ${noun}${count === 1 ? "" : "s"}`;
