/** The dialog that shares a session: links to watch and to steer it, as text and as QR code, and addresses for programs. */
import { peopleKnow } from "./consent.js";
import { $, copy, el, toast, HERE } from "./dom.js";
import { T } from "./language.js";
import { said } from "./words.js";

const COPIED_MS = 1_500;

export class Share {
  source = () => null;   // the kind of source that is shown

  #api; #session = null; #tokens = false; #links = {};

  constructor(api) {
    this.#api = api;
    $("share-open").onclick = () => this.open();
  }

  /** Say whether the server asks for tokens: without, it is for this machine alone. */
  set tokens(asked) {
    this.#tokens = asked;
  }

  /** Share a session, or none. */
  follow(session) {
    this.#session = session;
    $("share-open").hidden = !session;
    if (!session) $("share").close();
  }

  get #info() {
    return this.#session.info;   // another one after a reconnect to a server that had forgotten it
  }

  /** Whether others may be watching the session. */
  get shared() {
    return Boolean(this.#session) && this.#links.session === this.#info.id;
  }

  async open() {
    if (this.source() === "camera" && !(await peopleKnow())) return;
    if (this.#links.session !== this.#info.id) this.#links = { session: this.#info.id };
    try {
      await this.#make("watch");
    } catch (error) {
      return toast(said(error), { bad: true });
    }
    this.#show();
    $("share").showModal();
  }

  async #make(kind) {
    this.#links[kind] = (await this.#session.link(kind)).pages;
  }

  async #withdraw(kind) {
    await this.#session.withdraw(kind);
    delete this.#links[kind];
    if (kind === "watch") await this.#make(kind);
    toast(T.share.withdrawn);
  }

  #show() {
    const { whip_url: whip, whep_url: whep, secret } = this.#info;
    const { watch, steer } = this.#links;
    const token = new URLSearchParams(watch.watch.split("#")[1]).get("token");
    $("share-hint").before($("share-qr"));
    $("share-links").replaceChildren(
      this.#row(T.share.watch, watch.watch, { qr: true, withdraw: "watch" }),
      this.#row(T.share.clean, watch.clean),
      steer ? this.#row(T.share.steer, steer.steer, { qr: true, withdraw: "steer" }) : this.#offer(T.share.steer, "steer"),
      this.#row(this.#api.token ? [T.share.whip[0], `${T.share.whip[1]} ${T.share.whipToken}`] : T.share.whip, `${whip}?secret=${secret}`),
      this.#row(T.share.whep, `${whep}?token=${token}`),
    );
    $("share-qr").hidden = true;
    const where = this.#tokens ? (HERE ? T.share.thisAddress : "") : T.share.thisMachine;
    $("share-hint").textContent = `${where} ${this.#info.label ? "" : T.share.label}`.trim();
  }

  #row([title, hint], path, { qr = false, withdraw = null } = {}) {
    const input = el("input", { type: "text", readonly: true, value: this.#api.url(path), "aria-label": title, spellcheck: "false", onfocus: () => input.select() });
    const copied = async ({ target }) => {
      if (!(await copy(input))) return;
      target.textContent = T.share.copied;
      setTimeout(() => { target.textContent = T.share.copy; }, COPIED_MS);
    };
    return el("div", { class: "shared" }, el("h3", {}, title), hint && el("p", {}, hint), el("div", { class: "address" }, input,
      el("button", { type: "button", onclick: copied }, T.share.copy),
      qr ? el("button", { type: "button", onclick: ({ target }) => this.#tell(() => this.#draw(title, input.value, target.closest(".shared"))) }, T.share.qr) : null,
      withdraw ? el("button", { type: "button", onclick: () => this.#tell(() => this.#withdraw(withdraw), true) }, T.share.withdraw) : null));
  }

  #offer([title, hint], kind) {
    return el("div", { class: "shared" }, el("h3", {}, title), el("p", {}, hint), el("div", { class: "address" },
      el("button", { type: "button", onclick: () => this.#tell(() => this.#make(kind), true) }, T.share.make)));
  }

  async #tell(act, anew = false) {
    try {
      await act();
      if (anew) this.#show();
    } catch (error) {
      toast(said(error), { bad: true });
    }
  }

  async #draw(title, text, row) {
    const svg = await (await this.#api.request("POST", "/v1/qr", { text })).text();
    const [image, caption] = $("share-qr").children;
    image.src = `data:image/svg+xml,${encodeURIComponent(svg.replace("<svg", '<svg xmlns="http://www.w3.org/2000/svg"'))}`;
    image.alt = caption.textContent = T.share.qrFor(title);
    $("share-qr").hidden = false;
    row.append($("share-qr"));
    $("share-qr").scrollIntoView({ block: "nearest" });
  }
}
