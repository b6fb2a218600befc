/** The prompt, its history, and presets as pictures. */
import { $, el, memory, roving } from "./dom.js";
import { T, tell } from "./language.js";
import { placesWords, said, sentence, understoodWords } from "./words.js";

const KEPT_PROMPTS = 40;
const SLOW_MS = 1_000;   // an answer that takes longer is being worked on, as where networks are loaded
const WORTH_SAYING = 0.1;   // share of a style in what a prompt was taken for

export class Prompts {
  #history = memory.get("prompts", []); #at = -1; #presets = []; #accepted; #turn = 0; #asking = 0; #tabStop; #absent = []; #missing = [];

  /** Say what is said under the prompt in the language of the moment. */
  write = () => {};

  /** `apply(text)` resolves with the ack and the prompt it is for, or rejects with why not; null while there is no session. */
  constructor(apply) {
    this.apply = apply;
    this.input = $("prompt");
    this.#accepted = this.input.value = this.#history[0] ?? "";
    $("prompt-form").addEventListener("submit", (event) => {
      event.preventDefault();
      this.paint(this.input.value);
    });
    this.input.addEventListener("keydown", (event) => this.#key(event));
    this.input.addEventListener("input", () => this.#mark());
    $("history-open").onclick = () => this.toggleHistory();
    addEventListener("pointerdown", ({ target }) => {
      if (!$("history").hidden && !target.closest("#history, #history-open")) this.toggleHistory(false);
    });
    $("history").addEventListener("keydown", (event) => this.#historyKey(event));
    this.#tabStop = roving($("presets"));
  }

  get text() {
    return this.input.value.trim();
  }

  set text(text) {
    this.input.value = text;
    this.#mark();
  }

  setPresets(presets, asset) {
    this.#presets = presets;
    if (!this.input.value && presets.length) this.input.value = presets[0].prompt;
    $("presets").replaceChildren(...presets.map(({ key: name, prompt, thumbnail }, index) => {
      const key = index < 9 ? ` ${T.prompt.key(index + 1)}` : "";
      const picture = el("img", { src: asset(thumbnail), alt: "", loading: "lazy", decoding: "async", width: 104, height: 62, onerror: () => picture.removeAttribute("src") });
      picture.dataset.src = asset(thumbnail);
      return el("button", { type: "button", "aria-pressed": "false", title: prompt + key, onclick: () => this.preset(index) }, picture, tell(el("span"), () => this.#look(name).title));
    }));
    this.#mark();
  }

  /** Ask again for pictures that could not be had while the server was away. */
  refreshPictures() {
    for (const picture of $("presets").querySelectorAll("img:not([src])")) picture.src = picture.dataset.src;
  }

  /** Paint the presets' pictures anew, those near the chosen one first: `paint(prompt)` resolves with a Blob, null for none of it and rejects to end it. */
  async repaintPictures(paint) {
    const chosen = Math.max(0, this.#presets.findIndex(({ prompt }) => prompt === this.text));
    const order = this.#presets.map((_, index) => index).sort((a, b) => Math.abs(a - chosen) - Math.abs(b - chosen));
    for (const index of order) {
      const blob = await paint(this.#presets[index].prompt);
      const picture = this.#pictureOf(this.#presets[index].prompt);
      if (!blob || !picture) continue;
      if (picture.src.startsWith("blob:")) URL.revokeObjectURL(picture.src);
      picture.src = URL.createObjectURL(blob);
    }
  }

  #pictureOf(prompt) {
    return $("presets").children[this.#presets.findIndex((preset) => preset.prompt === prompt)]?.querySelector("img");
  }

  preset(index) {
    if (this.#presets[index]) this.paint(this.#presets[index].prompt);
  }

  async paint(text) {
    this.text = text;
    this.#turn += 1;
    const promise = this.apply(text.trim());
    if (!promise) return this.say(() => (text.trim() ? T.prompt.later : ""));
    this.#asking += 1;
    const slow = setTimeout(() => this.say(() => T.prompt.preparing), SLOW_MS);
    try {
      const ack = await promise;
      if (this.text === text.trim()) this.text = ack.prompt ?? "";   // of "stronger" and "undo" the whole request
      this.#accept(ack.prompt);
      this.say(() => (ack.prompt ? this.#understood(ack) : T.prompt.none));
    } catch (error) {
      this.#refuse(error, text);
    } finally {
      clearTimeout(slow);
      this.#asking -= 1;
    }
  }

  /** Take note of what a session has opened with. A prompt that was left out gives way to the last one accepted. */
  async opened({ controls, notices }) {
    const notice = notices.find(({ control }) => control === "prompt");
    if (!notice) {
      this.#accept(controls.prompt);
      return this.say(() => "");
    }
    if (this.#asking) return;   // the next one is on its way already
    const asked = this.text;
    this.#refuse(notice, asked, () => T.prompt.original);
    if (!this.#accepted) return;
    const turn = this.#turn;
    const instead = await this.apply(this.#accepted).then((ack) => ack.prompt, () => null);
    if (instead && turn === this.#turn) this.#refuse(notice, asked, () => T.prompt.paintedInstead(instead));
  }

  /** Show a prompt that somebody else has set; what is being typed stays. */
  changed(prompt, news) {
    if (document.activeElement !== this.input) this.text = prompt;
    this.#accepted = prompt;
    this.say(() => T.prompt.theirs(prompt, prompt ? this.#understood(news) : T.prompt.none));
  }

  #accept(text) {
    this.#accepted = text;
    this.#remember(text);
  }

  /** Say why a prompt is not painted, and offer what is near. */
  #refuse(refusal, text, more = () => "") {
    const why = () => {
      const { understood = [] } = refusal;
      if (understood.some(({ action }) => action !== "elsewhere")) return T.prompt.cannot(this.#edits(understood));
      if (understood.length) return sentence(this.#edits(understood));
      return refusal.matches?.length ? T.prompt.refused(text) : said(refusal);
    };
    const told = () => [why(), more(), refusal.matches?.length ? T.prompt.closest : ""];
    this.say(() => told().filter(Boolean).join(" "), { bad: true, near: () => this.near(refusal) });
  }

  /** The nearest looks of a refused prompt, `[{title, prompt}…]`, nearest first. */
  near({ matches = [] }) {
    return matches.map(([name]) => this.#look(name));
  }

  #look(name) {
    const { title, prompt } = this.#presets.find(({ key }) => key === name) ?? { title: name, prompt: name };
    return { title: T.looks[name] ?? title, prompt };
  }

  // What the model took a prompt for.
  #understood({ matches, message, understood = [] }) {
    if (understood.length) return sentence(this.#edits(understood));
    const worth = matches.filter(([, share]) => share >= WORTH_SAYING).map(([name, share]) => [this.#look(name).title, share]);
    return worth.length ? T.prompt.paintingAs(worth) : said({ message });
  }

  #edits(understood) {
    return understoodWords(understood, (name) => this.#look(name).title);
  }

  /** Say under the prompt what `words` gives, in each language that is chosen; `near` gives prompts to be had by a click, `[{title, prompt}…]`. */
  say(words, { bad = false, near = () => [] } = {}) {
    const place = $("prompt-said");
    this.#absent = this.#missing = [];   // those of the prompt before
    this.write = () => {
      const offers = this.offers(near());
      const missing = this.#missing.length && !bad ? ` ${T.prompt.missing(placesWords(this.#missing))}` : "";
      place.replaceChildren(offers.length ? `${words()} ` : words(), ...offers, missing);
    };
    this.write();
    place.classList.toggle("bad", bad);
    this.input.setAttribute("aria-invalid", String(bad));
  }

  /** Buttons that paint looks, `[{title, prompt}…]`, with their pictures where there are some. */
  offers(looks) {
    return looks.map(({ title, prompt }) => {
      const { src } = this.#pictureOf(prompt) ?? {};
      return el("button", { type: "button", onclick: (event) => this.#take(event, prompt) }, src ? el("img", { src, alt: "" }) : null, title);
    });
  }

  // The button goes away with what it stands in; a key's focus must not. (A phone's keyboard had better stay away.)
  #take(event, prompt) {
    if (event.detail === 0) this.input.focus();
    this.paint(prompt);
  }

  /** Say which places of the prompt, by the names of the control `place`, are not in the picture: those of two reports in a row. */
  missing(absent) {
    const missing = absent.filter((place) => this.#absent.includes(place));
    this.#absent = absent;
    if (missing.join() === this.#missing.join()) return;
    this.#missing = missing;
    this.write();
  }

  focus() {
    this.input.focus();
    this.input.select();
  }

  #mark() {
    this.#tabStop($("presets").children[this.#presets.findIndex(({ prompt }) => prompt === this.text)]);
    for (const [index, button] of [...$("presets").children].entries()) {
      const chosen = this.#presets[index].prompt === this.text;
      button.setAttribute("aria-pressed", String(chosen));
      if (chosen) reveal(button, $("presets"));
    }
  }

  #remember(text) {
    if (!text) return;
    this.#history = [text, ...this.#history.filter((old) => old !== text)].slice(0, KEPT_PROMPTS);
    this.#at = -1;
    memory.set("prompts", this.#history);
  }

  // As in a shell: up is earlier, down is later.
  #key(event) {
    if (event.key === "Escape") this.input.blur();
    const step = { ArrowUp: 1, ArrowDown: -1 }[event.key];
    if (!step) return;
    event.preventDefault();
    this.#at = Math.min(this.#history.length - 1, Math.max(-1, this.#at + step));
    this.input.value = this.#history[this.#at] ?? "";
  }

  toggleHistory(open = $("history").hidden) {
    const items = this.#history.map((text) => el("button", { type: "button", onclick: () => { this.toggleHistory(false); this.paint(text); } }, text));
    $("history").replaceChildren(...(items.length ? items : [el("p", {}, T.prompt.noHistory)]));
    $("history").hidden = !open;
    $("history-open").setAttribute("aria-expanded", String(open));
    if (open) items[0]?.focus();
  }

  #historyKey(event) {
    const items = [...$("history").querySelectorAll("button")];
    const at = items.indexOf(document.activeElement);
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step) items[(at + step + items.length) % items.length]?.focus();
    else if (event.key === "Escape") {
      this.toggleHistory(false);
      $("history-open").focus();
    } else return;
    event.preventDefault();
    event.stopPropagation();
  }
}

/** Scroll a row sideways until a button of it is in sight, without moving the page. */
function reveal(button, row) {
  const left = button.offsetLeft - row.offsetLeft;
  const seen = left >= row.scrollLeft && left + button.offsetWidth <= row.scrollLeft + row.clientWidth - 40;
  if (!seen) row.scrollTo({ left: left - (row.clientWidth - button.offsetWidth) / 2 });
}
