/** The controls that every model has: strength, crossfade and seed. */
import { $, fill, memory, throttle, SLIDER_MS } from "./dom.js";

const CONTROLS = {
  strength: { name: "strength", read: (v) => v / 100, write: (v) => Math.round(100 * v), shown: (v) => `${v} %` },
  crossfade: { name: "crossfade_s", read: Number, write: String, shown: (v) => `${Number(v).toFixed(1)} s` },
  seed: { name: "seed", read: (v) => Math.max(0, Math.floor(Number(v)) || 0), write: String },
};

export class Sliders {
  #model;

  /** `model` returns the name of the one that is chosen; `change` gets controls to set. */
  constructor(model, change) {
    this.#model = model;
    const send = throttle(SLIDER_MS, change);
    for (const [id, { name, read, shown }] of Object.entries(CONTROLS)) {
      const input = $(id);
      if (id !== "strength") input.value = memory.get(id, input.value);
      const paint = () => {
        if (!shown) return;
        $(`${id}-out`).textContent = shown(input.value);
        fill(input);
      };
      input.addEventListener("paint", paint);
      input.addEventListener(id === "seed" ? "change" : "input", () => {
        paint();
        memory.set(id === "strength" ? this.#strengthKey() : id, input.value);
        send({ [name]: read(input.value) });
      });
      paint();
    }
    $("reseed").onclick = () => set("seed", String(Math.floor(Math.random() * 1e6)), "change");
  }

  /** Controls as they are shown. Strength is one of them where it was chosen, or where the model's usual one is `known`. */
  controls(known) {
    const ids = Object.keys(CONTROLS).filter((id) => id !== "strength" || known || this.#strengthChosen() !== null);
    return Object.fromEntries(ids.map((id) => [CONTROLS[id].name, CONTROLS[id].read($(id).value)]));
  }

  /** Show what somebody else has set; null is the default that `schema`, the model's, has. */
  take(controls, schema) {
    for (const [id, { name, write }] of Object.entries(CONTROLS)) {
      const value = controls[name] === null ? schema[name]?.default : controls[name];
      if (value !== undefined) set(id, write(value), "paint");
    }
  }

  /** Show the strength that was chosen with a model, or its usual one. */
  show(model) {
    const { default: usual = 1 } = model.options.properties.strength;
    set("strength", this.#strengthChosen() ?? Math.round(100 * usual), "paint");
  }

  strengthBy(step) {
    set("strength", String(Number($("strength").value) + step));
  }

  // What is a good strength differs from model to model, so each has its own.
  #strengthKey() {
    return `strength.${this.#model()}`;
  }

  #strengthChosen() {
    return memory.get(this.#strengthKey(), null);
  }
}

function set(id, value, event = "input") {
  $(id).value = value;
  $(id).dispatchEvent(new Event(event));
}
