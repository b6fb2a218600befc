/**
 * Vivace in a browser: a session with a server, as an ES module without dependencies.
 *
 *   import { connect } from "/vivace.js";
 *   const session = await connect({ controls: { prompt: "ink" } });
 *   session.publish(await navigator.mediaDevices.getUserMedia({ video: true }));
 *   session.play(document.querySelector("video"));
 *   const ack = await session.update({ prompt: "watercolour" });   // ack.frame_index: the first frame made with it
 *
 * `watch` shows a session of somebody else's, `steer` steers one, each with a link's token.
 *
 * Documented in docs/studio.md. The messages are those of docs/schema/control-v1.json.
 */
import { GlassMeter } from "./glass.js";

const ACK_TIMEOUT_MS = 10_000;
const PING_MS = 3_000;
const BACKOFF_MS = [300, 700, 1_500, 3_000];
const LOOK_MS = 500;         // between two looks at the line
const SILENCE_MS = 3_000;    // of a server that speaks twice a second; then it is asked
const ANSWER_MS = 2_000;     // for that answer; then the line is given up
const CUT_MS = 1_500;        // a picture's connection that is cut may come back within this
const ATTEMPT_MS = [2_000, 4_000, 8_000];   // for an answer while a connection is made anew: a network that is gone gives no error either
const OFFER_MS = 10_000;
const ARRIVE_MS = 200;       // a picture that is shown so soon after a loss was on its way before
const ICE_GATHERING_MS = 1_500;
const MAX_PRESENTED = 64;
const AWAY = new Set(["absent", "idle"]);
const VIEW_MS = 2_000;       // between two looks of a viewer at its session
const VIEW_PATIENCE_MS = 8_000;   // for an answer to one
const VIEW_CONNECT_MS = 12_000;   // for the picture's connection
const REFUSED = new Set([4401, 4403, 4404]);   // close codes of a control channel that is not for this client

/**
 * What went wrong: `code` is for programs, `message` for people, `retryAfterS` where waiting helps. Of an unknown prompt
 * (`unknown_prompt`) `matches` are the nearest styles, `[[name, 0 to 1]…]`; each name is a prompt that the model knows.
 */
export class VivaceError extends Error {
  constructor(code, message, { retryAfterS = null, status = 0, matches = [] } = {}) {
    super(message);
    this.name = "VivaceError";
    this.code = code;
    this.retryAfterS = retryAfterS;
    this.status = status;
    this.matches = matches;
  }
}

/** The HTTP API under `/v1`. `server` is its origin ("" for the one this module came from), `token` a bearer token or null. */
export class Api {
  constructor({ server = "", token = null } = {}) {
    this.server = server;
    this.token = token;
  }

  url(path) {
    return new URL(path, this.server || import.meta.url).href;
  }

  async request(method, path, body, headers = {}, signal = undefined) {
    if (this.token) headers.Authorization = `Bearer ${this.token}`;
    if (body !== undefined) headers["Content-Type"] ??= "application/json";
    const told = typeof body === "string" ? body : body && JSON.stringify(body);
    let answer;
    try {
      const keepalive = method === "DELETE";   // outlives a page that is being closed
      answer = await fetch(this.url(path), { method, headers, body: told, cache: "no-store", keepalive, signal });
    } catch {
      throw new VivaceError("unreachable", "The server does not answer. Is `vivace serve` running?");
    }
    if (answer.ok) return answer;
    const error = await answer.json().catch(() => ({}));
    throw new VivaceError(error.code ?? `http_${answer.status}`, error.message ?? `The server answered ${answer.status}.`, {
      status: answer.status, matches: error.matches,
      retryAfterS: error.retry_after_s ?? (Number(answer.headers.get("Retry-After")) || null),
    });
  }

  async json(method, path, body, headers, signal) {
    return (await this.request(method, path, body, headers, signal)).json();
  }

  models = async () => (await this.json("GET", "/v1/models")).models;
  presets = async () => (await this.json("GET", "/v1/presets")).presets;
  config = () => this.json("GET", "/v1/config");
}

/** Make a session and return it connected (or waiting for a slot). Rejects with a VivaceError. */
export async function connect({ server = "", token = null, model = null, controls = {}, codec = null } = {}) {
  const session = new Session(new Api({ server, token }), { model, controls, codec });
  await session.open();
  return session;
}

/** Steer a session of somebody else's, by its id and the token of its link to steer. What it shows is for `watch`. */
export async function steer(id, { server = "", token = null } = {}) {
  const session = new Session(new Api({ server, token }), { model: null, controls: {}, codec: null, guestOf: id });
  await session.open();
  return session;
}

/**
 * Watch a session, by its id and the token of its link. Returns a Viewer, which connects by itself, and connects again.
 * `forever`: it looks for the session even after it has ended or the link was withdrawn.
 */
export function watch(id, { server = "", token = null, forever = false } = {}) {
  return new Viewer(new Api({ server, token }), id, forever);
}

/**
 * One session: its state, its media and its controls.
 *
 * Events, each with the news in `event.detail`:
 *   state     {state, reason, code, message, position, retryAfterS, resumed, renewed}; state is connecting, waiting, live, reconnecting, ended
 *   applied   the first frame made with an update has left the server
 *   shown     the first frame made with a new prompt is on screen, `ms` after `update` was called
 *   stats     twice a second, from the server; `session.stats` keeps the last
 *   recorded  a recording has begun or ended
 *   notice    something that could not be carried out, such as an unknown prompt at the opening; the session goes on
 */
export class Session extends EventTarget {
  state = "connecting";
  info = null;
  stats = null;

  #api; #model; #controls; #codec; #guestOf; #refusal = {};
  #socket = null; #peer = null; #sender = null; #stream = null; #remote = null;
  #videos = new Set();
  #pending = new Map(); #queue = []; #inFlight = 0; #nextId = 1;
  #timers = { ping: 0, look: 0, retry: 0, cut: 0 }; #attempt = 0; #trying = null; #heardMs = 0; #askedMs = 0; #lostMs = 0;
  #resumed = false; #renewed = false; #hasSlot = false; #maxPx = null; #negotiation = null; #offer = null; #ears = null;

  constructor(api, { model, controls, codec, guestOf = null }) {
    super();
    this.#guestOf = guestOf;   // the id of somebody else's session, which is steered and nothing else
    this.#api = api;
    this.#model = model;
    this.#controls = { ...controls };
    this.#codec = codec;
    this.glass = new GlassMeter();
  }

  /** Controls as they were last accepted. */
  get controls() {
    return { ...this.#controls };
  }

  /** What was asked for at the opening and left out, `[{code, message, control, matches}…]`. */
  get notices() {
    return this.info.notices;
  }

  get model() {
    return this.info?.model ?? this.#model;
  }

  async open() {
    this.info = await this.#create(null);
    this.#ears = new AbortController();
    const { signal } = this.#ears;
    addEventListener("online", () => this.#changed(), { signal });
    navigator.connection?.addEventListener("change", () => this.#changed(), { signal });
    document.addEventListener("visibilitychange", () => document.hidden || this.#changed(), { signal });
    this.#listen();
  }

  async #create(resume, signal) {
    if (this.#guestOf) return { notices: [], ...(await this.#api.json("GET", `/v1/sessions/${this.#guestOf}`, undefined, {}, signal)) };
    // With the controls in any case: a server that does not know the session any more opens a new one with them.
    const wish = { model: this.#model ?? undefined, controls: this.#controls, resume: resume ?? undefined };
    const info = await this.#api.json("POST", "/v1/sessions", wish, {}, signal);
    this.#renewed = Boolean(this.info) && info.id !== this.info.id;
    for (const { control } of info.notices) delete this.#controls[control];
    return info;
  }

  // Control channel

  #listen() {
    const url = new URL(this.#api.url(this.info.control_url));
    url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
    if (this.info.secret) url.searchParams.set("secret", this.info.secret);
    if (this.#api.token) url.searchParams.set("token", this.#api.token);
    const socket = new WebSocket(url);
    this.#socket = socket;
    socket.onmessage = (event) => socket === this.#socket && this.#hear(JSON.parse(event.data));
    socket.onclose = ({ code }) => socket === this.#socket && (this.#guestOf && REFUSED.has(code) ? this.#close("ended", this.#refusal) : this.#lost());
    this.#heardMs = performance.now();
    this.#askedMs = 0;
    this.#timers.ping = setInterval(() => this.#ping(), PING_MS);
    this.#timers.look = setInterval(() => this.#look(), LOOK_MS);
  }

  // A socket whose network is gone says nothing of it for minutes, and no more after a sleep. So the server is asked.
  #look() {
    const nowMs = performance.now();
    if (!this.#askedMs && nowMs - this.#heardMs > SILENCE_MS) this.#askWhetherThere();
    if (this.#askedMs && nowMs - this.#askedMs > ANSWER_MS) {
      this.#closePeer();   // what goes over the same network is gone with it
      this.#lost();
    }
  }

  #askWhetherThere() {
    this.#askedMs ||= performance.now();
    this.#ping();
  }

  // The network or the page's sight has changed: what stood may stand no more, and what failed may work now.
  #changed() {
    if (this.state !== "reconnecting") this.#askWhetherThere();
    else if (!this.#socket) this.#reconnect();
  }

  #say(message) {
    if (this.#socket?.readyState !== WebSocket.OPEN) return false;
    this.#socket.send(JSON.stringify(message));
    return true;
  }

  #ping() {
    this.#say({ type: "ping", presented: this.glass.take(MAX_PRESENTED) });
  }

  #hear(message) {
    this.#heardMs = performance.now();
    this.#askedMs = 0;
    switch (message.type) {
      case "waiting":
        this.#hasSlot = false;
        this.#enter("waiting", { position: message.position, retryAfterS: message.retry_after_s });
        break;
      case "live":
        this.#hasSlot = true;
        this.#resumed = message.resumed;
        if (this.#guestOf) this.#enterLive();
        else this.#negotiate().catch((error) => this.#failed(error));
        break;
      case "ack":
        this.#acknowledge(message);
        break;
      case "stats":
        this.stats = message;
        this.#emit("stats", message);
        break;
      case "ended":
        // Of a page that nobody sees, as while a phone is locked, the server hears too little. It goes on when it is seen.
        if (document.hidden && AWAY.has(message.reason)) return this.#sleep();
        this.#close("ended", { reason: message.reason, message: message.message });
        break;
      case "error":
        if (message.id && this.#pending.has(message.id)) this.#refuse(message);
        else {
          this.#refusal = { reason: message.code, message: message.message };
          this.#emit("notice", message);
        }
        break;
      case "notice":
      case "applied":
      case "recorded":
        if (message.id) this.#settle(message.id)?.resolve(message);
        this.#emit(message.type, message);
        break;
    }
  }

  /**
   * Change controls, all of them at one frame boundary. Resolves with the server's ack; rejects with a VivaceError
   * saying why nothing was changed. While an update is under way the newest values of the same controls win.
   */
  update(controls) {
    return new Promise((resolve, reject) => {
      const last = this.#queue.at(-1);
      const keys = Object.entries(controls).map(([key, value]) => (key === "options" ? `${key} ${Object.keys(value).sort()}` : key)).sort().join();
      if (last && last.keys === keys) {
        last.controls = controls;
        last.waiters.push({ resolve, reject });
      } else {
        this.#queue.push({ keys, controls, waiters: [{ resolve, reject }], sinceMs: performance.now() });
      }
      this.#flush();
    });
  }

  #flush() {
    if (this.#inFlight || !this.#queue.length || !this.#hasSlot) return;
    const { controls, waiters, sinceMs } = this.#queue[0];
    const id = this.#ask({ type: "update", controls }, {
      resolve: (ack) => {
        if (ack.accepted) this.#note(controls);
        if (ack.accepted && "prompt" in controls) this.glass.until(ack.update_index, sinceMs).then((ms) => this.#emit("shown", { ...ack, ms }));
        const error = new VivaceError(ack.code, ack.message, { matches: ack.matches });
        waiters.forEach((waiter) => (ack.accepted ? waiter.resolve(ack) : waiter.reject(error)));
      },
      reject: (error) => waiters.forEach((waiter) => waiter.reject(error)),
    });
    if (id === null) return;
    this.#queue.shift();
    this.#inFlight += 1;
  }

  // Options merge into those set before, as on the server; events have happened.
  #note({ events, ...controls }) {
    const options = { ...this.#controls.options, ...controls.options };
    Object.assign(this.#controls, controls, "options" in controls ? { options } : {});
  }

  #ask(message, waiter) {
    const id = String(this.#nextId++);
    if (!this.#say({ ...message, id })) return null;
    waiter.update = message.type === "update";
    waiter.timer = setTimeout(() => this.#refuse({ id, code: "timeout", message: "The server did not answer in time." }), ACK_TIMEOUT_MS);
    this.#pending.set(id, waiter);
    return id;
  }

  #settle(id) {
    const waiter = this.#pending.get(id);
    if (!waiter) return null;
    this.#pending.delete(id);
    clearTimeout(waiter.timer);
    if (waiter.update) {
      this.#inFlight -= 1;
      queueMicrotask(() => this.#flush());
    }
    return waiter;
  }

  #acknowledge(ack) {
    this.#settle(ack.id)?.resolve(ack);
  }

  #refuse({ id, code, message }) {
    this.#settle(id)?.reject(new VivaceError(code, message));
  }

  /**
   * Resolves with a picture, a `data:` address, as the model paints it under a prompt, small, as a JPEG Blob. The server
   * does it when no stream needs the model: rejects with the code `busy` when it finds no time, `no_thumbnail` when it never will.
   */
  async thumbnail(prompt, picture) {
    const headers = { "X-Session-Secret": this.info.secret };
    return (await this.#api.request("POST", `/v1/sessions/${this.info.id}/thumbnail`, { prompt, picture }, headers)).blob();
  }

  /** Begin (true) or end (false) a recording of the output. Resolves with the `recorded` message. */
  record(on) {
    return new Promise((resolve, reject) => {
      if (this.#ask({ type: "record", on }, { resolve, reject }) === null) {
        reject(new VivaceError("offline", "There is no connection to the server just now."));
      }
    });
  }

  /** The link of a `kind`, watch or steer, for others: `{token, pages}`; it is the same until it is withdrawn. */
  link(kind) {
    return this.#api.json("PUT", `/v1/sessions/${this.info.id}/links/${kind}`, undefined, { "X-Session-Secret": this.info.secret });
  }

  /** End a link, and the connections that were made by it. */
  async withdraw(kind) {
    await this.#api.request("DELETE", `/v1/sessions/${this.info.id}/links/${kind}`, undefined, { "X-Session-Secret": this.info.secret });
  }

  // Media

  /** Send a MediaStream's (or a track's) picture. May be called again at any time with another source. */
  async publish(source) {
    const track = source instanceof MediaStream ? source.getVideoTracks()[0] : source;
    this.#stream = track ?? null;
    if (track && "contentHint" in track) track.contentHint = "motion";
    if (this.#sender) {
      await this.#sender.replaceTrack(this.#stream);
      await this.#tuneSender();
    } else if (this.#hasSlot) {
      await this.#negotiate();
    }
  }

  /** Show the output in a <video>; it stays attached over reconnects. Returns a function that detaches it. */
  play(video) {
    this.#videos.add(video);
    if (this.#remote) this.#attach(video);
    return () => this.#videos.delete(video);
  }

  /** Send no more pixels than the output has: less to encode here, to carry and to decode there. */
  async limitSize(px) {
    this.#maxPx = px;
    await this.#tuneSender();
  }

  #attach(video) {
    if (video.srcObject !== this.#remote) video.srcObject = this.#remote;
    video.play().catch(() => {});   // refused without a gesture: the element's own state says so
    this.glass.watch(video);
  }

  // One negotiation at a time: a second wish waits for the first.
  #negotiate() {
    this.#negotiation = (this.#negotiation ?? Promise.resolve()).catch(() => {}).then(() => this.#connectPeer());
    return this.#negotiation;
  }

  async #connectPeer() {
    if (!this.#hasSlot || this.state === "ended") return;
    if (this.#peer?.connectionState === "connected") return this.#enterLive();
    this.#closePeer();
    const peer = newPeer(this.info, (stream) => {
      this.#remote = stream;
      this.#videos.forEach((video) => this.#attach(video));
    });
    this.#peer = peer;
    peer.onconnectionstatechange = () => {
      if (peer !== this.#peer) return;
      clearTimeout(this.#timers.cut);
      if (peer.connectionState === "connected") this.#enterLive();
      if (peer.connectionState === "failed") this.#cut();
      if (peer.connectionState === "disconnected") {
        this.#timers.cut = setTimeout(() => this.#cut(), CUT_MS);
        this.#askWhetherThere();
      }
    };
    const transceiver = peer.addTransceiver(this.#stream ?? "video", { direction: "sendrecv" });
    this.#sender = transceiver.sender;
    this.#preferCodec(transceiver);
    this.glass.sender(this.#sender);
    this.glass.listen(peer.createDataChannel("frames", { ordered: false, maxRetransmits: 0 }));
    try {
      await this.#describe(peer);
    } catch (error) {
      if (peer === this.#peer) throw error;   // else it was given up meanwhile
    }
  }

  async #describe(peer) {
    await peer.setLocalDescription();
    await gathered(peer);
    const giveUp = this.#offer = new AbortController();
    const timer = setTimeout(() => giveUp.abort(), OFFER_MS);
    const offer = { type: "offer", sdp: peer.localDescription.sdp };
    const answer = await this.#api.json("POST", this.info.offer_url, offer, { "X-Session-Secret": this.info.secret }, giveUp.signal)
      .finally(() => clearTimeout(timer));
    await peer.setRemoteDescription({ type: "answer", sdp: answer.sdp });
    await this.#tuneSender();
  }

  #preferCodec(transceiver) {
    const codecs = RTCRtpReceiver.getCapabilities?.("video")?.codecs;
    if (!this.#codec || !codecs || !transceiver.setCodecPreferences) return;
    const wanted = (codec) => codec.mimeType.toLowerCase() === `video/${this.#codec.toLowerCase()}`;
    transceiver.setCodecPreferences([...codecs.filter(wanted), ...codecs.filter((codec) => !wanted(codec))]);
  }

  async #tuneSender() {
    const sender = this.#sender;
    if (!sender?.track) return;
    const parameters = sender.getParameters();
    if (!parameters.encodings?.length) return;
    const { width, height } = sender.track.getSettings();
    const scale = this.#maxPx && width && height ? Math.max(1, Math.sqrt((width * height) / this.#maxPx)) : 1;
    parameters.encodings[0].scaleResolutionDownBy = Math.round(scale * 1000) / 1000;
    parameters.degradationPreference = "maintain-framerate";
    await sender.setParameters(parameters).catch((error) => console.info("vivace: sender keeps its parameters:", error.message));
  }

  /** What the connection itself measures: `{captureMs, networkMs, presentMs, fpsOut, fpsShown}`, each null if unknown. */
  async measure() {
    if (!this.#peer) return null;
    return this.glass.digest(await this.#peer.getStats());
  }

  // Life

  #enterLive() {
    if (!this.#hasSlot || (!this.#guestOf && this.#peer?.connectionState !== "connected")) return;
    this.#attempt = 0;
    this.#enter("live", { resumed: this.#resumed, renewed: this.#renewed });
    this.#flush();
  }

  #lost() {
    if (this.state === "ended") return;
    this.#closeSocket();
    this.#hasSlot = false;
    this.#lostMs = performance.now();
    for (const id of [...this.#pending.keys()]) this.#refuse({ id, code: "lost", message: "The connection was lost." });
    this.#enter("reconnecting", { code: "lost", message: "The connection was lost." });
    this.#retry(() => this.#reconnect());
  }

  // Only the picture's connection is gone. What makes it anew, on the same session, is what makes it at first: the other
  // end cannot restart ICE on a connection that stands.
  #cut() {
    if (this.state === "ended" || !this.#hasSlot) return;
    this.#closePeer();
    this.#enter("reconnecting", { code: "cut", message: "The picture's connection was lost." });
    this.#retry(() => this.#hasSlot && this.#negotiate().catch((error) => this.#failed(error)));
  }

  // The server has ended the session of a page that nobody sees; `#changed` opens another when it is seen.
  #sleep() {
    this.#closeSocket();
    this.#closePeer();
    this.#hasSlot = false;
    this.#enter("reconnecting", { code: "asleep", message: "This page was out of sight for long." });
  }

  #retry(again) {
    clearTimeout(this.#timers.retry);
    this.#timers.retry = setTimeout(again, nth(BACKOFF_MS, this.#attempt));
    this.#attempt += 1;
  }

  async #reconnect() {
    clearTimeout(this.#timers.retry);
    this.#trying?.abort();
    const trying = new AbortController();
    this.#trying = trying;
    const timer = setTimeout(() => trying.abort(), nth(ATTEMPT_MS, this.#attempt - 1));
    const over = () => this.state === "ended" || trying !== this.#trying;
    try {
      // Within the grace time the server keeps the session; one that does not know it any more makes a new one.
      const info = await this.#create({ id: this.info.id, secret: this.info.secret }, trying.signal);
      if (over()) return;
      this.info = info;
      // Where only the control channel was lost, as when a proxy restarts, pictures have come all the while.
      if (this.#renewed || this.glass.newestMs < this.#lostMs + ARRIVE_MS) this.#closePeer();
      this.#listen();
    } catch (error) {
      if (over()) return;
      if (error.code === "unreachable" || error.status >= 500) {
        const { code, message } = navigator.onLine ? error : { code: "offline", message: "This device has no network." };
        const said = code === "unreachable" ? "No answer from the server; this page keeps trying." : message;
        this.#enter("reconnecting", { code, message: said, retryAfterS: error.retryAfterS });
        this.#retry(() => this.#reconnect());
      } else {
        this.#close("ended", { reason: error.code, message: error.message });
      }
    } finally {
      clearTimeout(timer);
    }
  }

  #failed(error) {
    if (this.state === "ended") return;
    if (error instanceof VivaceError && error.status >= 400 && error.status < 500) {
      this.#close("ended", { reason: error.code, message: error.message });
    } else {
      console.info("vivace: negotiation failed, trying again:", error.message);
      this.#lost();
    }
  }

  /** End the session; the slot is free at once. `leaving`: the page is being closed, so it is said in every way. */
  end({ leaving = false } = {}) {
    if (this.state === "ended") return;
    const said = this.#guestOf || this.#say({ type: "end" });
    if (this.info && !this.#guestOf && (!said || leaving)) {
      this.#api.request("DELETE", `/v1/sessions/${this.info.id}`, undefined, { "X-Session-Secret": this.info.secret })
        .catch((error) => console.info("vivace: the server frees the session by itself:", error.message));
    }
    this.#close("ended", { reason: "client", message: "" });
  }

  #close(state, detail) {
    clearTimeout(this.#timers.retry);
    this.#ears?.abort();
    this.#trying?.abort();
    this.#closeSocket();
    this.#closePeer();
    const error = new VivaceError("ended", detail.message || "The session is over.");
    for (const id of [...this.#pending.keys()]) this.#settle(id).reject(error);
    for (const { waiters } of this.#queue.splice(0)) waiters.forEach((waiter) => waiter.reject(error));
    this.#enter(state, detail);
  }

  #closeSocket() {
    clearInterval(this.#timers.ping);
    clearInterval(this.#timers.look);
    const socket = this.#socket;
    this.#socket = null;
    socket?.close();
  }

  #closePeer() {
    const peer = this.#peer;
    this.#peer = this.#sender = null;
    clearTimeout(this.#timers.cut);
    this.#offer?.abort();
    this.glass.reset();
    peer?.close();
  }

  #enter(state, detail = {}) {
    this.state = state;
    this.#emit("state", { state, ...detail });
  }

  #emit(name, detail) {
    this.dispatchEvent(new CustomEvent(name, { detail }));
  }
}

function nth(list, index) {
  return list[Math.min(Math.max(0, index), list.length - 1)];
}

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

  #api; #id; #forever; #peer = null; #sinceMs = 0; #location = null; #remote = null; #videos = new Set(); #timer = 0;

  constructor(api, id, forever) {
    super();
    this.#api = api;
    this.#id = id;
    this.#forever = forever;
    queueMicrotask(() => this.#look());
  }

  /** Show the picture in a <video>, over reconnects too. */
  play(video) {
    this.#videos.add(video);
    if (this.#remote) this.#attach(video);
  }

  /** Look no more; the place among the viewers is free at once. */
  close() {
    clearTimeout(this.#timer);
    this.#closePeer();
    this.#api = null;
  }

  #attach(video) {
    video.srcObject = this.#remote;
    video.play().catch(() => {});   // refused without a gesture: the element's own state says so
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
    const peer = newPeer(this.info, (stream) => {
      this.#remote = stream;
      this.#videos.forEach((video) => this.#attach(video));
    });
    this.#peer = peer;
    this.#sinceMs = performance.now();
    peer.onconnectionstatechange = () => {
      if (peer !== this.#peer) return;
      if (peer.connectionState === "connected") this.#enter("live");
      else if (!this.#stands()) this.#enter("reconnecting");   // the next look does
    };
    peer.addTransceiver("video", { direction: "recvonly" });
    await peer.setLocalDescription();
    await gathered(peer);
    const answer = await api.request("POST", this.info.whep_url, peer.localDescription.sdp, { "Content-Type": "application/sdp" }, AbortSignal.timeout(VIEW_PATIENCE_MS));
    this.#location = answer.headers.get("Location");
    await peer.setRemoteDescription({ type: "answer", sdp: await answer.text() });
  }

  #closePeer() {
    const peer = this.#peer;
    const location = this.#location;
    this.#peer = this.#location = this.#remote = null;
    peer?.close();
    if (location) this.#api.request("DELETE", location).catch(() => {});   // the server notices by itself, too
  }

  #enter(state, { code = "", message = "" } = {}) {
    this.state = state;
    this.dispatchEvent(new CustomEvent("state", { detail: { state, code, message, info: this.info } }));
  }
}

function newPeer({ ice_servers: iceServers = [] }, onStream) {
  const peer = new RTCPeerConnection({ iceServers, bundlePolicy: "max-bundle" });
  peer.ontrack = ({ track, receiver }) => {
    if ("jitterBufferTarget" in receiver) receiver.jitterBufferTarget = 0;
    else if ("playoutDelayHint" in receiver) receiver.playoutDelayHint = 0;
    onStream(new MediaStream([track]));
  };
  return peer;
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
