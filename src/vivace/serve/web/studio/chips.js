/** Choices that complete the prompt, below it: a chip for each usual one and for those that were picked, and a list of the rest. */
import { el, radios } from "./dom.js";
import { T, tell } from "./language.js";

const USUAL = 6;

export class Chips {
  #name; #schema; #send; #value; #offered = []; #group; #select; #rest; #mark;

  /** `send(value)` resolves with false where a choice is refused. */
  constructor({ id, name, title, schema, send }) {
    [this.#name, this.#schema, this.#send, this.#value] = [name, schema, send, schema.default];
    this.#group = el("div", { role: "radiogroup" });
    tell(this.#group, () => T.besidePrompt[name]?.title ?? title, "aria-label");
    this.#rest = el("select", { id });
    tell(this.#rest, () => T.moreChoices, "aria-label");
    this.#rest.addEventListener("change", () => this.choose(this.#rest.value));
    this.node = el("div", { class: "beside" }, this.#group, this.#rest);
    this.#select = radios(this.#group, (button) => this.choose(button.dataset.value));
    this.#show();
  }

  /** What a choice is called. */
  title(value) {
    return T.besidePrompt[this.#name]?.[value] ?? value;
  }

  /** Offer values as chips, the likeliest first, and choose that. Resolves with the one that is chosen, or null. */
  async offer(values) {
    const known = values.filter((value) => this.#schema.enum.includes(value));
    if (!known.length) return null;
    this.#offered = known;
    this.#show();
    return (await this.choose(known[0])) ? known[0] : null;
  }

  /** Resolves with whether it is what is set. */
  async choose(value) {
    const taken = (await this.#send(value)) !== false;
    if (taken) this.#value = value;
    this.#show();
    return taken;
  }

  #show() {
    const { enum: all } = this.#schema;
    const shown = [...new Set([...all.slice(0, USUAL), ...this.#offered, this.#value])];
    const focused = this.#group.contains(document.activeElement);
    this.#group.replaceChildren(...shown.map((value) => {
      const button = el("button", { type: "button", role: "radio", "data-value": value });
      return tell(button, () => this.title(value));
    }));
    const chosen = this.#group.children[shown.indexOf(this.#value)];
    this.#select(chosen);
    if (focused) chosen.focus();
    const rest = all.filter((value) => !shown.includes(value));
    this.#rest.hidden = !rest.length;
    this.#rest.replaceChildren(tell(el("option", { value: "" }), () => T.moreChoices), ...rest.map((value) => tell(el("option", { value }), () => this.title(value))));
  }
}
