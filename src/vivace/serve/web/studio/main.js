/** The studio: puts source, session, picture and panels together, and says in which state everything is. */
import { Api, connect, VivaceError } from "../vivace.js";
import { Brush } from "./brush.js";
import { installCheck } from "./check.js";
import { installChoices } from "./choices.js";
import { peopleKnow } from "./consent.js";
import { $, delay, download, stampedName, toast } from "./dom.js";
import { installDrops } from "./drops.js";
import { KeyFrames } from "./keyframes.js";
import { LivePanel } from "./live.js";
import { Options } from "./options.js";
import { Player } from "./player.js";
import { Prompts } from "./prompts.js";
import { Recorder } from "./recorder.js";
import { Recordings } from "./recordings.js";
import { Share } from "./share.js";
import { installShortcuts } from "./shortcuts.js";
import { Sliders } from "./sliders.js";
import { SourcePanel } from "./source-panel.js";
import { opensUnasked, openSource } from "./sources.js";
import { Stage } from "./stage.js";
import { StateView } from "./state.js";
import { Surfaces } from "./surfaces.js";
import { keepToken, leaveBehind, leftBehind, takeToken } from "./tab.js";
import { Thumbnails } from "./thumbnails.js";
import { T, writeTexts } from "./language.js";
import { card, endedWords, problemWords, said } from "./words.js";

const SCREEN_MS = 1_000;   // within which a frame is on its way to the screen
const SERVER_LOOK_MS = 1_500;   // between two looks whether a server that went away is back
const GONE = new Set(["unreachable", "draining"]);

class Studio {
  session = null;

  #retry = 0; #starting = 0; #loading = null; #opening = null; #news = null;

  constructor() {
    this.api = new Api({ token: takeToken() });
    this.stage = new Stage();
    this.player = new Player();
    this.live = new LivePanel(this.stage.after);
    this.stage.picked = (x, y) => this.#pick(x, y);
    this.live.floorFrames = () => this.options.floorFrames;
    this.stage.ageMs = () => this.session?.glass.ageMs ?? this.live.glassMs;
    this.recordings = new Recordings(this.api);
    this.recorder = new Recorder(this.recordings);
    this.share = new Share(this.api);
    installCheck(this.api);
    this.share.source = () => this.source?.kind ?? null;
    this.surfaces = new Surfaces();
    this.brush = new Brush(this.stage, (mask) => this.update({ mask }));
    this.keyframes = new KeyFrames();
    this.options = new Options({ keyframes: this.keyframes, change: (controls) => this.update(controls), restart: (anew) => this.#restart(anew), size: () => this.source?.size, shown: (model) => this.#shown(model) });
    this.sliders = new Sliders(() => this.options.model, (controls) => this.update(controls));
    this.prompts = new Prompts((prompt) => this.#paint(prompt));
    this.thumbnails = new Thumbnails(this.stage, this.prompts);
    this.sources = new SourcePanel(this.stage, this.player, {
      start: (kind, wishes) => this.start(kind, wishes), ended: (error) => this.#sourceProblem(error),
      reshaped: () => this.#reshaped(), back: () => this.view.again?.(),
    });
    installDrops({ paint: (file) => this.start("file", { file }), pictures: () => this.options.pictures });
    this.view = new StateView({
      actions: { retry: () => this.start(), pick: () => this.pick(), stop: () => this.stop(), smaller: () => this.#beginSmaller() },
      use: (kind) => this.sources.use(kind), near: (names) => this.prompts.offers(names),
    });
    installChoices(() => {
      this.view.write();
      this.prompts.write();
      this.live.show();
      this.surfaces.write();
    });
    installShortcuts(this);
    $("end").onclick = () => this.stop();
    $("snapshot").onclick = () => this.snapshot();
    $("keyframe-save").onclick = () => this.saveFrame();
    $("token-form").addEventListener("submit", (event) => {
      event.preventDefault();
      keepToken($("token").value.trim());
      location.reload();
    });
    // A closed tab frees its slot at once; one that is only put aside (a phone's back button) does so too.
    addEventListener("pagehide", () => {
      const { kind } = this.sources;
      leaveBehind(this.session && { kind, wishes: this.sources.wishes(kind), prompt: this.session.controls.prompt ?? "", mask: this.brush.dataUrl(), ...this.options.choices });
      this.session?.end({ leaving: true });
    });
    addEventListener("pageshow", (event) => event.persisted && location.reload());
    addEventListener("visibilitychange", () => document.hidden || this.stage.play());
    this.load();
  }

  /** The source that is open, or null. */
  get source() {
    return this.sources.current;
  }

  /** Ask the server what there is. Resolves with whether it has said so. */
  load() {
    this.show("connecting", () => card(T.cards.connecting));
    return (this.#loading = this.#load());
  }

  async #load() {
    try {
      const offered = () => Promise.all([this.api.models(), this.api.presets()]);
      const early = offered();
      early.catch(() => {});   // said below, if it still counts
      const config = await this.#serverReady();
      if (config.token_needed && !this.api.token) throw new VivaceError("no_token", "this server asks for a token");
      const [models, presets] = await (config.waited ? offered() : early);
      this.recordings.configure(config);
      this.share.tokens = config.token_needed;
      this.options.set(models, config.size ?? [256, 256]);
      this.prompts.setPresets(presets, (path) => this.api.url(path));
      const left = leftBehind();
      if (left) await this.#restore(left);
      if (this.sources.kind) return true;   // `start` goes on with the source that was chosen meanwhile
      if (left) this.#goOn(left);
      else this.pick();
      return true;
    } catch (error) {
      this.#loading = null;
      this.problem(error, () => (this.sources.kind ? this.start() : this.load()));
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
    const ask = { screen: ["shareAgain", () => this.start("screen")], file: ["fileAgain", () => this.sources.use("file")] }[kind];
    if (ask) this.show("idle", () => card(T.cards.goOn, [[ask[0], "retry"], ["pick", "pick"]]), ask[1]);
    else this.start(kind, wishes);
  }

  /** Resolve with what the server says of itself once its model is loaded, and whether that was `waited` for; show how far that is until then. */
  async #serverReady() {
    for (let waited = false; ; waited = true) {
      const config = await this.api.config();
      if (!config.loading) return { ...config, waited };
      // A card that asks for something stays.
      if (document.body.dataset.state === "connecting") this.show("connecting", () => card(T.cards.loading(config.loading), [], { status: T.status.loading }));
      await delay(SERVER_LOOK_MS / 3);
    }
  }

  // Sources

  /** Open a source (the last one by default) and bring it to the session, which is made if there is none. */
  async start(kind = this.sources.kind ?? "camera", wishes = this.sources.wishes(kind)) {
    if (kind === "camera" && this.share.shared && !(await peopleKnow())) return;
    const turn = ++this.#starting;
    clearTimeout(this.#retry);
    this.sources.choose(kind);
    const [session, before] = [this.session, this.source];
    if (!session || !before) this.show("connecting", () => card(kind === "camera" ? T.cards.openingCamera : T.cards.openingSource));
    if (!(before?.kind === kind && before.wishes === wishes && before.stream.active)) {
      // Many phones give one camera at a time.
      const makesWay = kind === "camera" && before?.kind === "camera";
      if (makesWay) before.stop();
      try {
        // A camera takes its time; where nobody has to be asked first, the session is opened meanwhile.
        if (await opensUnasked(kind)) this.#open(turn).catch(() => {});   // `#bring` says so
        const source = { ...(await openSource(kind, wishes)), wishes };
        if (turn !== this.#starting) return source.stop();
        this.sources.take(source);
      } catch (error) {
        if (turn !== this.#starting) return;
        if (!session) this.#giveUp();   // a session that was opened for it is of no use
        this.#sourceProblem(error, makesWay ? before : null);
        return;
      }
    }
    try {
      await this.#bring(turn);
    } catch (error) {
      if (turn === this.#starting) this.problem(error);
    }
  }

  // A source that cannot be had, or has ended, costs nothing else: the one before goes on, or the session waits for another.
  #sourceProblem(error, madeWay = null) {
    const before = this.source;
    if (this.session && before && (madeWay || before.stream.active)) {
      const { title, text } = problemWords(error);
      toast(`${title}. ${text}`, { bad: true });
      if (!madeWay) return this.sources.choose(before.kind);
      this.sources.free();
      return this.start(before.kind, before.wishes);
    }
    this.sources.free();
    this.#tellProblem(error, () => this.start());
    // Phones and sleeping computers take the camera away; what ended while nobody looked begins again when somebody does.
    if (error.code === "camera_ended" && document.hidden) document.addEventListener("visibilitychange", () => this.view.again?.(), { once: true });
    this.sources.awaited = { camera_ended: error.deviceId, camera_NotFoundError: "" }[error.code] ?? null;
  }

  #giveUp() {
    this.#starting += 1;
    this.#drop();
  }

  #reshaped() {
    const control = this.options.sizeControl();
    if (control.size) this.update(control);
    else this.session?.limitSize(this.options.outputSize().reduce((a, b) => a * b));
  }

  // Session

  /** All controls as the page shows them. */
  controls() {
    const mask = this.brush.dataUrl();
    return { prompt: this.prompts.text, ...this.sliders.controls(this.options.loaded), ...this.options.controls(), ...(mask ? { mask } : {}) };
  }

  // The session of a start, made once; resolves with whether that start still counts.
  async #open(turn) {
    if (!(await (this.#loading ?? this.load())) || turn !== this.#starting) return false;
    const wanted = this.options.model;
    if (this.session && (this.session.state === "ended" || (wanted && this.session.model !== wanted))) this.#drop();
    if (!this.session) {
      const opening = this.#opening?.turn === turn ? this.#opening : { turn, session: connect({ token: this.api.token, model: wanted, controls: this.controls() }) };
      this.#opening = opening;
      const session = await opening.session.finally(() => { if (this.#opening === opening) this.#opening = null; });
      if (turn !== this.#starting) {
        session.end();
        return false;
      }
      if (session !== this.session) {
        this.#follow(session);
        this.#opened(session);
      }
    }
    return true;
  }

  async #bring(turn) {
    if (!this.session) this.show("connecting", () => card(T.cards.connecting));
    if (!(await this.#open(turn))) return;
    const size = this.options.outputSize();
    const control = this.options.sizeControl();   // it follows the source's shape
    if (control.size) await this.update(control);
    await this.session.limitSize(size[0] * size[1]);
    await this.session.publish(this.source.stream);
    if (!this.options.loaded) this.options.set(await this.api.models());   // now its options are known
    this.thumbnails.repaint(() => this);
    // A session that had been without a source goes on where it is now.
    if (document.body.dataset.state === "connecting" && this.#news) this.#state({ ...this.#news, resumed: false, renewed: false });
  }

  #follow(session) {
    this.session = session;
    this.stage.labelled(session.info.label);
    session.addEventListener("state", ({ detail }) => session === this.session && this.#state(detail));
    session.addEventListener("notice", ({ detail }) => detail.type === "error" && toast(said(detail), { bad: true }));
    session.addEventListener("changed", ({ detail }) => session === this.session && this.#changed(detail));
    let px = 0;
    session.addEventListener("stats", ({ detail: { size, absent, note } }) => {
      this.prompts.missing(absent);
      this.keyframes.say(note);
      this.#tellPainted();
      // An output that grows by itself wants more of the source.
      if (!size || size[0] * size[1] === px) return;
      px = size[0] * size[1];
      session.limitSize(px);
    });
    session.play(this.stage.after);
    this.live.follow(session);
    this.recorder.follow(session);
    this.share.follow(session);
    this.surfaces.follow(session);
    $("end").hidden = false;
  }

  // Somebody who has the link steers, too: the page shows what they have set.
  #changed(news) {
    const { controls } = news;
    if ("prompt" in controls) this.prompts.changed(controls.prompt ?? "", news);
    this.sliders.take(controls, this.options.schema);
    this.options.take(controls);
    this.#tellPainted();
  }

  #opened(session) {
    this.prompts.opened(session);
    for (const notice of session.notices) if (notice.control !== "prompt") toast(said(notice), { bad: true });
  }

  // While there is no session a prompt waits in its input; on a card that offers to try again it does that, too.
  #paint(prompt) {
    // One that was opened for a start which was given up will be ended, and paints nothing.
    const awaited = this.#opening?.turn === this.#starting ? this.#opening.session : null;
    const opening = this.session ?? awaited;
    this.view.again?.();
    if (!opening) return null;
    return Promise.resolve(opening).then(async (session) => {
      const ack = await session.update({ prompt });
      this.#tellPainted();
      return { ...ack, prompt: session.controls.prompt };   // of several at once only the last was sent
    });
  }

  #state(news) {
    const { state, position, retryAfterS, offer, code, message, reason, resumed, renewed } = news;
    this.#news = news;
    if (!this.source && state !== "ended") return;   // what is said of the source stays
    switch (state) {
      case "waiting":
        return this.show("waiting", () => card(T.cards.waiting({ position, retryAfterS, offer }), [...(offer ? [["smaller", "smaller"]] : []), ["stopWaiting", "stop"]], { figure: String(position), status: T.status.waiting(position) }));
      case "live":
        return this.#whenShown(() => {
          this.show("live");
          this.#tellPainted(0);
          this.prompts.refreshPictures();
          this.thumbnails.repaint(() => this);
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

  // Who waits next is told the size that there is room for.
  #beginSmaller() {
    return this.update({ size: this.options.makeSmaller(this.#news.offer) });
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
    const { session } = this;
    if (!session) return true;
    if (controls.size) await session.limitSize(controls.size[0] * controls.size[1]);
    return session.update(controls).then(() => this.#tellPainted() ?? true, (error) => {
      const gone = error.code === "ended" || error.code === "lost";
      if (!gone) toast(said(error), { bad: true });
      return gone;   // they are asked for again with the next session
    });
  }

  #shown(model) {
    this.sliders.show(model);
    this.stage.pickable = this.options.places !== null;
  }

  // A click on the picture chooses where the prompt paints.
  async #pick(x, y) {
    if (this.session?.state !== "live") return;
    const { places } = this.options;
    this.stage.picture.classList.add("picking");
    try {
      const place = await places.offer(await this.session.pick(x, y));
      toast(place ? T.toasts.picked(places.title(place)) : T.toasts.nothingPicked);
    } catch (error) {
      toast(said(error), { bad: true });
    } finally {
      this.stage.picture.classList.remove("picking");
    }
  }

  // With neither prompt nor picture to go by, or at strength 0, the output is the source itself, once what was painted has faded.
  #tellPainted(inMs = SCREEN_MS) {
    const { prompt, strength = 1, options } = this.session?.controls ?? {};
    const led = Object.values(options ?? {}).some((value) => String(value).startsWith("data:"));
    this.stage.paints((Boolean(prompt) && strength > 0) || (this.session?.stats?.painted ?? led), inMs);
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
    this.prompts.missing([]);
    this.keyframes.say("");
    this.live.follow(null);
    this.recorder.follow(null);
    this.share.follow(null);
    this.surfaces.follow(null);
    $("end").hidden = true;
    session?.end();
  }

  /** End the session and give the camera back. */
  async stop() {
    await this.surfaces.keep();
    this.#giveUp();
    this.sources.free();
    this.show("ended", () => endedWords("client"));
  }

  /** Save the picture as others see it. */
  snapshot() {
    return this.#save(this.stage.snapshot, (blob) => download(blob, `${stampedName()}.png`), T.toasts.snapshot);
  }

  /** Save a frame without a key frame's edit, to be edited and given back as one. */
  saveFrame() {
    if ($("keyframe-panel").hidden) return;
    $("keyframe-panel").open = true;
    const { inForce } = this.keyframes;
    if (inForce && this.session?.controls.prompt) return toast(T.toasts.keyFrameFirst);
    return this.#save({ before: inForce }, (blob) => this.keyframes.save(blob), T.toasts.frame);
  }

  async #save(what, keep, words) {
    if (this.session?.state !== "live") return toast(T.toasts.noPicture);
    try {
      await keep(await this.session.snapshot(what));
      toast(words);
    } catch (error) {
      toast(said(error), { bad: true });
    }
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
    this.sources.awaited = null;
    this.view.show(state, words, again);
  }
}

writeTexts();
window.studio = new Studio();   // for the console, and for tests
