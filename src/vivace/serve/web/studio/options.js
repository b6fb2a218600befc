/** Model choice, and inputs for its options, built from the JSON Schema the model gives. */
import { Chips } from "./chips.js";
import { $, el, fill, throttle, SLIDER_MS } from "./dom.js";
import { pictureArea } from "./picture.js";
import { T, tell } from "./language.js";

// These have a place of their own on the page.
const ELSEWHERE = new Set(["prompt", "strength", "seed", "crossfade_s", "mask", "size", "keyframe", "keyframe_source"]);
const FINER = { fine: 384, finest: 512 };   // side of a square of as many pixels, beyond the server's own choice
// A server paints in few shapes, as it compiles a network for each.
const SHAPES = [[1, 1], [4, 3], [16, 9], [3, 4], [9, 16]];
const RESTART_MS = 800;   // while a slider moves, no session is opened for each of its numbers
const SLIDER_SPAN = 1000;   // numbers of a wider range are typed

const floorFrames = (spec) => {
  const frames = (spec?.chunk_frames ?? 1) + (spec?.output_lag_frames ?? 0);
  return frames === 1 ? 0 : frames;
};

export class Options {
  #models = []; #defaultSide = 256; #offeredSide = null; #chosen = {}; #shown = null; #pictures = []; #places = null;

  /**
   * `change` gets controls to set and resolves with whether they are, `restart` is called when another model was chosen
   * and, with true, when a session has to be opened anew, `shown` with each model that is shown; `keyframes` has its own part.
   */
  constructor({ change, restart, size, shown, keyframes }) {
    this.change = change;
    this.keyframes = keyframes;
    this.sourceSize = size;
    this.restart = throttle(RESTART_MS, restart);
    this.shown = shown;
    $("detail").addEventListener("change", () => this.change({ size: this.outputSize() }));
    $("model").addEventListener("change", () => {
      this.#build();
      restart();
    });
  }

  get model() {
    return $("model").value || null;
  }

  /** The pictures that the model can be given to go by, `[{title(), take(file)}…]`. */
  get pictures() {
    return this.#pictures;
  }

  /** The chips that say where the prompt paints; null where the model paints whole pictures. */
  get places() {
    return this.#places;
  }

  /** The least number of frames between a picture and the painted one; 0 where each is painted by itself. */
  get floorFrames() {
    return floorFrames(this.#models.find(({ name }) => name === this.model)?.spec);
  }

  /** Whether the server has the model loaded, and so knows its options. */
  get loaded() {
    return this.#models.find(({ name }) => name === this.model)?.loaded ?? true;
  }

  set(models, defaultSize = null) {
    this.#models = models;
    if (defaultSize) this.#defaultSide = Math.sqrt(defaultSize[0] * defaultSize[1]);
    const chosen = this.model;
    $("model").replaceChildren(...models.map(({ name }) => el("option", { value: name }, name)));
    if (models.some(({ name }) => name === chosen)) $("model").value = chosen;
    this.#build();
  }

  #build() {
    const model = this.#models.find(({ name }) => name === this.model);
    $("model-state").textContent = model?.name ?? "";
    tell($("model-hint"), () => (model ? [T.licence(model), T.floor(floorFrames(model.spec))].filter(Boolean).join(" ") : ""));
    if (model?.name !== this.#shown) this.#chosen = {};
    this.#shown = model?.name;
    this.#pictures = [];
    this.#places = null;
    const { options: own, events, ...common } = model?.options?.properties ?? {};
    const shown = (schema, chosen) => ((chosen ?? null) === null ? schema : { ...schema, default: chosen });
    const here = (controls) => Object.entries(controls ?? {}).filter(([name]) => !ELSEWHERE.has(name));
    const rows = here(common).map(([name, schema]) => this.#row(name, shown(schema, this.#chosen[name]), (value) => this.#choose({ [name]: value })));
    const ownRows = here(own?.properties).map(([name, schema]) => this.#row(name, shown(schema, this.#chosen.options?.[name]), (value) => this.#choose({ options: { [name]: value } }, schema.scope)));
    const keyed = this.keyframes.offer(own?.properties ?? {}, this.#chosen.options ?? {}, (options) => this.#choose({ options }));
    if (keyed) this.#pictures.push(keyed);
    const buttons = (events?.items.oneOf ?? []).map((event) => this.#button(event));
    const beside = ownRows.filter((row) => row?.classList.contains("beside"));
    $("chips").replaceChildren(...beside);
    $("chips").hidden = !beside.length;
    $("options").replaceChildren(...[...rows, ...ownRows].filter((row) => row && !beside.includes(row)), ...buttons);
    this.#detail(common.size);
    if (model) this.shown(model);
  }

  async #choose(controls, scope = "frame") {
    const before = this.#chosen;
    this.#chosen = { ...before, ...controls, ...(controls.options ? { options: { ...before.options, ...controls.options } } : {}) };
    if (scope === "stream") return this.restart(true);
    const taken = await this.change(controls);
    if (taken === false) this.#chosen = before;
    return taken;
  }

  /** All that was chosen here, for `choose` of another page. */
  get choices() {
    return { model: this.model, detail: $("detail").value, chosen: this.#chosen };
  }

  choose({ model, detail, chosen }) {
    if (!this.#models.some(({ name }) => name === model)) return;
    $("model").value = this.#shown = model;
    this.#chosen = chosen;
    this.#build();
    if ($("detail").querySelector(`[value="${CSS.escape(detail)}"]`)) $("detail").value = detail;
  }

  /** Show what somebody else has set, which is what is chosen from now on. */
  take({ options = null, ...controls }) {
    const common = Object.entries(controls).filter(([name]) => !ELSEWHERE.has(name));
    if (!options && !common.length) return;
    this.#chosen = { ...this.#chosen, ...Object.fromEntries(common), options: { ...this.#chosen.options, ...options } };
    this.#build();
  }

  /** The JSON Schema of the model's controls, by name. */
  get schema() {
    return this.#models.find(({ name }) => name === this.model)?.options?.properties ?? {};
  }

  /** Controls that were chosen here, for a new session. */
  controls() {
    return { ...this.#chosen, ...this.sizeControl() };
  }

  /** Output size for the source's shape at the chosen detail, `[width, height]` px. */
  outputSize() {
    const schema = this.schema.size;
    const side = Number($("detail").value || this.#defaultSide);
    const [width, height] = this.sourceSize() ?? [16, 9];
    const multiple = schema?.multiple ?? 2;
    const off = ([w, h]) => Math.abs(Math.log((w * height) / (h * width)));
    const [w, h] = SHAPES.reduce((best, shape) => (off(shape) < off(best) ? shape : best));
    const aspect = w / h;
    const fit = (value, axis) => {
      const least = Math.ceil((schema?.min?.[axis] ?? multiple) / multiple) * multiple;
      return Math.max(least, Math.min(schema?.max?.[axis] ?? 4096, Math.round(value / multiple) * multiple));
    };
    return [fit(side * Math.sqrt(aspect), 0), fit(side / Math.sqrt(aspect), 1)];
  }

  /** The control that asks for that size; none where the server's own choice is wanted. */
  sizeControl() {
    return Number($("detail").value || this.#defaultSide) === this.#defaultSide ? {} : { size: this.outputSize() };
  }

  /** Choose a size that the server has offered, `[width, height]` px, and return it. */
  makeSmaller(size) {
    this.#offeredSide = Math.sqrt(size[0] * size[1]);
    this.#detail(this.schema.size);
    $("detail").value = this.#offeredSide;
    return size;
  }

  #detail(schema) {
    const finer = Object.entries(FINER).filter(([, side]) => schema && side > this.#defaultSide);
    const sides = [["standard", this.#defaultSide], ...finer];
    if (this.#offeredSide && !sides.some(([, side]) => side === this.#offeredSide)) sides.push(["offered", this.#offeredSide]);
    sides.sort(([, one], [, other]) => one - other);
    const chosen = $("detail").value;
    $("detail").replaceChildren(...sides.map(([name, side]) => tell(el("option", { value: side }), () => T.details[name])));
    if (sides.some(([, side]) => String(side) === chosen)) $("detail").value = chosen;
    $("detail-row").hidden = sides.length === 1;
  }

  // What happens once is not remembered for the next session.
  #button({ const: name, title, description }) {
    const ask = () => this.change({ events: [name] });
    return el("div", { class: "buttons" }, el("button", { id: idOf(name), type: "button", title: description, onclick: ask }, title));
  }

  #row(name, schema, send) {
    const id = idOf(name);
    const title = () => T.options[name] ?? schema.title ?? name.replaceAll("_", " ");
    const anew = schema.scope === "stream" ? ` ${T.reopens}` : "";
    const label = tell(el("label", { for: id, title: `${schema.description ?? ""}${anew}` }), title);
    if (schema.enum?.length === 1) return null;   // there is nothing to choose
    if (schema.beside === "prompt") {
      const chips = new Chips({ id, name, title: title(), schema, send });
      if (name === "place") this.#places = chips;
      return chips.node;
    }
    if (schema.enum) {
      const select = el("select", { id }, ...schema.enum.map((value) => el("option", { value: JSON.stringify(value), selected: value === schema.default }, String(value))));
      select.addEventListener("change", () => send(JSON.parse(select.value)));
      return el("div", { class: "row" }, label, select);
    }
    if (schema.type === "boolean") {
      const input = el("input", { id, type: "checkbox", class: "switch", role: "switch", checked: Boolean(schema.default) });
      input.addEventListener("change", () => send(input.checked));
      return el("div", { class: "row" }, label, input);
    }
    if (schema.contentEncoding === "data-url") {
      const { node, take } = pictureArea(id, title, schema, send);
      if (schema.kind === "image") this.#pictures.push({ title, take });
      return node;
    }
    if (schema.type === "number" || schema.type === "integer") return this.#number(id, label, schema, send);
    if (schema.type !== "string") return null;   // a shape this page has no input for
    const input = el("input", { id, type: "text", maxlength: schema.maxLength, value: schema.default, autocomplete: "off", spellcheck: "false" });
    input.addEventListener("change", () => send(input.value));
    return el("div", { class: "row wide" }, label, input);
  }

  #number(id, label, schema, send) {
    const { minimum, maximum, default: value } = schema;
    const whole = schema.type === "integer";
    const bounded = minimum !== undefined && maximum !== undefined && maximum - minimum <= SLIDER_SPAN;
    const step = schema.step ?? (whole ? 1 : bounded ? niceStep(maximum - minimum) : "any");
    const input = el("input", { id, type: bounded ? "range" : "number", min: minimum, max: maximum, step, value: value ?? minimum ?? 0 });
    if (!bounded) {
      input.addEventListener("change", () => send(Number(input.value)));
      return el("div", { class: "row" }, label, input);
    }
    const output = el("output", { for: id, "aria-live": "off" }, input.value);
    const sendSoon = throttle(SLIDER_MS, () => send(Number(input.value)));
    input.addEventListener("input", () => {
      output.textContent = input.value;
      fill(input);
      sendSoon();
    });
    fill(input);
    return el("div", { class: "row slider" }, label, output, input);
  }
}

const idOf = (name) => `option-${name.replaceAll(/\W/g, "-")}`;

// About a hundred steps of 1, 2 or 5 times a power of ten.
function niceStep(span) {
  const ten = 10 ** Math.floor(Math.log10(span / 100));
  return [1, 2, 5, 10].map((times) => times * ten).find((step) => span / step <= 100.5);
}
