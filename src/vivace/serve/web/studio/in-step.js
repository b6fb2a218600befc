/** "Before" in step with "after": the source's pictures are kept until the one that was made from them is on screen. */
const MAX_KEPT = 64;            // two seconds at 30 fps; a later "after" gets the oldest there is
const MAX_PX = 640 * 360;       // what is kept is for comparing, not for keeps

export class InStep {
  #before; #after; #canvas; #ageMs; #kept = []; #spare = []; #turn = 0;

  /** Draw on `canvas` the picture of the video `before` that `after` shows repainted, `ageMs()` ms later (null: not known yet). */
  constructor(before, after, canvas, ageMs) {
    this.#before = before;
    this.#after = after;
    this.#canvas = canvas;
    this.#ageMs = ageMs;
    canvas.hidden = true;
  }

  /** Begin or stop; while it is off nothing is kept. Does nothing where a browser does not say when it shows which picture. */
  run(on) {
    const turn = ++this.#turn;
    this.#canvas.hidden = true;
    this.#kept = [];
    this.#spare = [];
    if (!on || !this.#before.requestVideoFrameCallback) return;
    const follow = (video, act) => {
      const next = (_now, frame) => {
        if (turn !== this.#turn) return;
        act(frame);
        video.requestVideoFrameCallback(next);
      };
      video.requestVideoFrameCallback(next);
    };
    follow(this.#before, (frame) => this.#keep(frame.presentationTime));
    follow(this.#after, (frame) => this.#draw(frame.expectedDisplayTime));
  }

  #keep(atMs) {
    const { videoWidth, videoHeight } = this.#before;
    const scale = Math.min(1, Math.sqrt(MAX_PX / (videoWidth * videoHeight)));
    const picture = this.#spare.pop() ?? document.createElement("canvas");
    // Setting its size clears a canvas, and takes time, even if it is the same.
    const size = [videoWidth, videoHeight].map((side) => Math.max(1, Math.round(side * scale)));
    if (picture.width !== size[0] || picture.height !== size[1]) [picture.width, picture.height] = size;
    picture.getContext("2d", { alpha: false }).drawImage(this.#before, 0, 0, ...size);
    this.#kept.push({ atMs, picture });
    if (this.#kept.length > MAX_KEPT) this.#spare.push(this.#kept.shift().picture);
  }

  #draw(shownMs) {
    const ageMs = this.#ageMs();
    if (ageMs === null || !this.#kept.length) return;
    const off = ({ atMs }) => Math.abs(shownMs - ageMs - atMs);
    const at = this.#kept.reduce((best, entry, index) => (off(entry) < off(this.#kept[best]) ? index : best), 0);
    const { picture } = this.#kept[at];
    if (this.#canvas.width !== picture.width || this.#canvas.height !== picture.height) [this.#canvas.width, this.#canvas.height] = [picture.width, picture.height];
    this.#canvas.getContext("2d", { alpha: false }).drawImage(picture, 0, 0);
    this.#canvas.hidden = false;
    // What is older is done with; the one that is shown may be wanted again, if no newer one comes.
    this.#spare.push(...this.#kept.splice(0, at).map((entry) => entry.picture));
  }
}
