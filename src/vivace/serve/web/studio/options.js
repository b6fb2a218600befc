/** Model choice, and inputs for its options, built from the JSON Schema the model gives. */
import { $, el, fill } from "./dom.js";

// These have a place of their own on the page.
const ELSEWHERE = new Set(["prompt", "strength", "seed", "crossfade_s", "mask", "size"]);
const DETAILS = [["Fine", 384], ["Finest", 512]];   // side of a square of as many pixels, beyond the server's own choice
// A server paints in few shapes, as it compiles a network for each.
const SHAPES = [[1, 1], [4, 3], [16, 9], [3, 4], [9, 16]];

export class Options {
  #models = []; #defaultSide = 256;

  /** `change` gets controls to set, `restart` is called when another model was chosen. */
  constructor({ change, restart, size }) {
    this.change = change;
    this.sourceSize = size;
    $("model").addEventListener("change", () => {
      this.#build();
      restart();
    });
  }

  get model() {
    return $("model").value || null;
  }

  set(models, defaultSize) {
    this.#models = models;
    this.#defaultSide = Math.sqrt(defaultSize[0] * defaultSize[1]);
    const chosen = this.model;
    $("model").replaceChildren(...models.map(({ name }) => el("option", { value: name }, name)));
    if (models.some(({ name }) => name === chosen)) $("model").value = chosen;
    this.#build();
  }

  #build() {
    const model = this.#models.find(({ name }) => name === this.model);
    $("model-state").textContent = model?.name ?? "";
    $("model-hint").textContent = model ? `${model.summary} Licence: ${model.licence}.` : "";
    const properties = model?.options?.properties ?? {};
    const rows = Object.entries(properties).filter(([name]) => !ELSEWHERE.has(name)).map(([name, schema]) => this.#row(name, schema));
    $("options").replaceChildren(...(properties.size ? [this.#detail(properties.size)] : []), ...rows.filter(Boolean));
  }

  /** Output size for the source's shape at the chosen detail, `[width, height]` px. */
  outputSize() {
    const schema = this.#models.find(({ name }) => name === this.model)?.options?.properties?.size;
    const side = Number($("detail")?.value ?? this.#defaultSide);
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
    return Number($("detail")?.value ?? this.#defaultSide) === this.#defaultSide ? {} : { size: this.outputSize() };
  }

  #detail() {
    const sides = [["Standard", this.#defaultSide], ...DETAILS.filter(([, side]) => side > this.#defaultSide)];
    const select = el("select", { id: "detail" }, ...sides.map(([title, side]) => el("option", { value: side, selected: side === this.#defaultSide }, title)));
    select.addEventListener("change", () => this.change({ size: this.outputSize() }));
    return el("div", { class: "row" }, el("label", { for: "detail" }, "Detail"), select);
  }

  #row(name, schema) {
    const id = `option-${name}`;
    const title = schema.title ?? name.replaceAll("_", " ");
    const label = el("label", { for: id, title: schema.description }, title);
    const send = (value) => this.change({ [name]: value });
    if (schema.enum) {
      const select = el("select", { id }, ...schema.enum.map((value) => el("option", { value: JSON.stringify(value), selected: value === schema.default }, String(value))));
      select.addEventListener("change", () => send(JSON.parse(select.value)));
      return el("div", { class: "row" }, label, select);
    }
    if (schema.type === "boolean") {
      const input = el("input", { id, type: "checkbox", class: "switch", role: "switch", checked: schema.default });
      input.addEventListener("change", () => send(input.checked));
      return el("div", { class: "row" }, label, input);
    }
    if (schema.contentEncoding === "data-url") {
      const input = el("input", { id, type: "file", accept: "image/*" });
      input.addEventListener("change", async () => send(input.files[0] ? await dataUrl(input.files[0]) : ""));
      return el("div", { class: "row" }, label, input);
    }
    if (schema.type === "number" || schema.type === "integer") return this.#number(id, label, schema, send);
    if (schema.type !== "string") return null;   // a shape this page has no input for
    const input = el("input", { id, type: "text", maxlength: schema.maxLength, value: schema.default });
    input.addEventListener("change", () => send(input.value));
    return el("div", { class: "row" }, label, input);
  }

  #number(id, label, schema, send) {
    const { minimum, maximum, default: value } = schema;
    const step = schema.step ?? (schema.type === "integer" ? 1 : "any");
    const bounded = minimum !== undefined && maximum !== undefined && maximum - minimum <= 100;
    const input = el("input", { id, type: bounded ? "range" : "number", min: minimum, max: maximum, step, value: value ?? minimum ?? 0 });
    const output = el("output", { for: id }, input.value);
    input.addEventListener("input", () => {
      output.textContent = input.value;
      if (bounded) fill(input);
    });
    input.addEventListener("change", () => send(Number(input.value)));
    if (bounded) fill(input);
    return bounded ? el("div", { class: "row slider" }, label, output, input) : el("div", { class: "row" }, label, input);
  }
}

function dataUrl(file) {
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(reader.result);
    reader.onerror = () => reject(reader.error);
    reader.readAsDataURL(file);
  });
}
