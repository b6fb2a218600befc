/** Which knob, button or key of a surface moves which control of the page: learned by touching both, and remembered. */
import { memory } from "./dom.js";

const LEARNABLE_INPUTS = 'input[type="range"][id], input[type="number"][id], input[type="checkbox"][id], select[id]';
const LEARNABLE = `.panel :is(${LEARNABLE_INPUTS}), .panel button[id], .tools button[id], #presets button, #end`;
const NOT_LEARNABLE = "#surfaces-panel *, #page-panel *, #note-panel *, #file, #check-file";
const KEY = /^(.|F\d{1,2})$/u;   // what is typed, and the function keys; not those that move about a page

/** A control of the page that may be bound, at or around an element; null where there is none. */
export function controlAt(node) {
  const found = node?.closest?.(LEARNABLE) ?? document.getElementById(node?.closest?.("label")?.htmlFor ?? "");
  return found?.matches(LEARNABLE) && !found.matches(NOT_LEARNABLE) ? found : null;
}

/** How a control is found again, also after the page was loaded anew. */
function bindingName(control) {
  return control.id || `preset ${[...control.parentElement.children].indexOf(control)}`;
}

/** The control of a name; null where there is none now. */
export function bindable(name) {
  const preset = /^preset (\d+)$/.exec(name ?? "");
  return preset ? document.getElementById("presets").children[Number(preset[1])] : document.getElementById(name ?? "");
}

/** What a control is called on the page. */
export function titleOf(name) {
  const control = bindable(name);
  if (!control) return name;
  return control.labels?.[0]?.textContent || control.getAttribute("aria-label") || control.textContent.trim() || name;
}

/** Whether a key can move it: what is moved along a way needs a knob. */
const takesKeys = (control) => control?.matches('button, select, [type="checkbox"]') ?? false;

export class Bindings extends EventTarget {
  #all = memory.get("surfaces", []); #learning = null;

  /** All of them, `[{input, label, control}…]`: what moves, as it is called for people, and which control it moves. */
  get all() {
    return [...this.#all];
  }

  /** What has been touched while one is learned, `{control, input}`, or null. */
  get learning() {
    return this.#learning;
  }

  learn() {
    this.#learning = { control: null, input: null };
    this.#tell();
  }

  /** Learn no more. */
  cancel() {
    if (!this.#learning) return;
    this.#learning = null;
    this.#tell();
  }

  remove(binding) {
    this.#keep(this.#all.filter((each) => each !== binding));
  }

  /** A control of the page was touched. Returns whether that is of use, and so is not to do anything else. */
  touched(node) {
    if (!this.#learning) return false;
    const control = controlAt(node);
    if (!control) return false;
    this.#learned({ control: bindingName(control) });
    return true;
  }

  /** Something has moved: `{input, label, value, pressed, key}`, `key` for one of a keyboard. Returns whether that was of use. */
  moved(move) {
    if (this.#learning) {
      // What is let go of is not what somebody means.
      const meant = move.key ? takesKeys(bindable(this.#learning.control)) : move.pressed || move.value > 0;
      if (meant) this.#learned({ input: move });
      return true;
    }
    const bound = this.#all.filter(({ input }) => input === move.input);
    for (const { control } of bound) applyMove(bindable(control), move);
    return bound.length > 0;
  }

  #learned(touched) {
    const { control, input } = (this.#learning = { ...this.#learning, ...touched });
    if (control && input) {
      this.#learning = null;
      const others = this.#all.filter((each) => each.input !== input.input);   // one knob, one control
      this.#keep([...others, { input: input.input, label: input.label, control }]);
    } else this.#tell();
  }

  #keep(all) {
    this.#all = all;
    memory.set("surfaces", all);
    this.#tell();
  }

  #tell() {
    this.dispatchEvent(new Event("changed"));
  }
}

/** Move a control as a hand would: what listens to it sees no difference. */
export function applyMove(control, { value, pressed, key = false }) {
  if (!control || control.disabled) return;
  if (control.matches('button, [type="checkbox"]')) {
    if (pressed) control.click();
  } else if (control.matches("select")) {
    const count = control.options.length;
    if (key && !pressed) return;
    const to = key ? (control.selectedIndex + 1) % count : Math.min(count - 1, Math.floor(value * count));
    if (to === control.selectedIndex) return;
    control.selectedIndex = to;
    control.dispatchEvent(new Event("change", { bubbles: true }));
  } else {
    setInput(control, value);
  }
}

function setInput(input, value) {
  const { min, max, step } = input;
  // Of a number without a range that a hand could cross, such as a seed, the knob's own 128 places.
  const [low, high] = input.type === "range" ? [Number(min), Number(max)] : [Number(min || 0), Math.min(Number(max || 127), Number(min || 0) + 127)];
  const grain = step === "any" || !Number(step) ? 0 : Number(step);
  const exact = low + value * (high - low);
  const to = String(grain ? Number((low + Math.round((exact - low) / grain) * grain).toFixed(6)) : exact);
  if (input.value === to) return;
  input.value = to;
  input.dispatchEvent(new Event(input.type === "range" ? "input" : "change", { bubbles: true }));
}

/** What a key press says; null of what is part of another, or typed. */
export function readKey(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || event.repeat || !KEY.test(event.key)) return null;
  if (event.target.closest?.('input:not([type="range"]):not([type="checkbox"]), select, textarea, dialog')) return null;
  const name = event.key === " " ? "␣" : event.key.toUpperCase();
  return { input: `key ${name}`, label: name, value: 1, pressed: true, key: true };
}
