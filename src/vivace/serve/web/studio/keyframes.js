/** The key frame: a frame of the stream is saved, edited in any program and given back, and every later frame follows it. */
import { $, download, stampedName } from "./dom.js";
import { T, tell } from "./language.js";
import { pictureArea } from "./picture.js";
import { sentence } from "./words.js";

const KEPT = 6;   // saved frames, one of which an edited picture was made of
const COMPARED = [48, 27];   // px at which it is looked for

export class KeyFrames {
  #saved = []; #set = { keyframe: null, keyframe_source: null }; #send; #areas = {};

  constructor() {
    $("keyed-remove").onclick = () => {
      this.#change({ keyframe: null, keyframe_source: null });
      $("prompt").focus({ preventScroll: true });
    };
  }

  /** Whether one leads the stream. */
  get inForce() {
    return this.#set.keyframe !== null;
  }

  /**
   * Offer both controls by their schemas, with what is chosen of them; `send(options)` resolves with whether that is taken.
   * Returns what gives it a picture, `{title(), take(file)}`, or null where the model follows no key frames.
   */
  offer({ keyframe, keyframe_source }, chosen, send) {
    $("keyframe-panel").hidden = !keyframe;
    this.#send = send;
    this.#set = { keyframe: chosen.keyframe ?? null, keyframe_source: chosen.keyframe_source ?? null };
    this.#areas = {};
    $("keyframe-areas").replaceChildren();
    if (keyframe) {
      for (const [name, schema, change] of [
        ["keyframe", keyframe, (url) => this.#give(url)], ["keyframe_source", keyframe_source, (url) => this.#change({ keyframe_source: url })],
      ]) {
        const area = pictureArea(`option-${name}`, () => T.options[name], { ...schema, kind: "exact", default: this.#set[name] }, change);
        this.#areas[name] = area;
        $("keyframe-areas").append(area.node);
      }
    }
    this.#show();
    return keyframe ? { title: () => T.page.keyFrame, take: this.#areas.keyframe.take } : null;
  }

  /** Download a frame for editing, a PNG Blob, and keep it: what it becomes is held against it. */
  async save(blob) {
    const bitmap = await createImageBitmap(blob);
    const canvas = Object.assign(document.createElement("canvas"), { width: bitmap.width, height: bitmap.height });
    canvas.getContext("2d").drawImage(bitmap, 0, 0);
    this.#saved = [canvas.toDataURL("image/png"), ...this.#saved].slice(0, KEPT);
    download(blob, `${stampedName()}-frame.png`);
  }

  /** Show what the model says of the key frame, or nothing. */
  say(note) {
    $("keyed-note").textContent = sentence(note);
  }

  async #give(url) {
    return this.#change({ keyframe: url, keyframe_source: url && await nearest(url, this.#saved) });
  }

  async #change(options) {
    const before = this.#set;
    this.#set = { ...before, ...options };
    const taken = await this.#send(options);
    if (taken === false) this.#set = before;
    this.#show();
    return taken;
  }

  #show() {
    const { keyframe } = this.#set;
    for (const [name, area] of Object.entries(this.#areas)) area.show(this.#set[name]);
    $("keyed").hidden = !this.inForce;
    if (this.inForce) $("keyed-picture").src = keyframe;
    else this.say("");
    tell($("keyframe-state"), () => (this.inForce ? T.label.on : ""));
  }
}

// The picture, of several `data:` addresses, that most resembles one; null of none.
async function nearest(url, others) {
  const wanted = await colours(url);
  const all = await Promise.all(others.map(async (other) => {
    const found = await colours(other);
    return { other, off: found.reduce((sum, value, i) => sum + Math.abs(value - wanted[i]), 0) };
  }));
  return all.reduce((best, each) => (best && best.off <= each.off ? best : each), null)?.other ?? null;
}

async function colours(url) {
  const picture = new Image();
  picture.src = url;
  await picture.decode();
  const ctx = new OffscreenCanvas(...COMPARED).getContext("2d");
  ctx.drawImage(picture, 0, 0, ...COMPARED);
  return ctx.getImageData(0, 0, ...COMPARED).data;
}
