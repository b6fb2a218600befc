/** Keyboard shortcuts, and the overlay that lists them. */
import { $, el } from "./dom.js";
import { T, tell } from "./language.js";

const TEXT = 'input:not([type="range"]):not([type="checkbox"]), select, textarea';

// `[key, shown, its text's name, act, release?]` of each.
function shortcutsOf(studio) {
  const size = (step) => (studio.brush.open ? studio.brush.resizeBy(step) : studio.sliders.strengthBy(step));
  return [
    ["/", "/", "prompt", () => studio.prompts.focus()],
    ...Array.from({ length: 9 }, (_, i) => [String(i + 1), "1–9", i === 0 ? "presets" : "", () => studio.prompts.preset(i)]),
    ["h", "H", "history", () => studio.prompts.toggleHistory()],
    ["s", "S", "split", () => studio.stage.toggleSplit()],
    ["o", "O", "original", () => studio.stage.original(true), () => studio.stage.original(false)],
    ["a", "A", "listen", () => studio.stage.toggleListen()],
    ["m", "M", "mirror", () => studio.stage.toggleMirror()],
    ["c", "C", "flip", () => studio.sources.flip()],
    ["k", "K", "pause", () => studio.player.toggle()],
    ["j", "J", "back", () => studio.player.skip(-1)],
    ["l", "L", "forward", () => studio.player.skip(1)],
    ["b", "B", "brush", () => studio.brush.toggle()],
    ["i", "I", "invert", () => studio.brush.invert()],
    ["[", "[", "less", () => size(-5)],
    ["]", "]", "more", () => size(5)],
    ["x", "X", "reseed", () => $("reseed").click()],
    ["p", "P", "snapshot", () => studio.snapshot()],
    ["e", "E", "saveFrame", () => studio.saveFrame()],
    ["r", "R", "record", () => studio.recorder.toggle()],
    ["f", "F", "fullscreen", () => studio.stage.toggleFullscreen()],
    ["?", "?", "help", () => $("help").showModal()],
    ["Escape", "Esc", "close", () => { studio.prompts.toggleHistory(false); studio.brush.toggle(false); }],
  ];
}

/** Have keys do what the buttons of a page do; they rest while text is typed or a dialog is open. */
export function installShortcuts(studio) {
  const keys = shortcutsOf(studio);
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
