/** The page of those who were given a link: it shows a session, and steers it if the link is for that. */
import { Api, steer, watch } from "../vivace.js";
import { installChoices } from "./choices.js";
import { $, fill, fullScreen, throttle, toast, SLIDER_MS } from "./dom.js";
import { installListen } from "./listen.js";
import { Prompts } from "./prompts.js";
import { shared } from "./shared.js";
import { T, writeTexts } from "./language.js";
import { said } from "./words.js";

const NOT_TO_STEER = new Set(["scope", "secret"]);
const { page, id, token } = shared();
let steers = false;   // nothing is offered before it works
let prompts = null, news = { state: "connecting" };

writeTexts();
installChoices(() => {
  show(news);
  prompts?.write();
});
const viewer = watch(id, { token });
viewer.play($("after"));
viewer.addEventListener("state", ({ detail }) => show(news = detail));
$("after").addEventListener("resize", ({ target }) => document.documentElement.style.setProperty("--aspect", String(target.videoWidth / target.videoHeight)));
$("retry").onclick = () => location.reload();
installListen($("after"));
$("fullscreen").onclick = () => fullScreen($("stage"), $("after")).catch(() => toast(T.toasts.noFullscreen));
addEventListener("hashchange", () => location.reload());
addEventListener("pagehide", () => viewer.close());
addEventListener("pageshow", (event) => event.persisted && location.reload());
if (page === "steer") takeTheWheel();

function show({ state, code, message, info }) {
  const text = T.watch.refusals[code] ?? T.watch[state] ?? T.watch.other;
  const [title, more] = state === "live" ? [T.status.live, ""] : text({ said: said({ code, message }), max: info?.max_viewers });
  const { body } = document;
  body.dataset.state = { full: "waiting", refused: "problem" }[state] ?? state;
  body.toggleAttribute("data-card", state !== "live");
  $("status-text").textContent = title;
  document.title = `${state === "live" ? "● " : ""}${title} · Vivace`;
  $("card-title").textContent = title;
  $("card-text").textContent = more;
  const over = state === "ended" || state === "refused";
  $("retry").hidden = state !== "refused";
  offerSteering();
  $("note").hidden = state !== "live" || !info.painted || Boolean(info.label);
  $("steered").textContent = over || !info ? "" : T.watch.steered(info.control_channels);
  $("viewers").textContent = over || !info ? "" : T.watch.viewers(info.viewers);
}

function offerSteering() {
  $("steering").hidden = !steers || viewer.state === "ended" || viewer.state === "refused";
}

/** Prompt, presets and strength, for whoever has the link to steer. */
async function takeTheWheel() {
  const api = new Api({ token });
  let session = null;
  prompts = new Prompts((prompt) => session?.update({ prompt }).then((ack) => ({ ...ack, prompt: session.controls.prompt })));
  try {
    session = await steer(id, { token });
    session.addEventListener("state", ({ detail }) => {
      $("steering").inert = detail.state !== "live";
      if (detail.state === "ended") stopSteering(detail.reason);
    });
    const [models, presets] = await Promise.all([api.models(), api.presets()]);
    prompts.setPresets(presets, (path) => api.url(path));
    strength(session, models.find(({ name }) => name === session.model)?.options.properties.strength.default ?? 1);
    session.addEventListener("changed", ({ detail }) => "prompt" in detail.controls && prompts.changed(detail.controls.prompt ?? "", detail));
  } catch (error) {
    if (session?.state === "ended") return;   // its event has said why
    session?.end();
    return stopSteering(error.code);
  }
  prompts.input.value = "";   // what is painted now is somebody else's word
  prompts.input.dispatchEvent(new Event("input"));
  addEventListener("pagehide", () => session.end());
  steers = session.state !== "ended";
  offerSteering();
}

// Why, the picture says; but for a link that shows it and steers nothing.
function stopSteering(code) {
  steers = false;
  offerSteering();
  if (NOT_TO_STEER.has(code)) toast(T.watch.watchOnly, { bad: true, seconds: 3600 });
}

function strength(session, usual) {
  const input = $("strength");
  const send = throttle(SLIDER_MS, () => session.update({ strength: input.value / 100 }).catch((error) => toast(said(error), { bad: true })));
  const paint = () => {
    $("strength-out").textContent = `${input.value} %`;
    fill(input);
  };
  const show = (share) => {
    input.value = Math.round(100 * share);
    paint();
  };
  input.addEventListener("input", () => { paint(); send(); });
  session.addEventListener("changed", ({ detail: { controls } }) => "strength" in controls && show(controls.strength ?? usual));
  show(usual);
}
