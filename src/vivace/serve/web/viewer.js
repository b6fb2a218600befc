/** Looking at a session of somebody else's, over WHEP. */
import { VivaceError } from "./api.js";
import { newPeer, offerOf, Screens } from "./peer.js";

const VIEW_MS = 2_000;       // between two looks of a viewer at its session
const VIEW_PATIENCE_MS = 8_000;   // for an answer to one
const VIEW_CONNECT_MS = 12_000;   // for the picture's connection

/**
 * Somebody else's session, to be looked at.
 *
 * Its event `state` has `{state, code, message, info}`, at least every two seconds. `state` is connecting, waiting (in the
 * queue), live, reconnecting, full (of viewers), ended, or refused (no such session, or not for this token; `code` says
 * which); `info` is what `GET /v1/sessions/{id}` answered last, or null.
 */
export class Viewer extends EventTarget {
  state = "connecting";
  info = null;

  #api; #id; #forever; #peer = null; #sinceMs = 0; #location = null; #screens = new Screens(); #timer = 0;

  constructor(api, id, forever) {
    super();
    this.#api = api;
    this.#id = id;
    this.#forever = forever;
    queueMicrotask(() => this.#look());
  }

  /** Show the picture in a <video>, over reconnects too. */
  play(video) {
    this.#screens.add(video);
  }

  /** Look no more; the place among the viewers is free at once. */
  close() {
    clearTimeout(this.#timer);
    this.#closePeer();
    this.#api = null;
  }

  async #look() {
    const api = this.#api;
    try {
      this.info = await api.json("GET", `/v1/sessions/${this.#id}`, undefined, {}, AbortSignal.timeout(VIEW_PATIENCE_MS));
      if (this.info.state === "live" && !this.#stands()) await this.#connect(api);
      if (api !== this.#api) return;
      this.#enter(this.info.state === "waiting" ? "waiting" : this.#peer?.connectionState === "connected" ? "live" : "connecting");
    } catch (error) {
      if (api !== this.#api) return;
      if (!(error instanceof VivaceError)) console.info("vivace: no connection yet:", error.message);
      const over = error.status >= 400 && error.status < 500;
      if (over) this.#closePeer();
      else if (this.#peer?.connectionState === "connected") return this.#later();   // the picture goes on meanwhile
      this.#enter(over ? (error.status === 410 ? "ended" : "refused") : error.code === "viewers" ? "full" : "reconnecting", error);
      if (over && !this.#forever) return;
    }
    this.#later();
  }

  #later() {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#look(), VIEW_MS);
  }

  #stands() {
    const state = this.#peer?.connectionState;
    return state === "connected" || (["new", "connecting"].includes(state) && performance.now() - this.#sinceMs < VIEW_CONNECT_MS);
  }

  async #connect(api) {
    this.#closePeer();
    const peer = newPeer(this.info, (stream) => { this.#screens.stream = stream; });
    this.#peer = peer;
    this.#sinceMs = performance.now();
    peer.onconnectionstatechange = () => {
      if (peer !== this.#peer) return;
      if (peer.connectionState === "connected") this.#enter("live");
      else if (!this.#stands()) this.#enter("reconnecting");   // the next look does
    };
    for (const kind of ["video", "audio"]) peer.addTransceiver(kind, { direction: "recvonly" });
    const offer = await offerOf(peer);
    const answer = await api.request("POST", this.info.whep_url, offer, { "Content-Type": "application/sdp" }, AbortSignal.timeout(VIEW_PATIENCE_MS));
    this.#location = answer.headers.get("Location");
    await peer.setRemoteDescription({ type: "answer", sdp: await answer.text() });
  }

  #closePeer() {
    const peer = this.#peer;
    const location = this.#location;
    this.#peer = this.#location = this.#screens.stream = null;
    peer?.close();
    if (location) this.#api.request("DELETE", location).catch(() => {});   // the server notices by itself, too
  }

  #enter(state, { code = "", message = "" } = {}) {
    this.state = state;
    this.dispatchEvent(new CustomEvent("state", { detail: { state, code, message, info: this.info } }));
  }
}
