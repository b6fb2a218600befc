/** Sound and picture in step: browsers leave them up to 30 ms apart, and this the rest of the way, where a browser tells how far. */
const REPORT_MS = 1_000;
const REPORTS = [3, 8];    // the fewest, and the most, that something is done by
const NOISE_MS = 60;      // a look is some 20 ms off: what is further apart than this over their number is mended
const MOST_HELD_MS = 300;
const RELEASE_MS = 10;    // let go of at once, where both are held back needlessly,
const FOLLOWED_MS = 40;   // while they are no further apart than this

export class LipSync {
  #peer; #last = new Map(); #apart = []; #held = { audio: 0, video: 0 };

  /** Look after a connection until it is closed. */
  constructor(peer) {
    this.#peer = peer;
    const timer = setInterval(async () => {
      if (peer.connectionState === "closed") clearInterval(timer);
      else this.look(await peer.getStats());
    }, REPORT_MS);
  }

  /** Take a report of the connection, and hold back what is early: the browser counts by the times that it is told of both. */
  look(report) {
    const now = {}, playing = {}, waits = { audio: 0, video: 0 };
    for (const part of report.values()) {
      if (part.type !== "inbound-rtp") continue;
      const { packetsReceived = 0 } = this.#last.get(part.kind) ?? {};
      if (part.packetsReceived > packetsReceived) playing[part.kind] = part.estimatedPlayoutTimestamp;
      now[part.kind] = part;
      waits[part.kind] = Math.max(0, this.#meanMs(part, "jitterBufferTargetDelay") - this.#meanMs(part, "jitterBufferMinimumDelay")) || 0;
    }
    const earlyMs = playing.audio - playing.video;   // of sound; NaN where one of them rests, or the browser does not tell
    this.#apart = Number.isFinite(earlyMs) ? [...this.#apart, earlyMs].slice(-REPORTS[1]) : [];
    const looks = this.#apart.length;
    const midMs = [...this.#apart].sort((a, b) => a - b)[looks >> 1];
    if (looks >= REPORTS[0]) {
      if (Math.min(waits.audio, waits.video) > NOISE_MS / REPORTS[0]) {
        if (Math.abs(midMs) <= FOLLOWED_MS) this.#release();
      } else if (Math.abs(midMs) > NOISE_MS / looks) {
        if (midMs > 0) this.#hold("audio", "video", midMs, now);
        else this.#hold("video", "audio", -midMs, now);
      }
    }
    this.#last = new Map(Object.entries(now));
  }

  // Each waits for the other: after a stall the browser held one back, this the other. The browser follows slowly, and this waits for it.
  #release() {
    for (const kind of ["audio", "video"]) if (this.#held[kind]) this.#set(kind, Math.max(0, this.#held[kind] - RELEASE_MS));
    this.#apart = [];
  }

  #hold(early, other, ms, now) {
    if (this.#held[other]) this.#set(other, Math.max(0, this.#held[other] - ms));
    else {
      const beganMs = Math.max(this.#held[early], this.#meanMs(now[early], "jitterBufferTargetDelay") || 0);
      this.#set(early, Math.min(MOST_HELD_MS, beganMs + ms));
    }
    this.#apart = [];
  }

  // Mean since the last report. A buffer holds at least what it is asked to, so what it holds by itself is added to.
  #meanMs(part, name) {
    const before = this.#last.get(part.kind);
    const count = part.jitterBufferEmittedCount - (before?.jitterBufferEmittedCount ?? 0);
    return (1000 * (part[name] - (before?.[name] ?? 0))) / count;
  }

  #set(kind, ms) {
    this.#held[kind] = ms;
    const receiver = this.#peer.getReceivers().find(({ track }) => track.kind === kind);
    if (receiver && "jitterBufferTarget" in receiver) receiver.jitterBufferTarget = Math.round(ms);
  }
}
