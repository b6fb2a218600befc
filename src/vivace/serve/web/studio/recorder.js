/** The record button: the server records the output; the list of recordings has the file, whatever ends it. */
import { $, el, toast } from "./dom.js";
import { T } from "./language.js";
import { said } from "./words.js";

export class Recorder {
  #session = null; #recordings; #name = null; #sinceMs = 0; #timer = 0;

  constructor(recordings) {
    this.#recordings = recordings;
    $("record").onclick = () => this.toggle();
  }

  /** Follow a session, or none; what was being recorded has ended with the one before. */
  follow(session) {
    this.#session = session;
    if (this.#name !== null) this.#ended(this.#name);
    session?.addEventListener("recorded", ({ detail }) => this.#recorded(detail));
  }

  async toggle() {
    if (!this.#recordings.recording) return toast(T.recordings.off, { seconds: 10 });
    if (!this.#session) return toast(T.toasts.nothingToRecord);
    $("record").disabled = true;
    try {
      await this.#session.record(this.#name === null);
    } catch (error) {
      toast(said(error), { bad: true });
    } finally {
      $("record").disabled = false;
    }
  }

  #recorded({ on, name, message }) {
    const changed = on !== (this.#name !== null);
    if (on) {
      this.#show(name);
      if (changed) toast(T.toasts.recording);
    } else if (changed) this.#ended(name, message);
    this.#recordings.refresh();
  }

  #ended(name, message = "") {
    this.#show(null);
    const url = `/v1/recordings/${name}`;
    const save = el("a", { href: url, download: name }, T.toasts.download);
    save.addEventListener("click", (event) => {
      event.preventDefault();
      this.#recordings.save(url, name).catch((error) => toast(said(error), { bad: true }));
    });
    toast(message || T.toasts.recorded, { link: save, seconds: 30 });
    this.#recordings.refresh();
  }

  #show(name) {
    this.#name = name;
    $("record").setAttribute("aria-pressed", String(name !== null));
    $("record").setAttribute("aria-label", name === null ? T.record : T.stopRecording);
    $("record-time").hidden = name === null;
    clearInterval(this.#timer);
    if (name === null) return;
    this.#sinceMs = performance.now();
    const tick = () => {
      const s = Math.floor((performance.now() - this.#sinceMs) / 1000);
      $("record-time").textContent = `${Math.floor(s / 60)}:${String(s % 60).padStart(2, "0")}`;
    };
    tick();
    this.#timer = setInterval(tick, 500);
  }
}
