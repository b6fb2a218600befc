/** The record button: the server records the output, this page fetches the file. */
import { $, download, el, toast } from "./dom.js";
import { T } from "./language.js";
import { said } from "./words.js";

export class Recorder {
  #session = null; #name = null; #sinceMs = 0; #timer = 0;

  constructor(api) {
    this.api = api;
    $("record").onclick = () => this.toggle();
  }

  follow(session) {
    this.#session = session;
    this.#show(null);
    session?.addEventListener("recorded", ({ detail }) => this.#recorded(detail));
  }

  async toggle() {
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

  #recorded({ on, name, url, message }) {
    const changed = on !== (this.#name !== null);
    this.#show(on ? name : null);
    if (on && changed) toast(T.toasts.recording);
    if (on || !changed) return;
    const save = url ? el("a", { href: this.api.url(url), download: name }, T.toasts.download) : null;
    save?.addEventListener("click", (event) => this.#fetch(event, url, name));
    toast(message || T.toasts.recorded, { link: save, seconds: 30, bad: !url });
  }

  // A plain link cannot carry a token: with one, the file is fetched first.
  async #fetch(event, url, name) {
    if (!this.api.token) return;
    event.preventDefault();
    try {
      download(await (await this.api.request("GET", url)).blob(), name);
    } catch (error) {
      toast(said(error), { bad: true });
    }
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
