/** A session with a server, of one's own or to be steered: over a control channel and a connection for pictures. */
import { VivaceError } from "./api.js";
import { ControlChannel, Updates } from "./channel.js";
import { GlassMeter } from "./glass.js";
import { limitPixels, newPeer, offerOf, preferCodec, Screens } from "./peer.js";

const BACKOFF_MS = [300, 700, 1_500, 3_000];
const CUT_MS = 1_500;        // a picture's connection that is cut may come back within this
const ATTEMPT_MS = [2_000, 4_000, 8_000];   // for an answer while a connection is made anew: a network that is gone gives no error either
const OFFER_MS = 10_000;
const ARRIVE_MS = 200;       // a picture that is shown so soon after a loss was on its way before
const MAX_PRESENTED = 64;
const AWAY = new Set(["absent", "idle"]);
const REFUSED = new Set([4401, 4403, 4404]);   // close codes of a control channel that is not for this client

/**
 * One session: its state, its media and its controls.
 *
 * Events, each with the news in `event.detail`:
 *   state     {state, reason, code, message, position, retryAfterS, offer, resumed, renewed}; state is connecting, waiting, live, reconnecting, ended
 *   changed   somebody else who steers this session has set `controls`, a prompt of which was taken for `matches`
 *   applied   the first frame made with an update has left the server
 *   shown     the first frame made with a new prompt is on screen, `ms` after `update` was called
 *   stats     twice a second, from the server; `session.stats` keeps the last
 *   recorded  a recording has begun or ended
 *   sound     sound is passed on from now (`on`), or is not
 *   notice    something that could not be carried out, such as an unknown prompt at the opening; the session goes on
 */
export class Session extends EventTarget {
  state = "connecting";
  info = null;
  stats = null;

  #api; #model; #controls; #codec; #guestOf; #refusal = {};
  #channel; #updates; #screens; #peer = null; #sender = null; #speaker = null; #stream = null; #voice = null;
  #timers = { retry: 0, cut: 0 }; #attempt = 0; #trying = null; #lostMs = 0;
  #resumed = false; #renewed = false; #hasSlot = false; #welcome = false; #maxPx = null; #negotiation = null; #offer = null; #ears = null;

  constructor(api, { model, controls, codec, guestOf = null }) {
    super();
    this.#guestOf = guestOf;   // the id of somebody else's session, which is steered and nothing else
    this.#api = api;
    this.#model = model;
    this.#controls = { ...controls };
    this.#codec = codec;
    this.glass = new GlassMeter();
    this.#screens = new Screens((video) => this.glass.watch(video));
    this.#channel = new ControlChannel({
      hear: (message) => this.#hear(message),
      presented: () => this.glass.take(MAX_PRESENTED),
      closed: (code) => (this.#guestOf && REFUSED.has(code) ? this.#close("ended", this.#refusal) : this.#lost()),
      silent: () => {
        this.#closePeer();   // what goes over the same network is gone with it
        this.#lost();
      },
    });
    this.#updates = new Updates({
      ask: (message, waiter) => this.#welcome && this.#channel.ask(message, waiter),
      accepted: (controls, ack, sinceMs) => this.#accepted(controls, ack, sinceMs),
    });
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
    this.#channel.open(url);
  }

  // The network or the page's sight has changed: what stood may stand no more, and what failed may work now.
  #changed() {
    if (this.state !== "reconnecting") this.#channel.check();
    else if (!this.#channel.active) this.#reconnect();
  }

  #hear(message) {
    switch (message.type) {
      case "waiting":
        this.#welcome = true;
        this.#hasSlot = false;
        this.#updates.flush();   // as what may let it begin: a smaller size
        this.#enter("waiting", { position: message.position, retryAfterS: message.retry_after_s, offer: message.offer });
        break;
      case "live":
        this.#welcome = this.#hasSlot = true;
        this.#resumed = message.resumed;
        this.#announce();
        if (this.#guestOf) this.#enterLive();
        else this.#negotiate().catch((error) => this.#failed(error));
        break;
      case "ack":
      case "picked":
        this.#channel.settle(message.id)?.resolve(message);
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
        if (this.#channel.refuse(message)) break;
        this.#refusal = { reason: message.code, message: message.message };
        this.#emit("notice", message);
        break;
      case "changed":
        this.#merge(message.controls);
        this.#emit("changed", message);
        break;
      case "notice":
      case "applied":
      case "recorded":
      case "sound":
        this.#channel.settle(message.id)?.resolve(message);
        this.#emit(message.type, message);
        break;
    }
  }

  /**
   * Change controls, all of them at one frame boundary. Resolves with the server's ack; rejects with a VivaceError
   * saying why nothing was changed. While an update is under way the newest values of the same controls win.
   */
  async update(controls) {
    if (this.state === "ended") throw new VivaceError("ended", "The session is over.");
    return this.#updates.add(controls);
  }

  // Options merge into those set before, as on the server; events have happened.
  #merge({ events, ...controls }) {
    const options = { ...this.#controls.options, ...controls.options };
    Object.assign(this.#controls, controls, "options" in controls ? { options } : {});
  }

  #accepted(controls, ack, sinceMs) {
    this.#merge(ack.prompt == null ? controls : { ...controls, prompt: ack.prompt });
    if ("prompt" in controls && this.state === "live") this.glass.until(ack.update_index, sinceMs).then((ms) => this.#emit("shown", { ...ack, ms }));
  }

  /**
   * Resolves with a picture, a `data:` address, as the model paints it under a prompt, small, as a JPEG Blob. The server
   * does it when no stream needs the model: rejects with the code `busy` when it finds no time, `no_thumbnail` when it never will.
   */
  async thumbnail(prompt, picture) {
    const headers = { "X-Session-Secret": this.info.secret };
    return (await this.#api.request("POST", `/v1/sessions/${this.info.id}/thumbnail`, { prompt, picture }, headers)).blob();
  }

  /**
   * Resolves with the newest picture as a PNG Blob as the server has it, which says, signed if the server signs, what it
   * is. `compare`: the source beside it; `before`: the source alone; `label`: the corner of a label, where the server's pictures have none.
   */
  async snapshot({ compare = false, before = false, label = null, language = "en" } = {}) {
    const query = new URLSearchParams({ compare, before, language, ...(label && { label }) });
    return (await this.#api.request("GET", `/v1/sessions/${this.info.id}/snapshot?${query}`, undefined, { "X-Session-Secret": this.info.secret })).blob();
  }

  /** Begin (true) or end (false) a recording of the output. Resolves with the `recorded` message. */
  record(on) {
    return this.#request({ type: "record", on });
  }

  /** Have sound passed on (true), or not, to all who watch and into recordings. Resolves with the message that tells of it. */
  sound(on) {
    return this.#request({ type: "sound", on });
  }

  /** Resolves with the places at a point of the picture, shares of its width and height: values of the control `place`, the likeliest first. */
  async pick(x, y) {
    return (await this.#request({ type: "pick", x, y })).places;
  }

  #request(message) {
    return new Promise((resolve, reject) => {
      if (!this.#channel.ask(message, { resolve, reject })) {
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

  /** What was steered up to now, whoever steered, as the text of a script for `vivace run --script`. */
  async show() {
    const answer = await this.#api.request("GET", `/v1/sessions/${this.info.id}/show`, undefined, { "X-Session-Secret": this.info.secret });
    return answer.text();
  }

  // Media

  /** Send a MediaStream's picture and sound, or a track's picture. May be called again at any time with another source. */
  async publish(source) {
    const track = source instanceof MediaStream ? source.getVideoTracks()[0] : source;
    this.#stream = track ?? null;
    this.#voice = source instanceof MediaStream ? source.getAudioTracks()[0] ?? null : null;
    if (track && "contentHint" in track) track.contentHint = "motion";
    this.#announce();
    if (this.#sender) {
      await Promise.all([this.#sender.replaceTrack(this.#stream), this.#speaker.replaceTrack(this.#voice)]);
      await limitPixels(this.#sender, this.#maxPx);
    } else if (this.#hasSlot) {
      await this.#negotiate();
    }
  }

  // The server opens the model for the shape of the pictures while the connection for them is still made.
  #announce() {
    const { width, height } = this.#stream?.getSettings() ?? {};
    if (width && height && this.#hasSlot && !this.#guestOf) this.#channel.say({ type: "source", size: [width, height] });
  }

  /** Show the output in a <video>; it stays attached over reconnects. Returns a function that detaches it. */
  play(video) {
    return this.#screens.add(video);
  }

  /** Send no more pixels than the output has: less to encode here, to carry and to decode there. */
  async limitSize(px) {
    this.#maxPx = px;
    await limitPixels(this.#sender, this.#maxPx);
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
    const peer = newPeer(this.info, (stream) => { this.#screens.stream = stream; });
    this.#peer = peer;
    peer.onconnectionstatechange = () => {
      if (peer !== this.#peer) return;
      clearTimeout(this.#timers.cut);
      if (peer.connectionState === "connected") this.#enterLive();
      if (peer.connectionState === "failed") this.#cut();
      if (peer.connectionState === "disconnected") {
        this.#timers.cut = setTimeout(() => this.#cut(), CUT_MS);
        this.#channel.check();
      }
    };
    const transceiver = peer.addTransceiver(this.#stream ?? "video", { direction: "sendrecv" });
    this.#sender = transceiver.sender;
    preferCodec(transceiver, this.#codec);
    this.#speaker = peer.addTransceiver(this.#voice ?? "audio", { direction: "sendrecv" }).sender;   // sound may come later
    this.glass.sender(this.#sender);
    this.glass.listen(peer.createDataChannel("frames", { ordered: false, maxRetransmits: 0 }));
    try {
      await this.#describe(peer);
    } catch (error) {
      if (peer === this.#peer) throw error;   // else it was given up meanwhile
    }
  }

  async #describe(peer) {
    const sdp = await offerOf(peer);
    const giveUp = this.#offer = new AbortController();
    const timer = setTimeout(() => giveUp.abort(), OFFER_MS);
    const answer = await this.#api.json("POST", this.info.offer_url, { type: "offer", sdp }, { "X-Session-Secret": this.info.secret }, giveUp.signal)
      .finally(() => clearTimeout(timer));
    await peer.setRemoteDescription({ type: "answer", sdp: answer.sdp });
    await limitPixels(this.#sender, this.#maxPx);
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
    this.#updates.flush();
  }

  #lost() {
    if (this.state === "ended") return;
    this.#channel.close();
    this.#welcome = this.#hasSlot = false;
    this.#lostMs = performance.now();
    this.#channel.rejectAll(new VivaceError("lost", "The connection was lost."));
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
    this.#channel.close();
    this.#closePeer();
    this.#welcome = this.#hasSlot = false;
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
    const said = this.#guestOf || this.#channel.say({ type: "end" });
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
    this.#channel.close();
    this.#closePeer();
    const error = new VivaceError("ended", detail.message || "The session is over.");
    this.#channel.rejectAll(error);
    this.#updates.rejectAll(error);
    this.#enter(state, detail);
  }

  #closePeer() {
    const peer = this.#peer;
    this.#peer = this.#sender = this.#speaker = null;
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
