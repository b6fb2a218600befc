/** In which state the page is: as its status and title, and on a card over the picture, with what may be done. */
import { $, el, icon, prose } from "./dom.js";
import { T } from "./language.js";
import { SOURCES } from "./sources.js";

export class StateView {
  /** What the card offers to try again, or null. */
  again = null;

  #words = null; #awake = null; #actions; #use; #near;

  /**
   * `actions` are `{retry, pick, stop}`, what a card's buttons do; `use` is called with a kind of source that was picked, `near`
   * makes buttons of the styles that are near a refused prompt.
   */
  constructor({ actions, use, near }) {
    this.#actions = actions;
    this.#use = use;
    this.#near = near;
    addEventListener("visibilitychange", () => this.#keepAwake());
  }

  /** Show a state, on a card where there are `words`, a function that gives them in the language of the moment. */
  show(state, words, again) {
    this.#words = words;
    const { body } = document;
    const before = body.dataset.state;
    body.dataset.state = state;
    body.toggleAttribute("data-card", Boolean(words));
    this.#keepAwake();
    const { actions = [] } = this.write(again) ?? {};
    this.again = actions.some(([, name]) => name === "retry") ? again : null;
    if (!words) {
      // What had the focus may be gone with the card; the next Tab leads to the picture's tools.
      if (document.activeElement === body || $("card").contains(document.activeElement)) $("stage").focus({ preventScroll: true });
      return;
    }
    // What needs an answer gets the focus, unless someone is typing.
    if (state !== before && ["problem", "ended"].includes(state) && document.activeElement !== $("prompt")) $("card").focus({ preventScroll: true });
  }

  /** Write what the state says, as after a change of language; returns its words. */
  write(again = this.again) {
    const words = this.#words?.();
    const { state } = document.body.dataset;
    const status = words?.status ?? T.status[state] ?? words.title;
    $("status-text").textContent = status;
    document.title = state === "live" ? `● ${status} · Vivace` : `${status} · Vivace`;
    if (!words) return null;
    $("card-figure").textContent = words.figure ?? "";
    $("card-title").textContent = words.title;
    $("card-text").replaceChildren(...prose(words.text));
    $("token-form").hidden = !words.token;
    $("tiles").replaceChildren(...(words.tiles ? SOURCES.map((kind) => el("button", { type: "button", onclick: () => this.#use(kind) }, icon(kind), el("span", {}, T.sources[kind].title), el("small", {}, T.sources[kind].hint))) : []));
    const actions = { ...this.#actions, retry: again ?? this.#actions.retry };
    $("card-near").replaceChildren(...this.#near(words.near ?? []));
    $("card-actions").replaceChildren(...(words.actions ?? []).map(([label, name], i) => el("button", { type: "button", class: i === 0 && name !== "stop" ? "primary" : null, onclick: actions[name] }, label)));
    return words;
  }

  // A screen that goes dark in the middle of a show is no help. Browsers let go by themselves when the tab is hidden.
  async #keepAwake() {
    if (document.body.dataset.state !== "live") return this.#awake?.release();
    if (!navigator.wakeLock || document.hidden) return;
    try {
      this.#awake = await navigator.wakeLock.request("screen");
    } catch (error) {
      console.info("vivace: the screen may go dark:", error.message);
    }
  }
}
