/** Keyboard shortcuts, and the overlay that lists them. */
import { $, el } from "./dom.js";
import { T, tell } from "./language.js";

const TEXT = 'input:not([type="range"]):not([type="checkbox"]), select, textarea';

/** `keys` are `[key, shown, its text's name, act, release?]`; they rest while text is typed or a dialog is open. */
export function installShortcuts(keys) {
  const byKey = new Map(keys.map((entry) => [entry[0], entry]));
  for (const [, shown, what] of keys) {
    if (what) $("keys").append(el("dt", {}, el("kbd", {}, shown)), tell(el("dd"), () => T.keys[what]));
  }
  addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
    if (event.key !== "Escape" && event.target.closest?.(TEXT)) return;
    const entry = byKey.get(event.key.length === 1 ? event.key.toLowerCase() : event.key);
    if (!entry || (event.repeat && !["[", "]", "j", "l"].includes(event.key))) return;
    event.preventDefault();
    entry[3](event);
  });
  addEventListener("keyup", (event) => byKey.get(event.key.toLowerCase())?.[4]?.());
  $("help-open").onclick = () => $("help").showModal();
}
