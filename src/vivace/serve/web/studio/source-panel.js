/** The panel of sources: the kind that is chosen, the source that is open, and the cameras there are. */
import { $, el, icon, radios } from "./dom.js";
import { T, tell } from "./language.js";
import { listCameras, SOURCES, whyEnded } from "./sources.js";

export class SourcePanel {
  /** The kind that was chosen last, or null. */
  kind = null;
  /** The source that is open, as `openSource` gives it, with the `wishes` it was opened with; or null. */
  current = null;
  /** The name of a camera that went away, or "" for any that comes; null for none. */
  awaited = null;

  #wishes = {}; #cameras = []; #select; #stage; #player; #start; #ended; #reshaped; #back;

  /**
   * `start(kind, wishes)` is called with what is chosen, `ended(error)` when the source has ended by itself, `reshaped` when its
   * picture has another size, `back` when the camera is there that is awaited.
   */
  constructor(stage, player, { start, ended, reshaped, back }) {
    this.#stage = stage;
    this.#player = player;
    this.#start = start;
    this.#ended = ended;
    this.#reshaped = reshaped;
    this.#back = back;
    for (const kind of SOURCES) {
      $("sources").append(el("button", { type: "button", role: "radio", "aria-checked": "false", "data-kind": kind }, icon(kind), tell(el("span"), () => T.sources[kind].title)));
    }
    this.#select = radios($("sources"), (button) => this.use(button.dataset.kind));
    $("device").addEventListener("change", () => start("camera", { deviceId: $("device").value, sound: $("sound").checked }));
    $("flip").onclick = () => this.flip();
    $("sound").addEventListener("change", () => this.current && start(this.current.kind, { ...this.current.wishes, sound: $("sound").checked }));
    $("file").addEventListener("change", () => $("file").files[0] && start("file", { file: $("file").files[0], sound: $("sound").checked }));
    navigator.mediaDevices?.addEventListener?.("devicechange", () => this.#plugged());
    stage.before.addEventListener("resize", () => this.#resized());
  }

  /** Begin with a source of this kind; a file is asked for first. */
  use(kind) {
    if (kind === "file") {
      $("file").value = "";
      $("file").click();
    } else {
      const wishes = this.wishes(kind);
      const sound = $("sound").checked;
      this.#start(kind, Boolean(wishes.sound) === sound ? wishes : { ...wishes, sound });
    }
  }

  /** Take the camera that looks the other way; where cameras do not say which way they look, the next one. */
  flip() {
    if ($("flip").hidden || !this.current) return;
    const { facing, deviceId } = this.current;
    const next = this.#cameras[(this.#cameras.indexOf(deviceId) + 1) % this.#cameras.length];
    const wishes = facing ? { facing: facing === "user" ? "environment" : "user" } : { deviceId: next };
    this.#start("camera", { ...wishes, sound: $("sound").checked });
  }

  /** Return with which wishes a kind was opened last. */
  wishes(kind) {
    return this.#wishes[kind] ?? {};
  }

  /** Show a kind as the chosen one. */
  choose(kind) {
    this.kind = kind;
    this.#select($("sources").querySelector(`[data-kind="${kind}"]`));
    if (this.current?.kind !== kind) $("source-hint").textContent = "";
    this.#listCameras();
  }

  /** Show a source that was opened, in place of the one before. */
  take(source) {
    this.current?.stop();
    this.current = source;
    this.#wishes[source.kind] = source.wishes;
    source.whenEnded(async () => {
      const code = await whyEnded(source);
      if (source === this.current) this.#ended({ code, deviceId: source.deviceId });
    });
    this.#stage.source(source.stream, source.size, source.selfie);
    this.#player.follow(source.video ?? null);
    $("sound-row").hidden = !source.mayBeHeard;
    $("sound").checked = Boolean(source.wishes.sound);
    this.#describe();
    this.#listCameras();
  }

  /** Close the source that is open. */
  free() {
    this.current?.stop();
    this.current = null;
    this.#player.follow(null);
  }

  async #plugged() {
    await this.#listCameras();
    if (this.awaited !== null && this.#cameras.some((name) => !this.awaited || name === this.awaited)) this.#back();
  }

  async #listCameras() {
    const cameras = await listCameras();
    this.#cameras = cameras.map(({ deviceId }) => deviceId);
    $("device-row").hidden = this.kind !== "camera" || !cameras.length;
    $("flip").hidden = this.kind !== "camera" || cameras.length < 2;
    $("device").replaceChildren(...cameras.map(({ deviceId, label }, i) => el("option", { value: deviceId, selected: deviceId === this.current?.deviceId }, label || T.cameraNumber(i + 1))));
  }

  #describe() {
    const { size } = this.current;
    tell($("source-hint"), () => T.sourceSize(size));
  }

  // A shared window changes its shape, and tells its real one only with its first picture.
  #resized() {
    const { videoWidth, videoHeight } = this.#stage.before;
    if (!this.current || !videoWidth || (this.current.size[0] === videoWidth && this.current.size[1] === videoHeight)) return;
    this.current.size = [videoWidth, videoHeight];
    this.#describe();
    this.#reshaped();
  }
}
