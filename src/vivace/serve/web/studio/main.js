/** The studio: puts source, session, picture and panels together, and says in which state everything is. */
import { Api, connect, VivaceError } from "../vivace.js";
import { Brush } from "./brush.js";
import { installChoices } from "./choices.js";
import { $, delay, el, fill, icon, memory, radios, tabMemory, throttle, toast } from "./dom.js";
import { LivePanel } from "./live.js";
import { Options } from "./options.js";
import { Player } from "./player.js";
import { Prompts } from "./prompts.js";
import { Recorder } from "./recorder.js";
import { Recordings } from "./recordings.js";
import { Share } from "./share.js";
import { installShortcuts } from "./shortcuts.js";
import { listCameras, openSource, SOURCES, whyEnded } from "./sources.js";
import { Stage } from "./stage.js";
import { T, tell, writeTexts } from "./language.js";
import { card, endedWords, problemWords, said } from "./words.js";

const SLIDER_MS = 60;
const ARRIVE_MS = 1_000;   // within which a frame is on its way to the screen
const SETTLE_MS = 2_000;   // until a camera has found its exposure
const SERVER_LOOK_MS = 1_500;   // between two looks whether a server that went away is back
const GONE = new Set(["unreachable", "draining"]);
const CONTROL_KEYS = ["strength", "crossfade", "seed"];

class Studio {
  source = null;
  session = null;

  #kind = null; #wishes = {}; #selectSource; #cameraNames = []; #unplugged = null; #retry = 0; #starting = 0; #loading = null; #opening = null; #news = null; #repainted = []; #again = null; #awake = null; #words = null;

  constructor() {
    this.api = new Api({ token: takeToken() });
    this.stage = new Stage();
    this.player = new Player();
    this.live = new LivePanel(this.stage.after);
    this.stage.ageMs = () => this.session?.glass.ageMs ?? this.live.glassMs;
    this.recordings = new Recordings(this.api);
    this.recorder = new Recorder(this.recordings);
    this.share = new Share(this.api);
    this.brush = new Brush(this.stage, (mask) => this.update({ mask }));
    this.options = new Options({ change: (controls) => this.update(controls), restart: (anew) => this.#restart(anew), size: () => this.source?.size, shown: (model) => this.#strengthOf(model) });
    this.prompts = new Prompts((prompt) => this.#paint(prompt));
    this.#sources();
    installChoices(() => {
      this.#write();
      this.live.show();
    });
    this.#sliders();
    this.#keys();
    $("end").onclick = () => this.stop();
    $("token-form").addEventListener("submit", (event) => {
      event.preventDefault();
      sessionStorage.setItem("vivace.token", $("token").value.trim());
      location.reload();
    });
    // A closed tab frees its slot at once; one that is only put aside (a phone's back button) does so too.
    addEventListener("pagehide", () => {
      tabMemory.set("left", this.session && { kind: this.#kind, wishes: this.#wishes[this.#kind], prompt: this.session.controls.prompt ?? "", mask: this.brush.dataUrl(), ...this.options.choices });
      this.session?.end({ leaving: true });
    });
    addEventListener("pageshow", (event) => event.persisted && location.reload());
    addEventListener("visibilitychange", () => {
      this.#keepAwake(document.body.dataset.state === "live");
      if (!document.hidden) this.stage.play();
    });
    this.load();
  }

  /** Ask the server what there is. Resolves with whether it has said so. */
  load() {
    this.show("connecting", () => card(T.cards.connecting));
    return (this.#loading = this.#load());
  }

  async #load() {
    try {
      const config = await this.#loaded();
      if (config.token_needed && !this.api.token) throw new VivaceError("no_token", "this server asks for a token");
      const [models, presets] = await Promise.all([this.api.models(), this.api.presets()]);
      this.recordings.configure(config);
      this.share.tokens = config.token_needed;
      this.options.set(models, config.size ?? [256, 256]);
      this.prompts.setPresets(presets, (path) => this.api.url(path));
      const left = leftBehind();
      if (left) await this.#restore(left);
      if (this.#kind) return true;   // `start` goes on with the source that was chosen meanwhile
      if (left) this.#goOn(left);
      else this.pick();
      return true;
    } catch (error) {
      this.#loading = null;
      this.problem(error, () => (this.#kind ? this.start() : this.load()));
      return false;
    }
  }

  // The page was loaded again in the middle of a session: another one takes its place, with what was set.
  async #restore({ prompt, mask, ...choices }) {
    this.options.choose(choices);
    this.prompts.text = prompt;
    await this.brush.load(mask);
  }

  #goOn({ kind, wishes }) {
    // A screen is shared, and a file read, only when somebody says so anew.
    const ask = { screen: ["shareAgain", () => this.start("screen")], file: ["fileAgain", () => this.use("file")] }[kind];
    if (ask) this.show("idle", () => card(T.cards.goOn, [[ask[0], "retry"], ["pick", "pick"]]), ask[1]);
    else this.start(kind, wishes);
  }

  /** Resolve with what the server says of itself once its model is loaded; show how far that is until then. */
  async #loaded() {
    for (;;) {
      const config = await this.api.config();
      if (!config.loading) return config;
      // A card that asks for something stays.
      if (document.body.dataset.state === "connecting") this.show("connecting", () => card(T.cards.loading(config.loading), [], { status: T.status.loading }));
      await delay(SERVER_LOOK_MS / 3);
    }
  }

  // Sources

  #sources() {
    for (const kind of SOURCES) {
      $("sources").append(el("button", { type: "button", role: "radio", "aria-checked": "false", "data-kind": kind }, icon(kind), tell(el("span"), () => T.sources[kind].title)));
    }
    this.#selectSource = radios($("sources"), (button) => this.use(button.dataset.kind));
    $("device").addEventListener("change", () => this.start("camera", { deviceId: $("device").value }));
    $("flip").onclick = () => this.flip();
    $("file").addEventListener("change", () => $("file").files[0] && this.start("file", { file: $("file").files[0] }));
    navigator.mediaDevices?.addEventListener?.("devicechange", () => this.#plugged());
    this.stage.before.addEventListener("resize", () => this.#reshaped());
    this.#drops();
  }

  /** Begin with a source of this kind; a file is asked for first. */
  use(kind) {
    if (kind === "file") {
      $("file").value = "";
      $("file").click();
    } else {
      this.start(kind);
    }
  }

  // Whatever is dropped beside an area of its own is to be repainted, but for a picture that the model may be asked to go by.
  #drops() {
    for (const name of ["dragenter", "dragover", "dragleave", "drop"]) {
      addEventListener(name, (event) => {
        event.preventDefault();   // or the browser would show the file in place of the page
        const leaves = name === "drop" || (name === "dragleave" && !event.relatedTarget);
        document.body.classList.toggle("dropping", !leaves && event.dataTransfer.types.includes("Files"));
      }, true);
    }
    addEventListener("drop", ({ dataTransfer: { files: [file] } }) => file && this.#dropped(file));
  }

  async #dropped(file) {
    const picture = file.type.startsWith("image/");
    const areas = picture ? this.options.pictures : [];
    const given = areas.length ? await this.#askWhatFor(file, areas) : "paint";
    if (given === "paint") this.start("file", { file });
    else areas[given]?.take(file);
  }

  // Resolves with "paint", the index of an area, or "" for neither.
  #askWhatFor(file, areas) {
    const dialog = $("picture-dialog");
    $("picture-name").textContent = file.name;
    $("picture-areas").replaceChildren(...areas.map(({ title }, index) => el("button", { value: index }, T.goBy(title))));
    dialog.returnValue = "";
    if (!dialog.open) dialog.showModal();
    // The event comes late: one of a question before is not the answer to this one, which is still open.
    return new Promise((resolve) => { dialog.onclose = () => dialog.open || resolve(dialog.returnValue); });
  }

  async #cameras() {
    const cameras = await listCameras();
    this.#cameraNames = cameras.map(({ deviceId }) => deviceId);
    $("device-row").hidden = this.#kind !== "camera" || !cameras.length;
    $("flip").hidden = this.#kind !== "camera" || cameras.length < 2;
    $("device").replaceChildren(...cameras.map(({ deviceId, label }, i) => el("option", { value: deviceId, selected: deviceId === this.source?.deviceId }, label || T.cameraNumber(i + 1))));
  }

  // A camera that went away, or was not there, is taken up again when it comes.
  async #plugged() {
    await this.#cameras();
    if (this.#unplugged !== null && this.#cameraNames.some((name) => !this.#unplugged || name === this.#unplugged)) this.#again?.();
  }

  /** Take the camera that looks the other way; where cameras do not say which way they look, the next one. */
  flip() {
    if ($("flip").hidden || !this.source) return;
    const { facing, deviceId } = this.source;
    const next = this.#cameraNames[(this.#cameraNames.indexOf(deviceId) + 1) % this.#cameraNames.length];
    this.start("camera", facing ? { facing: facing === "user" ? "environment" : "user" } : { deviceId: next });
  }

  /** Open a source (the last one by default) and bring it to the session, which is made if there is none. */
  async start(kind = this.#kind ?? "camera", wishes = this.#wishes[kind] ?? {}) {
    const turn = ++this.#starting;
    clearTimeout(this.#retry);
    this.#choose(kind);
    const before = this.source;
    if (!this.session || !before) this.show("connecting", () => card(kind === "camera" ? T.cards.openingCamera : T.cards.openingSource));
    if (!(before?.kind === kind && before.wishes === wishes && before.stream.active)) {
      // Many phones give one camera at a time.
      const makesWay = kind === "camera" && before?.kind === "camera";
      if (makesWay) before.stop();
      try {
        const source = { ...(await openSource(kind, wishes)), wishes };
        if (turn !== this.#starting) return source.stop();
        this.#takeSource(source);
      } catch (error) {
        if (turn === this.#starting) this.#sourceProblem(error, makesWay ? before : null);
        return;
      }
    }
    try {
      if ((await (this.#loading ?? this.load())) && turn === this.#starting) await this.#bring();
    } catch (error) {
      if (turn === this.#starting) this.problem(error);
    }
  }

  #choose(kind) {
    this.#kind = kind;
    this.#selectSource($("sources").querySelector(`[data-kind="${kind}"]`));
    if (this.source?.kind !== kind) $("source-hint").textContent = "";
    this.#cameras();
  }

  #takeSource(source) {
    this.source?.stop();
    this.source = source;
    this.#wishes[source.kind] = source.wishes;
    source.whenEnded(async () => {
      const code = await whyEnded(source);
      if (source === this.source) this.#sourceProblem({ code, deviceId: source.deviceId });
    });
    this.stage.source(source.stream, source.size, source.selfie);
    this.player.follow(source.video ?? null);
    this.#describeSource();
    this.#cameras();
  }

  // A source that cannot be had, or has ended, costs nothing else: the one before goes on, or the session waits for another.
  #sourceProblem(error, madeWay = null) {
    const before = this.source;
    if (this.session && before && (madeWay || before.stream.active)) {
      const { title, text } = problemWords(error);
      toast(`${title}. ${text}`, { bad: true });
      if (!madeWay) return this.#choose(before.kind);
      this.source = null;
      return this.start(before.kind, before.wishes);
    }
    this.#freeSource();
    this.#tellProblem(error, () => this.start());
    // Phones and sleeping computers take the camera away; what ended while nobody looked begins again when somebody does.
    if (error.code === "camera_ended" && document.hidden) document.addEventListener("visibilitychange", () => this.#again?.(), { once: true });
    this.#unplugged = { camera_ended: error.deviceId, camera_NotFoundError: "" }[error.code] ?? null;
  }

  #freeSource() {
    this.source?.stop();
    this.source = null;
    this.player.follow(null);
  }

  #describeSource() {
    const { size } = this.source;
    tell($("source-hint"), () => T.sourceSize(size));
  }

  // A shared window changes its shape, and tells its real one only with its first picture.
  #reshaped() {
    const { videoWidth, videoHeight } = this.stage.before;
    if (!this.source || !videoWidth || (this.source.size[0] === videoWidth && this.source.size[1] === videoHeight)) return;
    this.source.size = [videoWidth, videoHeight];
    this.#describeSource();
    const control = this.options.sizeControl();
    if (control.size) this.update(control);
    else this.session?.limitSize(this.options.outputSize().reduce((a, b) => a * b));
  }

  // Session

  /** All controls as the page shows them. */
  controls() {
    const mask = this.brush.dataUrl();
    const strength = this.options.loaded || this.#strengthChosen() ? { strength: $("strength").value / 100 } : {};
    return {
      prompt: this.prompts.text, ...strength, crossfade_s: Number($("crossfade").value),
      seed: Math.max(0, Math.floor(Number($("seed").value)) || 0), ...this.options.controls(), ...(mask ? { mask } : {}),
    };
  }

  async #bring() {
    const size = this.options.outputSize();
    const wanted = this.options.model;
    if (this.session && (this.session.state === "ended" || (wanted && this.session.model !== wanted))) this.#drop();
    if (!this.session) {
      this.show("connecting", () => card(T.cards.connecting));
      const turn = this.#starting;
      this.#opening = connect({ token: this.api.token, model: wanted, controls: this.controls() });
      const session = await this.#opening.finally(() => (this.#opening = null));
      if (turn !== this.#starting) return session.end();
      this.#follow(session);
      this.#opened(session);
      if (!this.options.loaded) this.options.set(await this.api.models());   // now its options are known
    } else {
      const control = this.options.sizeControl();
      if (control.size) await this.update(control);
    }
    await this.session.limitSize(size[0] * size[1]);
    await this.session.publish(this.source.stream);
    this.#repaintPresets();
    // A session that had been without a source goes on where it is now.
    if (document.body.dataset.state === "connecting" && this.#news) this.#state({ ...this.#news, resumed: false, renewed: false });
  }

  #follow(session) {
    this.session = session;
    session.addEventListener("state", ({ detail }) => session === this.session && this.#state(detail));
    session.addEventListener("notice", ({ detail }) => detail.type === "error" && toast(said(detail), { bad: true }));
    let px = 0;
    session.addEventListener("stats", ({ detail: { size } }) => {   // an output that grows by itself wants more of the source
      if (!size || size[0] * size[1] === px) return;
      px = size[0] * size[1];
      session.limitSize(px);
    });
    session.play(this.stage.after);
    this.live.follow(session);
    this.recorder.follow(session);
    this.share.follow(session);
    $("end").hidden = false;
  }

  #opened(session) {
    this.prompts.opened(session);
    for (const notice of session.notices) if (notice.control !== "prompt") toast(said(notice), { bad: true });
  }

  // While there is no session a prompt waits in its input; on a card that offers to try again it does that, too.
  #paint(prompt) {
    const opening = this.session ?? this.#opening;
    this.#again?.();
    if (!opening) return null;
    return Promise.resolve(opening).then(async (session) => {
      const ack = await session.update({ prompt });
      this.#tellPainted();
      return { ...ack, prompt: session.controls.prompt };   // of several at once only the last was sent
    });
  }

  #state(news) {
    const { state, position, retryAfterS, code, message, reason, resumed, renewed } = news;
    this.#news = news;
    if (!this.source && state !== "ended") return;   // what is said of the source stays
    switch (state) {
      case "waiting":
        return this.show("waiting", () => card(T.cards.waiting({ position, retryAfterS }), [["stopWaiting", "stop"]], { figure: String(position), status: T.status.waiting(position) }));
      case "live":
        return this.#whenShown(() => {
          this.show("live");
          this.#tellPainted(0);
          this.prompts.refreshPictures();
          this.#repaintPresets();
          if (renewed) {
            toast(T.toasts.renewed, { seconds: 6 });
            this.#opened(this.session);
          } else if (resumed) toast(T.toasts.resumed);
        });
      case "reconnecting":
        return this.show("reconnecting", () => card([T.cards.reconnecting, said({ code, message })], [["end", "stop"]]));
      case "ended":
        this.#drop();
        this.show("ended", () => endedWords(reason, message), () => this.start());
        if (reason === "drain") this.#whenBack(() => this.start());
        return;
    }
  }

  // The presets are painted from the source's own first picture, once for each source and model, in moments that no stream needs.
  async #repaintPresets() {
    const { session, source } = this;
    const of = [source, session?.model];
    if (session?.state !== "live" || of.every((each, i) => each === this.#repainted[i])) return;
    this.#repainted = of;
    const ours = () => source === this.source && session === this.session && session.state === "live";
    await delay(SETTLE_MS);
    if (!ours() || !this.stage.before.videoWidth) return;
    const picture = this.stage.sourcePicture();
    const paint = async (prompt) => {
      while (ours()) {
        if (!document.hidden) {
          try {
            return await session.thumbnail(prompt, picture);
          } catch (error) {
            if (error.code === "unknown_prompt") return null;
            if (error.code !== "busy") throw error;
          }
        }
        await delay(SETTLE_MS);
      }
      throw new Error("the stream is another");
    };
    await this.prompts.repaintPictures(paint).catch(({ code, message }) => {
      console.info("vivace: presets keep their pictures:", message);
      if (code !== "no_thumbnail" && this.#repainted === of) this.#repainted = [];
    });
  }

  // "Live" is said when the first repainted picture is there to be seen.
  #whenShown(then) {
    const { after } = this.stage;
    const session = this.session;
    this.show("connecting", () => card(T.cards.firstPicture));
    const check = () => session === this.session && session.state === "live" && then();
    if (after.readyState >= 2 && after.srcObject?.active) check();
    else after.addEventListener("loadeddata", check, { once: true });
  }

  /** Change controls of a session that is there; what is refused is said. Resolves with whether they are what is set. */
  async update(controls) {
    if (!this.session) return true;
    if (controls.size) await this.session.limitSize(controls.size[0] * controls.size[1]);
    return this.session.update(controls).then(() => this.#tellPainted() ?? true, (error) => {
      const gone = error.code === "ended" || error.code === "lost";
      if (!gone) toast(said(error), { bad: true });
      return gone;   // they are asked for again with the next session
    });
  }

  // With no prompt, or at strength 0, the output is the source itself: once what was painted has faded and has arrived.
  #tellPainted(inMs = ARRIVE_MS + 1000 * Number($("crossfade").value)) {
    const { prompt, strength = 1 } = this.session?.controls ?? {};
    this.stage.paints(Boolean(prompt) && strength > 0, inMs);
  }

  // With another model, or with what is settled when a session opens.
  #restart(anew) {
    if (!this.session) return;
    if (anew) this.#drop();
    this.start();
  }

  #drop() {
    const session = this.session;
    this.session = this.#news = null;
    this.live.follow(null);
    this.recorder.follow(null);
    this.share.follow(null);
    $("end").hidden = true;
    session?.end();
  }

  /** End the session and give the camera back. */
  stop() {
    this.#starting += 1;
    this.#drop();
    this.#freeSource();
    this.show("ended", () => endedWords("client"));
  }

  // What is shown

  /** The first page: choose a source. */
  pick() {
    this.show("idle", () => card(T.cards.pick, [], { tiles: true }));
  }

  /** Say what went wrong and what to do; try again by oneself where waiting helps. */
  problem(error, again = () => this.start()) {
    this.#drop();
    this.#tellProblem(error, again);
    if (GONE.has(error.code)) this.#whenBack(again);
    else if (error.retryAfterS) this.#retry = setTimeout(again, error.retryAfterS * 1000);
  }

  #tellProblem(error, again) {
    if (!error.code) console.error(error);
    this.show("problem", () => ({ ...problemWords(error), near: this.prompts.near(error) }), again);
  }

  // A server that went away is looked for quietly; what is shown stays until it is back.
  #whenBack(then) {
    this.#retry = setTimeout(() => this.api.request("GET", "/readyz").then(then, () => this.#whenBack(then)), SERVER_LOOK_MS);
  }

  /**
   * Show a state, on a card where there are `words`, a function that gives them in the language of the moment. `again` is for
   * cards that say it may be tried; a new prompt tries it, too.
   */
  show(state, words = null, again = null) {
    clearTimeout(this.#retry);
    this.#words = words;
    this.#unplugged = null;
    const { body } = document;
    const before = body.dataset.state;
    body.dataset.state = state;
    body.toggleAttribute("data-card", Boolean(words));
    this.#keepAwake(state === "live");
    const { actions = [] } = this.#write(again) ?? {};
    this.#again = actions.some(([, name]) => name === "retry") ? again : null;
    if (!words) {
      // What had the focus may be gone with the card; the next Tab leads to the picture's tools.
      if (document.activeElement === body || $("card").contains(document.activeElement)) $("stage").focus({ preventScroll: true });
      return;
    }
    // What needs an answer gets the focus, unless someone is typing.
    if (state !== before && ["problem", "ended"].includes(state) && document.activeElement !== $("prompt")) $("card").focus({ preventScroll: true });
  }

  // Write what the state says; returns its words.
  #write(again = this.#again) {
    const words = this.#words?.();
    const { state } = document.body.dataset;
    const status = words?.status ?? T.status[state] ?? words.title;
    $("status-text").textContent = status;
    document.title = state === "live" ? `● ${status} · Vivace` : `${status} · Vivace`;
    if (!words) return null;
    $("card-figure").textContent = words.figure ?? "";
    $("card-title").textContent = words.title;
    $("card-text").textContent = words.text;
    $("token-form").hidden = !words.token;
    $("tiles").replaceChildren(...(words.tiles ? SOURCES.map((kind) => el("button", { type: "button", onclick: () => this.use(kind) }, icon(kind), el("span", {}, T.sources[kind].title), el("small", {}, T.sources[kind].hint))) : []));
    const actions = { retry: again ?? (() => this.start()), pick: () => this.pick(), stop: () => this.stop() };
    $("card-near").replaceChildren(...this.prompts.offers(words.near ?? []));
    $("card-actions").replaceChildren(...(words.actions ?? []).map(([label, name], i) => el("button", { type: "button", class: i === 0 && name !== "stop" ? "primary" : null, onclick: actions[name] }, label)));
    return words;
  }

  // A screen that goes dark in the middle of a show is no help. Browsers let go by themselves when the tab is hidden.
  async #keepAwake(on) {
    if (!on) return this.#awake?.release();
    if (!navigator.wakeLock || document.hidden) return;
    try {
      this.#awake = await navigator.wakeLock.request("screen");
    } catch (error) {
      console.info("vivace: the screen may go dark:", error.message);
    }
  }

  // Controls

  #sliders() {
    const send = throttle(SLIDER_MS, (controls) => this.update(controls));
    const shown = { strength: (v) => `${v} %`, crossfade: (v) => `${Number(v).toFixed(1)} s` };
    const value = { strength: (v) => ({ strength: v / 100 }), crossfade: (v) => ({ crossfade_s: Number(v) }), seed: (v) => ({ seed: Math.max(0, Math.floor(Number(v)) || 0) }) };
    for (const id of CONTROL_KEYS) {
      const input = $(id);
      if (id !== "strength") input.value = memory.get(id, input.value);
      const paint = () => {
        if (!shown[id]) return;
        $(`${id}-out`).textContent = shown[id](input.value);
        fill(input);
      };
      input.addEventListener("paint", paint);
      input.addEventListener(id === "seed" ? "change" : "input", () => {
        paint();
        memory.set(id === "strength" ? this.#strengthKey() : id, input.value);
        send(value[id](input.value));
      });
      paint();
    }
    $("reseed").onclick = () => this.#nudge("seed", String(Math.floor(Math.random() * 1e6)), "change");
  }

  // What is a good strength differs from model to model, so each has its own.
  #strengthKey() {
    return `strength.${this.options.model}`;
  }

  #strengthChosen() {
    return memory.get(this.#strengthKey(), null) !== null;
  }

  #strengthOf(model) {
    const { default: usual = 1 } = model.options.properties.strength;
    this.#nudge("strength", memory.get(this.#strengthKey(), Math.round(100 * usual)), "paint");
  }

  #nudge(id, value, event = "input") {
    $(id).value = value;
    $(id).dispatchEvent(new Event(event));
  }

  #keys() {
    const size = (step) => (this.brush.open ? this.brush.resizeBy(step) : this.#nudge("strength", String(Number($("strength").value) + step)));
    installShortcuts([
      ["/", "/", "prompt", () => this.prompts.focus()],
      ...Array.from({ length: 9 }, (_, i) => [String(i + 1), "1–9", i === 0 ? "presets" : "", () => this.prompts.preset(i)]),
      ["h", "H", "history", () => this.prompts.toggleHistory()],
      ["s", "S", "split", () => this.stage.toggleSplit()],
      ["o", "O", "original", () => this.stage.original(true), () => this.stage.original(false)],
      ["m", "M", "mirror", () => this.stage.toggleMirror()],
      ["c", "C", "flip", () => this.flip()],
      ["k", "K", "pause", () => this.player.toggle()],
      ["j", "J", "back", () => this.player.skip(-1)],
      ["l", "L", "forward", () => this.player.skip(1)],
      ["b", "B", "brush", () => this.brush.toggle()],
      ["i", "I", "invert", () => this.brush.invert()],
      ["[", "[", "less", () => size(-5)],
      ["]", "]", "more", () => size(5)],
      ["x", "X", "reseed", () => $("reseed").click()],
      ["p", "P", "snapshot", () => this.stage.snapshot()],
      ["r", "R", "record", () => this.recorder.toggle()],
      ["f", "F", "fullscreen", () => this.stage.toggleFullscreen()],
      ["?", "?", "help", () => $("help").showModal()],
      ["Escape", "Esc", "close", () => { this.prompts.toggleHistory(false); this.brush.toggle(false); }],
    ]);
  }
}

// A token may come in the address after "#", which no server sees or logs; it is kept for this tab only.
function takeToken() {
  const given = new URLSearchParams(location.hash.slice(1)).get("token");
  if (given) {
    sessionStorage.setItem("vivace.token", given);
    history.replaceState(null, "", location.pathname);
  }
  return sessionStorage.getItem("vivace.token");
}

// What a page that was loaded again has left for itself. A tab that is opened again later, or doubled, turns on no camera.
function leftBehind() {
  const left = tabMemory.get("left", null);
  tabMemory.set("left", null);
  return performance.getEntriesByType("navigation")[0]?.type === "reload" ? left : null;
}

writeTexts();
window.studio = new Studio();   // for the console, and for tests
