/** The sound of what is shown, which browsers play only once somebody has asked for it. */
import { $ } from "./dom.js";

/** Have the button turn the sound of a <video> on and off; returns what does it. */
export function installListen(video) {
  const toggle = () => {
    video.muted = !video.muted;
    if (!video.muted) video.play().catch(() => {});   // the element's own state says so
    $("listen").setAttribute("aria-pressed", String(!video.muted));
  };
  $("listen").onclick = toggle;
  return toggle;
}
