/** The live panel: figures, where the time goes, what limits quality now. */
import { $, el, HERE } from "./dom.js";
import { T, tell } from "./language.js";
import { limitWords } from "./words.js";

// Keys of the server's stages, and around them what the browser measures itself.
const STAGES = ["capture", "up", "receive", "wait", "prepare", "denoise", "refine", "encode", "down", "present"];
const MEASURE_MS = 500;

const whole = (value) => (value === null || value === undefined ? "–" : value < 9.95 ? value.toFixed(1) : Math.round(value).toString());

export class LivePanel {
  glassMs = null;   // camera to screen: measured, or the sum of the parts
  floorFrames = () => 0;   // of the model: how many frames a picture waits for

  #after; #session = null; #own = null; #timer = 0; #promptMs = null; #cells = new Map();

  /** `after` is the <video> of the repainted stream. */
  constructor(after) {
    this.#after = after;
    for (const key of STAGES) {
      const segment = el("span", { class: `s-${key}` });
      const value = el("b", {}, "–");
      $("where").append(segment);
      $("legend").append(el("li", {}, el("i", { class: `s-${key}`, "aria-hidden": "true" }), tell(el("span"), () => T.live.stages[key]), value));
      this.#cells.set(key, { segment, value });
    }
    this.clear();
  }

  /** Follow a session (or none). */
  follow(session) {
    this.#session = session;
    clearInterval(this.#timer);
    this.#own = this.#promptMs = this.glassMs = null;
    if (!session) return this.clear();
    this.#timer = setInterval(() => this.#measure(), MEASURE_MS);
    session.addEventListener("stats", () => this.show());
    session.addEventListener("shown", ({ detail }) => {
      this.#promptMs = detail.ms;
      this.show();
    });
  }

  clear() {
    for (const id of ["f-glass", "f-fps", "f-prompt", "f-drops"]) $(id).textContent = "–";
    for (const id of ["f-glass-sub", "f-fps-sub", "f-drops-sub"]) $(id).textContent = "\u00a0";
    for (const id of ["m-size", "m-fps", "m-delay"]) $(id).textContent = "";
    this.#limit(null, () => T.live.none);
    for (const { segment, value } of this.#cells.values()) {
      segment.style.flexGrow = "0";
      value.textContent = "–";
    }
  }

  async #measure() {
    const session = this.#session;
    const own = await session.measure().catch(() => null);   // the connection was closed meanwhile
    if (session === this.#session && own) this.#own = own;
  }

  /** Show the figures of the moment. */
  show() {
    const session = this.#session;
    const stats = session?.stats;
    if (!stats || session.state !== "live") return;
    const own = this.#own ?? {};
    const parts = this.#parts(stats, own);
    const sum = [...parts.values()].reduce((total, ms) => total + (ms ?? 0), 0);
    const measured = session.glass.summary();
    const glass = measured?.measured ? measured : { p50: sum, p95: null, measured: false };
    this.glassMs = glass.p50;
    const fps = stats.fps_out ?? own.fpsShown;

    $("f-glass").replaceChildren(whole(glass.p50), el("small", {}, " ms"));
    const told = glass.measured ? T.live.measured(whole(glass.p95)) : T.live.summed;
    const floorMs = stats.fps_in ? (1000 * this.floorFrames()) / stats.fps_in : 0;
    $("f-glass-sub").textContent = floorMs ? `${told} · ${T.live.floor(whole(floorMs))}` : told;
    $("f-fps").replaceChildren(whole(fps), el("small", {}, T.live.fpsOut));
    $("f-fps-sub").textContent = T.live.fpsWays(whole(stats.fps_in), whole(own.fpsShown));
    const prompt = this.#promptMs ?? stats.prompt_to_pixel_ms;
    $("f-prompt").replaceChildren(whole(prompt), el("small", {}, prompt === null ? "" : " ms"));
    this.#drops(stats.drops, own.lostHere ?? 0);
    for (const [key, { segment, value }] of this.#cells) {
      segment.style.flexGrow = String(parts.get(key) ?? 0);
      value.textContent = whole(parts.get(key));
    }
    $("where").setAttribute("aria-label", T.live.where(STAGES.map((key) => [T.live.stages[key], whole(parts.get(key))])));
    const { videoWidth, videoHeight } = this.#after;
    $("m-size").textContent = `${videoWidth} × ${videoHeight}`;
    $("m-fps").textContent = T.live.fps(whole(fps));
    $("m-delay").textContent = `${whole(glass.p50)} ms`;
    this.#limit(stats.limit, () => limitWords(stats, { here: HERE, lessDetail: $("detail").selectedIndex > 0 }));
  }

  #parts(stats, own) {
    const stage = (name) => stats.stages_ms[name]?.p50 ?? null;
    const half = stats.rtt_ms !== null && stats.rtt_ms !== undefined ? stats.rtt_ms / 2 : own.networkMs ?? null;
    return new Map([
      ["capture", own.captureMs ?? null], ["up", half], ["receive", stage("receive")], ["wait", stage("wait")], ["prepare", stage("prepare")],
      ["denoise", stage("denoise")], ["refine", stage("refine")], ["encode", stage("encode")], ["down", half], ["present", own.presentMs ?? null],
    ]);
  }

  #drops(drops, lostHere) {
    const all = Object.entries({ ...drops, ...(lostHere ? { [T.live.lostHere]: lostHere } : {}) }).filter(([, count]) => count > 0);
    $("f-drops").textContent = all.reduce((total, [, count]) => total + count, 0).toString();
    const why = all.sort((a, b) => b[1] - a[1]).map(([reason, count]) => `${T.live.drops[reason] ?? reason.replaceAll("_", " ")} ${count}`).join(", ");
    $("f-drops-sub").textContent = why || T.live.noDrops;
    $("f-drops-sub").title = why;
  }

  #limit(kind, text) {
    tell($("limit"), text);
    if (kind) $("limit").dataset.limit = kind;
    else delete $("limit").dataset.limit;
  }
}
