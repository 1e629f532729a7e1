// Light or dark: the system's choice, until this person makes their own. Runs before the page is drawn.

const KEY = "hub.theme";
const system = matchMedia("(prefers-color-scheme: dark)");

/** @returns {"light" | "dark"} */
function current() {
  const chosen = localStorage.getItem(KEY);
  if (chosen === "light" || chosen === "dark") return chosen;
  return system.matches ? "dark" : "light";
}

function apply() {
  const theme = current();
  document.documentElement.dataset["theme"] = theme;
  document.getElementById("theme")?.setAttribute("aria-pressed", String(theme === "dark"));
}

apply();
system.addEventListener("change", apply);
document.addEventListener("DOMContentLoaded", () => {
  apply();
  document.getElementById("theme")?.addEventListener("click", () => {
    localStorage.setItem(KEY, current() === "dark" ? "light" : "dark");
    apply();
  });
});
