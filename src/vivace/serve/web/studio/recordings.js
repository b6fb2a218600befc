/** The list of recordings: named, played, downloaded, deleted, whatever ended them. */
import { $, download, el, prose, toast } from "./dom.js";
import { T } from "./language.js";
import { said } from "./words.js";

const SURE_MS = 4_000;
const MIB = 2 ** 20;

export class Recordings {
  #api; #all = false; #labelled = false; #turn = 0;

  constructor(api) {
    this.#api = api;
    $("recordings-panel").addEventListener("toggle", () => $("recordings-panel").open && this.refresh());
    $("language").addEventListener("change", () => this.refresh());
    $("playback").addEventListener("close", () => this.#stop());
  }

  /** Say what the server has told of itself: whether it records at all, and whether it asks for tokens. */
  configure({ recording, token_needed: tokens, labelled }) {
    this.#labelled = labelled;
    this.recording = recording;
    this.#all = !tokens;
    $("recordings-panel").hidden = false;
    this.refresh();
  }

  /** Ask the server what there is. */
  async refresh() {
    const turn = ++this.#turn;
    try {
      const { recordings } = await this.#api.json("GET", "/v1/recordings");
      if (turn === this.#turn) this.#show(recordings);   // else a newer answer is there, or on its way
    } catch (error) {
      if (turn !== this.#turn) return;
      if (error.status === 401 || error.status === 403) $("recordings-panel").hidden = true;   // not for this token
      else $("recordings-hint").textContent = said(error);
    }
  }

  #show(recordings) {
    $("recordings").replaceChildren(...recordings.map((each) => this.#item(each)));
    $("recordings-state").textContent = recordings.length || "";
    const some = `${this.#all ? T.recordings.all : T.recordings.mine} ${this.#labelled ? "" : T.recordings.unlabelled}`.trim();
    $("recordings-hint").replaceChildren(...prose(this.recording ? (recordings.length ? some : T.recordings.none) : T.recordings.off));
  }

  #item({ name, title, url, bytes, began_s: beganS, modified_s: modifiedS, writing }) {
    const date = new Date(1000 * beganS).toLocaleString(document.documentElement.lang, { dateStyle: "medium", timeStyle: "short" });
    const length = minutes(Math.max(0, modifiedS - beganS));
    const called = title || T.recordings.title(date);
    const input = el("input", { type: "text", value: title, placeholder: T.recordings.title(date), maxlength: 200, "aria-label": T.recordings.name, autocomplete: "off" });
    input.addEventListener("change", () => this.#tell(() => this.#api.request("PATCH", url, { title: input.value })));
    const sure = el("button", { type: "button", disabled: writing, onclick: () => this.#delete(sure, url) }, T.recordings.delete);
    return el("li", {}, input, el("p", {}, T.recordings.about({ date, length, mib: (bytes / MIB).toFixed(bytes < 10 * MIB ? 1 : 0), writing })),
      el("div", { class: "buttons" },
        el("button", { type: "button", onclick: () => this.#tell(() => this.#play(url, called)) }, T.recordings.play),
        el("button", { type: "button", onclick: () => this.#tell(() => this.save(url, name)) }, T.recordings.download),
        sure));
  }

  #delete(button, url) {
    if (button.dataset.sure) return this.#tell(() => this.#api.request("DELETE", url).then(() => this.refresh()));
    button.dataset.sure = "yes";
    button.textContent = T.recordings.sure;
    setTimeout(() => {
      delete button.dataset.sure;
      button.textContent = T.recordings.delete;
    }, SURE_MS);
  }

  /** Save a recording on this machine. */
  async save(url, name) {
    download(await this.#source(url), name);
  }

  async #play(url, title) {
    const video = $("playback").querySelector("video");
    const source = await this.#source(url);
    $("playback-title").textContent = title;
    video.src = typeof source === "string" ? source : URL.createObjectURL(source);
    $("playback").showModal();
    video.play().catch(() => {});   // its own button starts it
  }

  #stop() {
    const video = $("playback").querySelector("video");
    URL.revokeObjectURL(video.src);
    video.removeAttribute("src");
    video.load();
  }

  // A plain address cannot carry a token, and one in it would be written down elsewhere: with one, the file is fetched first.
  async #source(url) {
    return this.#api.token ? (await this.#api.request("GET", url)).blob() : this.#api.url(url);
  }

  async #tell(act) {
    try {
      await act();
    } catch (error) {
      toast(said(error), { bad: true });
    }
  }
}

const minutes = (s) => `${Math.floor(s / 60)}:${String(Math.round(s % 60)).padStart(2, "0")}`;
