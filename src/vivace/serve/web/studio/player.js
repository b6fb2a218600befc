/** Pause, position and loop of a video file, while one is the source. */
import { $, fill, icon, memory } from "./dom.js";
import { T } from "./language.js";

const SKIP_S = 5;

export class Player {
  #video = null;

  constructor() {
    $("play").onclick = () => this.toggle();
    $("loop").onclick = () => {
      this.#video.loop = !this.#video.loop;
      memory.set("loop", this.#video.loop);
      this.#show();
    };
    $("seek").addEventListener("input", () => {
      this.#video.currentTime = Number($("seek").value);
      this.#show();
    });
  }

  /** Steer this <video>; null is none. */
  follow(video) {
    this.#video = video;
    $("player").hidden = !video;
    if (!video) return;
    video.loop = memory.get("loop", true);
    for (const name of ["timeupdate", "seeked", "durationchange", "play", "pause"]) video.addEventListener(name, () => video === this.#video && this.#show());
    this.#show();
  }

  /** Pause, or go on; at the end, begin again. */
  toggle() {
    const video = this.#video;
    if (!video?.paused) return video?.pause();
    return video.play().catch(() => {});   // the source says itself when it breaks off
  }

  /** Go a step on (1) or back (-1). */
  skip(direction) {
    const video = this.#video;
    if (!video || !Number.isFinite(video.duration)) return;
    video.currentTime = Math.min(video.duration, Math.max(0, video.currentTime + direction * SKIP_S));
  }

  #show() {
    const { paused, loop, currentTime, duration } = this.#video;
    const known = Number.isFinite(duration);   // a file that was written as a stream may not say how long it is
    const seek = $("seek");
    seek.disabled = !known;
    seek.max = known ? duration : 1;
    seek.value = known ? currentTime : 0;
    fill(seek);
    $("played").textContent = known ? `${clock(currentTime)} / ${clock(duration)}` : clock(currentTime);
    seek.setAttribute("aria-valuetext", $("played").textContent);
    $("play").setAttribute("aria-label", paused ? T.player.play : T.player.pause);
    $("play").dataset.tip = `${paused ? T.player.play : T.player.pause}  K`;
    $("play").replaceChildren(icon(paused ? "play" : "pause"));
    $("loop").setAttribute("aria-pressed", String(loop));
  }
}

const clock = (s) => `${Math.floor(s / 60)}:${String(Math.floor(s % 60)).padStart(2, "0")}`;
