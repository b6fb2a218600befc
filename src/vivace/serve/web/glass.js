/**
 * How old a picture is when it is shown, measured in the browser that sent it.
 *
 * A transform notes when each frame left the encoder, by its RTP timestamp. The video element says which timestamp is on
 * screen. The server says over a data channel which of its frames was made from which of ours. The difference, and the
 * time the encoder took, is glass-to-glass but for the camera's exposure and the panel. Where a browser has no such
 * transform the sum of the measured parts stands in, and `measured` is false. The server's notes also name the last
 * update a frame was made with, so prompt-to-pixel ends on the screen as well.
 */
const KEPT_FRAMES = 240;

export class GlassMeter {
  measured = false;
  ageMs = null;   // of the picture on screen when it came there, as far as is known
  newestMs = 0;   // when that was, of the page's clock

  #worker = null; #left = new Map(); #screen = new Map(); #samples = []; #fresh = []; #watched = new WeakSet(); #before = null;
  #encodeMs = 0; #shown = 0; #notes = new Map(); #expected = [];

  /** Measure frames that leave through this RTCRtpSender. */
  sender(sender) {
    // A page of another origin may not start our worker; there the sum of the parts stands in.
    const ours = new URL(import.meta.url).origin === location.origin;
    if (!ours || !("RTCRtpScriptTransform" in globalThis)) return;
    this.#worker ??= this.#startWorker();
    sender.transform = new RTCRtpScriptTransform(this.#worker, {});
  }

  #startWorker() {
    const worker = new Worker(new URL("/glass-worker.js", import.meta.url));
    worker.onmessage = ({ data: { rtp, atMs } }) => remember(this.#left, rtp, atMs - this.#encodeMs);
    return worker;
  }

  /** Take the server's notes on its frames from this data channel: `[its timestamp, index, our timestamp, update]`. */
  listen(channel) {
    channel.onmessage = ({ data }) => {
      const [theirs, index, ours, update] = JSON.parse(data);
      remember(this.#notes, theirs, { index, ours, update });
      this.#match(theirs);
    };
  }

  /** Resolves with the time until a frame made with an update is on screen, ms since `sinceMs` of the page's clock. */
  until(update, sinceMs) {
    return new Promise((resolve) => this.#expected.push({ update, sinceMs, resolve }));
  }

  // A note may come before its frame is shown, or after.
  #match(theirs) {
    const note = this.#notes.get(theirs);
    const shownMs = this.#screen.get(theirs);
    if (!note || shownMs === undefined) return;
    this.#notes.delete(theirs);
    this.#screen.delete(theirs);
    const leftMs = this.#left.get(note.ours);
    if (leftMs !== undefined) {
      this.measured = true;
      this.#add(note.index, shownMs - leftMs);
    }
    this.#expected = this.#expected.filter(({ update, sinceMs, resolve }) => {
      if (note.update < update) return true;
      resolve(shownMs - performance.timeOrigin - sinceMs);
      return false;
    });
  }

  /** Measure frames that this <video> presents. */
  watch(video) {
    if (this.#watched.has(video) || !video.requestVideoFrameCallback) return;
    this.#watched.add(video);
    const next = (nowMs, frame) => {
      this.#shown += 1;
      this.newestMs = nowMs;
      if (frame.rtpTimestamp !== undefined) {
        remember(this.#screen, frame.rtpTimestamp, performance.timeOrigin + frame.expectedDisplayTime);
        this.#match(frame.rtpTimestamp);
      }
      video.requestVideoFrameCallback(next);
    };
    video.requestVideoFrameCallback(next);
  }

  #add(index, ms) {
    if (ms < 0 || ms > 60_000) return;
    this.ageMs = ms;
    this.#samples.push(ms);
    this.#fresh.push([index, Math.round(ms * 10) / 10]);
    if (this.#samples.length > KEPT_FRAMES) this.#samples.shift();
    if (this.#fresh.length > KEPT_FRAMES) this.#fresh.shift();
  }

  /** `[frame index, ms]` since the last call, at most `count`, newest last. */
  take(count) {
    return this.#fresh.splice(0).slice(-count);
  }

  /** `{p50, p95, measured}` over the last few seconds, or null. */
  summary() {
    if (this.#samples.length < 5) return null;
    const sorted = [...this.#samples].sort((a, b) => a - b);
    const at = (share) => sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))];
    return { p50: at(0.5), p95: at(0.95), measured: this.measured };
  }

  reset() {
    this.#left.clear();
    this.#screen.clear();
    this.#notes.clear();
    this.#expected = [];
    this.#samples = [];
    this.#fresh = [];
    this.#before = null;
    this.measured = false;
    this.ageMs = null;
  }

  /** What getStats says since the last call: times per frame in ms, rates in fps. */
  digest(report, nowMs = performance.now()) {
    const found = {};
    for (const part of report.values()) {
      if (part.type === "outbound-rtp" && part.kind === "video") found.sent = part;
      if (part.type === "inbound-rtp" && part.kind === "video") found.got = part;
      if (part.type === "candidate-pair" && part.nominated && part.state === "succeeded") found.pair = part;
      if (part.type === "media-source" && part.kind === "video") found.source = part;
    }
    const before = this.#before;
    this.#before = { ...found, atMs: nowMs, shown: this.#shown };
    if (!before) return null;
    const seconds = (nowMs - before.atMs) / 1000;
    const per = (side, total, count) => {
      const frames = (found[side]?.[count] ?? 0) - (before[side]?.[count] ?? 0);
      return frames > 0 ? ((found[side][total] - before[side][total]) * 1000) / frames : null;
    };
    const rate = (side, count) => (found[side] && before[side] ? (found[side][count] - before[side][count]) / seconds : null);
    const encodeMs = per("sent", "totalEncodeTime", "framesEncoded");
    if (encodeMs !== null) this.#encodeMs = encodeMs;
    const decodeMs = per("got", "totalDecodeTime", "framesDecoded");
    const bufferMs = per("got", "jitterBufferDelay", "jitterBufferEmittedCount");
    const rtt = found.pair?.currentRoundTripTime;
    return {
      captureMs: encodeMs,
      networkMs: rtt === undefined ? null : rtt * 500,
      presentMs: decodeMs === null ? null : decodeMs + (bufferMs ?? 0),
      fpsSource: found.source?.framesPerSecond ?? null,
      fpsOut: rate("sent", "framesSent"),
      fpsShown: before ? (this.#shown - before.shown) / seconds : null,
      lostHere: found.got?.framesDropped ?? 0,
      limitation: found.sent?.qualityLimitationReason ?? "none",
      codec: report.get?.(found.got?.codecId)?.mimeType?.replace("video/", "") ?? null,
    };
  }
}

function remember(map, key, value) {
  map.set(key, value);
  if (map.size > KEPT_FRAMES) map.delete(map.keys().next().value);
}
