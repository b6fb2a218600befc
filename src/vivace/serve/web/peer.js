/** What sessions and their viewers share: a connection for pictures, and the <video>s that show them. */
import { LipSync } from "./lipsync.js";

const ICE_GATHERING_MS = 1_500;

/** Make an RTCPeerConnection as the server wishes; `onStream` gets the MediaStream that comes over it, pictures and sound in step. */
export function newPeer({ ice_servers: iceServers = [] }, onStream) {
  const peer = new RTCPeerConnection({ iceServers, bundlePolicy: "max-bundle" });
  peer.ontrack = ({ track, receiver, streams }) => {
    if ("jitterBufferTarget" in receiver) receiver.jitterBufferTarget = 0;
    else if ("playoutDelayHint" in receiver) receiver.playoutDelayHint = 0;
    onStream(streams[0] ?? new MediaStream([track]));
  };
  new LipSync(peer);
  return peer;
}

/** Resolve with the connection's offer, its SDP, with the candidates that were found in time. */
export async function offerOf(peer) {
  await peer.setLocalDescription();
  await gathered(peer);
  return peer.localDescription.sdp;
}

function gathered(peer) {
  if (peer.iceGatheringState === "complete") return Promise.resolve();
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, ICE_GATHERING_MS);
    peer.addEventListener("icegatheringstatechange", () => {
      if (peer.iceGatheringState !== "complete") return;
      clearTimeout(timer);
      resolve();
    });
  });
}

/** Have a transceiver prefer a codec, `"H264"` or `"VP8"`; null is the browser's own choice. */
export function preferCodec(transceiver, codec) {
  const codecs = RTCRtpReceiver.getCapabilities?.("video")?.codecs;
  if (!codec || !codecs || !transceiver.setCodecPreferences) return;
  const wanted = ({ mimeType }) => mimeType.toLowerCase() === `video/${codec.toLowerCase()}`;
  transceiver.setCodecPreferences([...codecs.filter(wanted), ...codecs.filter((other) => !wanted(other))]);
}

/** Have a sender, if there is one with a picture, send at most `px` pixels of it, and rather smaller than fewer ones; null is all. */
export async function limitPixels(sender, px) {
  if (!sender?.track) return;
  const parameters = sender.getParameters();
  if (!parameters.encodings?.length) return;
  const { width, height } = sender.track.getSettings();
  const scale = px && width && height ? Math.max(1, Math.sqrt((width * height) / px)) : 1;
  parameters.encodings[0].scaleResolutionDownBy = Math.round(scale * 1000) / 1000;
  parameters.degradationPreference = "maintain-framerate";
  await sender.setParameters(parameters).catch((error) => console.info("vivace: sender keeps its parameters:", error.message));
}

/** The <video>s that show a stream, each over reconnects too. */
export class Screens {
  #videos = new Set(); #stream = null; #shown;

  /** `shown` is called with each <video> that is given a stream. */
  constructor(shown = () => {}) {
    this.#shown = shown;
  }

  /** Show this stream on all of them; with null they keep what they have, and new ones get nothing. */
  set stream(stream) {
    this.#stream = stream;
    if (stream) this.#videos.forEach((video) => this.#attach(video));
  }

  /** Show the stream in a <video>, too. Returns a function that detaches it. */
  add(video) {
    this.#videos.add(video);
    if (this.#stream) this.#attach(video);
    return () => this.#videos.delete(video);
  }

  #attach(video) {
    if (video.srcObject !== this.#stream) video.srcObject = this.#stream;
    video.play().catch(() => {});   // refused without a gesture: the element's own state says so
    this.#shown(video);
  }
}
