/** A session's picture alone, for a browser source of OBS: it says nothing, asks nothing, and looks for the session for ever. */
import { shared } from "./shared.js";
import { watch } from "../vivace.js";

const video = document.getElementById("after");
const { id, token } = shared();
video.muted = !location.hash.includes("&sound");   // OBS plays it; a browser asks for a click first, and stays silent without one
const viewer = watch(id, { token, forever: true });
viewer.play(video);
// A picture that stands still would be taken for the stream; while it is looked for, nothing is shown.
viewer.addEventListener("state", ({ detail }) => { video.hidden = detail.state !== "live"; });
addEventListener("hashchange", () => location.reload());
addEventListener("pagehide", () => viewer.close());
addEventListener("pageshow", (event) => event.persisted && location.reload());
