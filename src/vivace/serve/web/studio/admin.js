/** The operator's page: the sessions there are, how each does, and a button that ends one. */
import { Api } from "../vivace.js";
import { $, delay, el, memory, toast } from "./dom.js";
import { T, writeTexts } from "./language.js";
import { keepToken, takeToken } from "./tab.js";
import { said } from "./words.js";

const REFRESH_MS = 2000;
const COLUMNS = {
  id: ({ id }) => id,
  state: ({ state, position }) => `${T.admin.states[state]}${position ? ` (${position})` : ""}`,
  model: ({ model }) => model,
  client: ({ client }) => client,
  age: ({ age_s: s }) => T.admin.age(s),
  size: ({ stats: { size } }) => (size ? size.join("x") : ""),
  fps: ({ stats: { fps_in: came, fps_out: left } }) => `${rounded(left)} / ${rounded(came)}`,
  effort: ({ stats: { effort } }) => (effort === null ? "" : `${Math.round(100 * effort)} %`),
  delay: ({ stats: { stages_ms: { server } } }) => (server?.p95 == null ? "" : `${Math.round(server.p95)} ms`),
  viewers: ({ viewers }) => String(viewers),
  limit: ({ stats: { limit } }) => T.admin.limits[limit],
};
const rounded = (fps) => (fps === null ? "–" : fps.toFixed(1));

document.documentElement.dataset.theme = memory.get("theme", "");
writeTexts();
document.title = `${T.page.adminTitle} · Vivace`;
const api = new Api({ token: takeToken() });
$("columns").replaceChildren(...Object.keys(COLUMNS).map((name) => el("th", { scope: "col" }, T.admin.columns[name])), el("td"));
$("token-form").addEventListener("submit", (event) => {
  event.preventDefault();
  api.token = $("token").value.trim();
  keepToken(api.token);
  look();
});
for (;;) {
  if (document.visibilityState === "visible" && $("token-form").hidden) await look();
  await delay(REFRESH_MS);
}

/** Show the sessions of this moment; where a token is missing or wrong, ask for one. */
async function look() {
  try {
    const [{ sessions }, quota] = await Promise.all([api.json("GET", "/v1/sessions"), api.json("GET", "/v1/quota")]);
    show(sessions);
    $("overview").textContent = T.admin.overview(quota);
    $("token-form").hidden = true;
  } catch (error) {
    $("overview").textContent = said(error);
    $("token-form").hidden = ![401, 403].includes(error.status);
    $("wide").hidden = true;
  }
}

/** Write a row for each session, new ones last; a row stays for as long as its session, so that its button keeps the focus. */
function show(sessions) {
  $("wide").hidden = sessions.length === 0;
  const rows = new Map([...$("sessions").children].map((row) => [row.dataset.id, row]));
  for (const session of sessions) {
    const row = rows.get(session.id) ?? $("sessions").appendChild(newRow(session));
    rows.delete(session.id);
    Object.values(COLUMNS).forEach((text, column) => { row.children[column].textContent = text(session); });
  }
  for (const row of rows.values()) row.remove();
}

function newRow({ id }) {
  const end = el("button", { type: "button", onclick: () => endSession(id) }, T.page.endSession);
  end.setAttribute("aria-label", `${T.page.endSession} ${id}`);
  const row = el("tr", {}, ...Object.keys(COLUMNS).map((name) => el("td", { class: name })), el("td", {}, end));
  row.dataset.id = id;
  return row;
}

async function endSession(id) {
  try {
    await api.request("DELETE", `/v1/sessions/${id}`);
  } catch (error) {
    if (error.status !== 410) toast(said(error), { bad: true });
  }
  await look();
}
