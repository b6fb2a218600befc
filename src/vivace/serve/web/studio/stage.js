/** The picture: before and after with a divider, mirror, full screen, and the note that it is AI-modified. */
import { $, fullScreen, memory, toast } from "./dom.js";
import { InStep } from "./in-step.js";
import { installListen } from "./listen.js";
import { T, language, tell } from "./language.js";

const THUMBNAIL = [256, 144];   // px that the server paints thumbnails at
const LABEL_SHARES = { small: 3.6, medium: 5.5, large: 8 };   // text of the label in a picture, in % of its shorter side

export class Stage {
  stillMs = 2_500;   // after so long without a move the tools get out of the picture's way
  picked = () => {};   // is told of a click on the picture, by shares of its width and height, while it is `pickable`
  ageMs = () => null;   // of the picture on screen since its source's was there; null while it is not known

  #selfie = false; #painted = true; #noteOn = true; #unpaint = 0; #inStep; #label = null;

  constructor() {
    this.picture = $("picture");
    this.before = $("before");
    this.after = $("after");
    this.mirrored = false;
    this.split = null;
    this.#inStep = new InStep(this.before, this.after, $("in-step"), () => this.ageMs());
    this.#divider();
    this.#note();
    this.#tools();
    this.#picks();
    this.after.addEventListener("resize", () => this.#aspect(this.after));
  }

  /** Show a source as "before", and take its shape until there is an output. A `selfie` is shown as in a mirror. */
  source(stream, [width, height], selfie = false) {
    this.#selfie = selfie;
    this.#mirror(selfie && memory.get("mirror", true));
    this.before.srcObject = stream;
    this.before.play().catch(() => {});   // the browser shows it once it may
    document.documentElement.style.setProperty("--aspect", String(width / height));
  }

  /** Let the pictures run again; browsers stop what nobody sees. */
  play() {
    for (const video of [this.before, this.after]) if (video.srcObject) video.play().catch(() => {});
  }

  /** The source's picture as it is now, small, as a `data:` address of a JPEG. */
  sourcePicture() {
    const { videoWidth: w, videoHeight: h } = this.before;
    const canvas = document.createElement("canvas");
    const scale = Math.max(THUMBNAIL[0] / w, THUMBNAIL[1] / h);
    [canvas.width, canvas.height] = THUMBNAIL;
    canvas.getContext("2d").drawImage(this.before, (THUMBNAIL[0] - w * scale) / 2, (THUMBNAIL[1] - h * scale) / 2, w * scale, h * scale);
    return canvas.toDataURL("image/jpeg", 0.9);
  }

  #aspect({ videoWidth, videoHeight }) {
    if (videoWidth && videoHeight) document.documentElement.style.setProperty("--aspect", String(videoWidth / videoHeight));
  }

  toggleSplit(on = this.split === null) {
    this.split = on ? memory.get("split", 50) : null;
    this.picture.classList.toggle("split", on);
    for (const id of ["divider", "tag-before", "tag-after"]) $(id).hidden = !on;
    $("split").setAttribute("aria-pressed", String(on));
    this.#inStep.run(on);
    this.#showNote();
    if (on) this.#moveDivider(this.split);
    else this.picture.style.removeProperty("--split");
  }

  #moveDivider(percent) {
    this.split = Math.min(100, Math.max(0, percent));
    this.picture.style.setProperty("--split", `${this.split}%`);
    $("divider").setAttribute("aria-valuenow", String(Math.round(this.split)));
    $("divider").setAttribute("aria-valuetext", T.dividerAt(this.split / 100));
    memory.set("split", this.split);
  }

  #divider() {
    const divider = $("divider");
    const to = (event) => {
      const box = this.picture.getBoundingClientRect();
      this.#moveDivider(((event.clientX - box.left) / box.width) * 100);
    };
    divider.addEventListener("pointerdown", (event) => {
      divider.setPointerCapture(event.pointerId);
      to(event);
    });
    divider.addEventListener("pointermove", (event) => divider.hasPointerCapture(event.pointerId) && to(event));
    divider.addEventListener("keydown", (event) => {
      const step = event.shiftKey ? 10 : 2;
      const next = { ArrowLeft: this.split - step, ArrowRight: this.split + step, Home: 0, End: 100, PageUp: this.split + 10, PageDown: this.split - 10 }[event.key];
      if (next === undefined) return;
      event.preventDefault();
      this.#moveDivider(next);
    });
  }

  /** Mirror the picture for who looks at it here, or no longer; of selfies that is remembered. */
  toggleMirror() {
    this.#mirror(!this.mirrored);
    if (this.#selfie) memory.set("mirror", this.mirrored);
  }

  #mirror(on) {
    this.mirrored = on;
    this.picture.classList.toggle("mirror", on);
    $("mirror").setAttribute("aria-pressed", String(on));
    this.#showNote();
  }

  /** Say whether a click on the picture picks something there. */
  set pickable(on) {
    this.picture.classList.toggle("pickable", on);
  }

  #picks() {
    this.picture.addEventListener("click", ({ target, clientX, clientY }) => {
      if (!target.matches("video, #in-step") || !this.picture.classList.contains("pickable")) return;
      const box = this.picture.getBoundingClientRect();
      const x = (clientX - box.left) / box.width;
      const inside = (share) => Math.min(1, Math.max(0, share));
      this.picked(inside(this.mirrored ? 1 - x : x), inside((clientY - box.top) / box.height));
    });
  }

  /** Show the source while a key is held. */
  original(on) {
    this.picture.classList.toggle("original", on);
    this.#showNote();
  }

  /** Say whether a picture is painted, or is the source itself from `inMs` on. */
  paints(on, inMs = 0) {
    const take = () => {
      this.#unpaint = 0;
      this.#painted = on;
      this.#showNote();
    };
    if (on || !inMs) {
      clearTimeout(this.#unpaint);
      take();
    } else if (this.#painted) this.#unpaint ||= setTimeout(take, inMs);
  }

  toggleFullscreen() {
    return fullScreen($("stage"), this.after).catch(() => toast(T.toasts.noFullscreen));
  }

  /** Say what label is in the picture itself; null where there is none, and the note of this page says it. */
  labelled(label) {
    this.#label = label;
    for (const id of ["note-corner", "note-on"]) $(id).disabled = Boolean(label);
    $("note").style.setProperty("--label-share", LABEL_SHARES[label?.size] ?? 0);
    this.#noteOn ||= Boolean(label);
    tell($("note-state"), () => (label ? T.label.inPicture : this.#noteOn ? T.label.on : T.label.off));
    this.#showNote();
  }

  /** What a snapshot of the picture shows: the source beside it, and a label where the note is the only one. */
  get snapshot() {
    const label = this.#label || !this.#noteOn ? null : $("note").dataset.corner;
    return { compare: this.split !== null, label, language };
  }

  // The note may be moved at any time, but removed only after a question, and only until the page is opened again.
  #note() {
    const note = $("note");
    const corner = $("note-corner");
    corner.value = note.dataset.corner = memory.get("note-corner", "top-left");
    corner.addEventListener("change", () => {
      note.dataset.corner = corner.value;
      memory.set("note-corner", corner.value);
    });
    const show = (on) => {
      this.#noteOn = on;
      this.#showNote();
      $("note-on").checked = on;
      tell($("note-state"), () => (on ? T.label.on : T.label.off));
    };
    show(true);
    $("note-on").addEventListener("change", () => {
      if ($("note-on").checked) return show(true);
      show(true);
      $("note-dialog").showModal();
    });
    $("note-dialog").addEventListener("close", () => show($("note-dialog").returnValue !== "remove"));
  }

  // It says what is true of the picture, so it is there only where something is painted.
  #showNote() {
    const { corner } = this.#label ?? {};
    const left = corner?.endsWith("left");
    // A label in the picture is enough, unless it is reversed by the mirror, where the note lies over it, or lies below the original.
    const enough = corner && !this.mirrored && !(left && this.split !== null);
    $("note").classList.toggle("over", Boolean(corner) && this.mirrored);
    if (corner) $("note").dataset.corner = this.mirrored ? corner.replace(/left|right/, left ? "right" : "left") : corner;
    else $("note").dataset.corner = $("note-corner").value || "top-left";
    $("note").hidden = enough || !this.#noteOn || !this.#painted || this.picture.classList.contains("original");
  }

  #tools() {
    let timer = 0;
    const stage = $("stage");
    const stir = () => {
      stage.classList.remove("still");
      clearTimeout(timer);
      timer = setTimeout(() => stage.classList.add("still"), this.stillMs);
    };
    for (const name of ["pointermove", "pointerdown", "keydown", "focusin"]) stage.addEventListener(name, stir);
    stage.addEventListener("pointerleave", () => { clearTimeout(timer); stage.classList.remove("still"); });
    // A finger on a screen that has a mouse, too: the touch that brings the tools back presses none of them.
    let unseen = false;
    stage.addEventListener("pointerdown", () => { unseen = getComputedStyle($("tools")).pointerEvents === "none"; }, true);
    $("tools").addEventListener("click", (event) => unseen && event.detail && event.stopPropagation(), true);
    $("split").onclick = () => this.toggleSplit();
    this.toggleListen = installListen(this.after);
    $("mirror").onclick = () => this.toggleMirror();
    $("fullscreen").onclick = () => this.toggleFullscreen();
  }
}
