/**
 * The region brush: paint on the picture where the prompt applies. The mask goes to the server as a PNG, white where the
 * picture may change. An empty mask means everywhere.
 */
import { $, fill, radios, throttle } from "./dom.js";
import { T, tell } from "./language.js";

const LONG_SIDE_PX = 320;
const SEND_MS = 120;
const STEP = 0.03;   // of the width, for arrow keys

export class Brush {
  #mask = null; #ctx = null; #at = null; #painting = false; #mode = "paint"; #share = 0.12; #pressed = false;

  /** `send` gets a data URL, or "" for everywhere; `stage` knows whether the picture is mirrored. */
  constructor(stage, send) {
    this.stage = stage;
    this.canvas = $("brush");
    this.send = throttle(SEND_MS, () => send(this.dataUrl()));
    this.#pointer();
    this.#keys();
    this.#panel();
    this.#show();
    new ResizeObserver(() => this.#draw()).observe($("picture"));
  }

  get open() {
    return !this.canvas.hidden;
  }

  toggle(on = !this.open) {
    this.canvas.hidden = !on;
    this.canvas.tabIndex = on ? 0 : -1;
    $("region").setAttribute("aria-pressed", String(on));
    $("region-panel").open = on;
    if (on) {
      this.stage.toggleSplit(false);
      this.canvas.focus({ preventScroll: true });
      this.#draw();
    }
  }

  /** PNG of the region: white where the picture may change. "" when that is everywhere. */
  dataUrl() {
    if (!this.#mask) return "";
    const flat = document.createElement("canvas");
    [flat.width, flat.height] = [this.#mask.width, this.#mask.height];
    const ctx = flat.getContext("2d", { alpha: false });
    ctx.fillStyle = "#000";
    ctx.fillRect(0, 0, flat.width, flat.height);
    ctx.drawImage(this.#mask, 0, 0);
    return flat.toDataURL("image/png");
  }

  /** Take a region that `dataUrl` gave, without sending it. */
  async load(url) {
    if (!url) return;
    const picture = new Image();
    picture.src = url;
    await picture.decode();
    this.#begin(false);
    const { width, height } = this.#mask;
    this.#ctx.drawImage(picture, 0, 0, width, height);
    const pixels = this.#ctx.getImageData(0, 0, width, height);
    for (let i = 0; i < pixels.data.length; i += 4) pixels.data[i + 3] = pixels.data[i];
    this.#ctx.putImageData(pixels, 0, 0);
    this.#show();
  }

  // The mask is kept as opacity: white where the prompt applies, clear elsewhere.
  #begin(full) {
    const box = $("picture").getBoundingClientRect();
    const scale = LONG_SIDE_PX / Math.max(box.width, box.height);
    this.#mask = document.createElement("canvas");
    [this.#mask.width, this.#mask.height] = [Math.round(box.width * scale), Math.round(box.height * scale)];
    this.#ctx = this.#mask.getContext("2d", { willReadFrequently: true });
    this.#ctx.lineCap = this.#ctx.lineJoin = "round";
    this.#ctx.fillStyle = this.#ctx.strokeStyle = "#fff";
    if (full) this.#ctx.fillRect(0, 0, this.#mask.width, this.#mask.height);
  }

  #stroke(from, to) {
    // The first stroke says what the rest is: "prompt here" leaves the rest alone, "leave alone" keeps the prompt there.
    if (!this.#mask) this.#begin(this.#mode === "erase");
    const { width, height } = this.#mask;
    this.#ctx.globalCompositeOperation = this.#mode === "paint" ? "source-over" : "destination-out";
    this.#ctx.lineWidth = this.#share * width;
    this.#ctx.beginPath();
    this.#ctx.moveTo(from.x * width, from.y * height);
    this.#ctx.lineTo(to.x * width + 0.01, to.y * height);
    this.#ctx.stroke();
    this.#changed();
  }

  invert() {
    const old = this.#mask;
    this.#begin(true);
    if (old) {
      this.#ctx.globalCompositeOperation = "destination-out";
      this.#ctx.drawImage(old, 0, 0, this.#mask.width, this.#mask.height);
    } else {
      this.#ctx.clearRect(0, 0, this.#mask.width, this.#mask.height);
    }
    this.#changed();
  }

  clear() {
    this.#mask = null;
    this.#changed();
  }

  #changed() {
    this.#show();
    this.send();
  }

  #show() {
    const share = this.#mask && this.#coverage();
    tell($("region-state"), () => (share === null ? T.region.everywhere : T.region.share(share)));
    this.#draw();
  }

  #coverage() {
    const { width, height } = this.#mask;
    const { data } = this.#ctx.getImageData(0, 0, width, height);
    let sum = 0;
    for (let i = 3; i < data.length; i += 64) sum += data[i];
    return sum / (255 * Math.ceil(data.length / 64));
  }

  // Darkens what is left alone, and shows where the brush is.
  #draw() {
    if (!this.open) return;
    const box = $("picture").getBoundingClientRect();
    const scale = Math.min(2, devicePixelRatio);
    const { canvas } = this;
    [canvas.width, canvas.height] = [Math.round(box.width * scale), Math.round(box.height * scale)];
    const ctx = canvas.getContext("2d");
    if (this.#mask) {
      ctx.fillStyle = "rgb(6 7 8 / 45%)";
      ctx.fillRect(0, 0, canvas.width, canvas.height);
      ctx.globalCompositeOperation = "destination-out";
      ctx.drawImage(this.#mask, 0, 0, canvas.width, canvas.height);
      ctx.globalCompositeOperation = "source-over";
    }
    if (!this.#at) return;
    ctx.beginPath();
    ctx.arc(this.#at.x * canvas.width, this.#at.y * canvas.height, (this.#share * canvas.width) / 2, 0, 7);
    ctx.lineWidth = 3 * scale;
    ctx.strokeStyle = "rgb(0 0 0 / 60%)";
    ctx.stroke();
    ctx.lineWidth = 1.5 * scale;
    ctx.strokeStyle = this.#mode === "paint" ? "#f2b872" : "#fff";
    ctx.stroke();
  }

  #where(event) {
    const box = this.canvas.getBoundingClientRect();
    const x = (event.clientX - box.left) / box.width;
    return { x: this.stage.mirrored ? 1 - x : x, y: (event.clientY - box.top) / box.height };
  }

  #pointer() {
    const { canvas } = this;
    canvas.addEventListener("pointerdown", (event) => {
      canvas.setPointerCapture(event.pointerId);
      this.#painting = true;
      this.#at = this.#where(event);
      this.#stroke(this.#at, this.#at);
    });
    canvas.addEventListener("pointermove", (event) => {
      const parts = event.getCoalescedEvents?.() ?? [];
      for (const part of parts.length ? parts : [event]) {
        const from = this.#at;
        this.#at = this.#where(part);
        if (this.#painting && from) this.#stroke(from, this.#at);
      }
      this.#draw();
    });
    for (const name of ["pointerup", "pointercancel"]) canvas.addEventListener(name, () => { this.#painting = false; });
    canvas.addEventListener("pointerleave", () => {
      if (!this.#painting) this.#at = null;
      this.#draw();
    });
  }

  #keys() {
    const { canvas } = this;
    canvas.addEventListener("keydown", (event) => {
      const move = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
      if (event.key === " ") this.#pressed = true;
      else if (!move) return;
      event.preventDefault();
      event.stopPropagation();
      const from = this.#at ?? { x: 0.5, y: 0.5 };
      const flip = this.stage.mirrored ? -1 : 1;
      const inside = (value) => Math.min(1, Math.max(0, value));
      this.#at = move ? { x: inside(from.x + flip * move[0] * STEP), y: inside(from.y + move[1] * STEP) } : from;
      if (this.#pressed) this.#stroke(from, this.#at);
      this.#draw();
    });
    canvas.addEventListener("keyup", (event) => {
      if (event.key === " ") this.#pressed = false;
    });
    canvas.addEventListener("blur", () => { this.#pressed = false; });
  }

  #panel() {
    radios($("brush-mode"), (button, select) => {
      this.#mode = button.dataset.mode;
      select(button);
      if (!this.open) this.toggle(true);
    });
    const size = $("brush-size");
    const resize = () => {
      this.#share = size.value / 100;
      $("brush-size-out").textContent = `${size.value} %`;
      fill(size);
      this.#draw();
    };
    size.addEventListener("input", resize);
    resize();
    $("brush-invert").onclick = () => this.invert();
    $("brush-clear").onclick = () => this.clear();
    $("region").onclick = () => this.toggle();
    $("region-panel").addEventListener("toggle", () => {
      if ($("region-panel").open !== this.open) this.toggle($("region-panel").open);
    });
  }

  resizeBy(step) {
    const size = $("brush-size");
    size.value = Number(size.value) + step;
    size.dispatchEvent(new Event("input"));
  }
}
