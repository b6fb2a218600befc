/** Checks a file of anybody's: whether it says that it is AI-modified, and whether that holds. */
import { $, el, toast } from "./dom.js";
import { T } from "./language.js";
import { said } from "./words.js";

const HOLDS = new Set(["repainted", "not_repainted"]);
const BREAKS = new Set(["changed", "bad_certificate", "broken"]);

/** Have the file that is chosen be looked at, and say below what `more(report)` adds to its verdict, as nodes. */
export function installCheck(api, more = () => []) {
  $("check-file").addEventListener("change", ({ target }) => {
    const [file] = target.files;
    target.value = "";
    if (file) check(api, file, more);
  });
}

/** Look at a file, and say what is found. */
export async function check(api, file, more) {
  const place = $("check-said");
  place.replaceChildren(el("p", {}, T.check.looking(file.name)));
  try {
    const path = `/v1/verify?${new URLSearchParams({ name: file.name.slice(-200) })}`;
    const report = await api.json("POST", path, file, { "Content-Type": "application/octet-stream" });
    const { verdict, words } = report;
    const how = HOLDS.has(verdict) ? "good" : BREAKS.has(verdict) ? "bad" : "";
    place.replaceChildren(el("p", {}, el("strong", { class: how || null }, T.check.verdicts[verdict]), ` ${file.name}: ${words}.`), ...more(report));
  } catch (error) {
    place.replaceChildren();
    toast(said(error), { bad: true });
  }
}
