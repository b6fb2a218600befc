/** The panel of a show: MIDI controllers and keys, what they move, and what was played as a file. */
import { bindable, Bindings, controlAt, readKey, titleOf } from "./bindings.js";
import { $, delay, download, el, stampedName, toast } from "./dom.js";
import { T, tell } from "./language.js";
import { Midi } from "./midi.js";
import { said } from "./words.js";

const KEEP_MS = 1_000;   // nobody waits longer for the end of a session

export class Surfaces {
  #midi = new Midi(); #bindings = new Bindings(); #session = null; #ended = null; #highlit = null;

  constructor() {
    this.#bindings.addEventListener("changed", () => this.write());
    this.#midi.addEventListener("plugged", () => this.write());
    this.#midi.addEventListener("move", ({ detail }) => this.#move(detail));
    $("midi").hidden = !Midi.possible;
    $("midi").onclick = () => this.#connect();
    $("learn").onclick = () => (this.#bindings.learning ? this.#bindings.cancel() : this.#bindings.learn());
    $("save-show").onclick = () => this.save();
    // Before anything else sees it: what is touched to be learned does nothing, and a key that is bound does that alone.
    addEventListener("click", (event) => this.#touch(event), true);
    for (const name of ["pointerdown", "mousedown"]) addEventListener(name, (event) => this.#hold(event), true);
    addEventListener("keydown", (event) => this.#key(event), true);
    if (this.#bindings.all.some(({ input }) => !input.startsWith("key "))) Midi.allowed().then((yes) => yes && this.#connect());
    this.write();
  }

  /** Show a session, or none; what was played in the last one stays to be saved. */
  follow(session) {
    this.#session = session;
    if (session) this.#ended = null;
    this.write();
  }

  /** Fetch what was played, before the session is ended: afterwards the server does not know it. */
  async keep() {
    if (!this.#session?.info) return;
    this.#ended = await Promise.race([this.#session.show(), delay(KEEP_MS)]).catch(() => null) ?? null;   // it has ended by itself, or the server is gone
  }

  async save() {
    try {
      const text = this.#session ? await this.#session.show() : this.#ended;
      download(new Blob([text], { type: "application/toml" }), `${stampedName()}.toml`);
      toast(T.surfaces.saved);
    } catch (error) {
      toast(said(error), { bad: true });
    }
  }

  async #connect() {
    try {
      await this.#midi.connect();
    } catch {
      toast(T.surfaces.refused, { bad: true });
    }
    this.write();
  }

  #move({ key, kind, number, channel, controller, value, pressed }) {
    this.#bindings.moved({ input: `${controller} ${key}`, label: T.surfaces.inputs[kind]({ number, channel }), value, pressed });
  }

  #touch(event) {
    if (!this.#bindings.touched(event.target)) return;
    event.preventDefault();
    event.stopPropagation();
  }

  // A slider that is touched to be learned does not move, nor does a list open.
  #hold(event) {
    if (!this.#bindings.learning || !controlAt(event.target)) return;
    event.preventDefault();
    event.stopPropagation();
  }

  #key(event) {
    const learning = this.#bindings.learning;
    if (learning && event.key === "Escape") this.#bindings.cancel();
    else if (!(learning && !learning.control ? this.#touchedByKey(event) : this.#pressed(event))) return;
    event.preventDefault();
    event.stopPropagation();
  }

  #touchedByKey(event) {
    return event.key === "Enter" && this.#bindings.touched(event.target);
  }

  #pressed(event) {
    const move = readKey(event);
    return move !== null && this.#bindings.moved(move);
  }

  /** Write what there is, in the language of the moment. */
  write() {
    const { learning, all } = this.#bindings;
    const names = this.#midi.names;
    $("surfaces-state").textContent = all.length || "";
    $("midi").disabled = this.#midi.open;
    $("learn").setAttribute("aria-pressed", String(Boolean(learning)));
    tell($("learn"), () => (learning ? T.surfaces.stop : T.surfaces.learn));
    const hint = () => {
      if (learning) return learning.control ? T.surfaces.moveIt(titleOf(learning.control)) : learning.input ? T.surfaces.touchFor(learning.input.label) : T.surfaces.touch;
      if (this.#midi.open) return names.length ? T.surfaces.plugged(names) : T.surfaces.nothingPlugged;
      return Midi.possible ? T.surfaces.about : T.surfaces.noMidi;
    };
    tell($("surfaces-hint"), hint);
    $("save-show").disabled = !this.#session && !this.#ended;
    $("bindings").replaceChildren(...all.map((binding) => el("li", {},
      el("span", {}, `${binding.label} → `, tell(el("span"), () => titleOf(binding.control))),
      tell(el("button", { type: "button", class: "text", onclick: () => this.#bindings.remove(binding) }), () => T.remove))));
    this.#highlight(learning?.control ?? null);
  }

  #highlight(name) {
    this.#highlit?.classList.remove("learning");
    this.#highlit = bindable(name);
    this.#highlit?.classList.add("learning");
    document.body.toggleAttribute("data-learning", Boolean(this.#bindings.learning));
  }
}
