/** The page that checks a file: all that is found of it. */
import { Api } from "../vivace.js";
import { check, installCheck } from "./check.js";
import { $, el, memory } from "./dom.js";
import { T, writeTexts } from "./language.js";
import { takeToken } from "./tab.js";

document.documentElement.dataset.theme = memory.get("theme", "");
writeTexts();
document.title = `${T.page.checkTitle} · Vivace`;
const api = new Api({ token: takeToken() });
installCheck(api, found);
for (const name of ["dragenter", "dragover", "dragleave", "drop"]) {
  addEventListener(name, (event) => {
    event.preventDefault();   // or the browser would show the file in place of the page
    document.body.classList.toggle("dropping", name === "dragenter" || name === "dragover");
  });
}
addEventListener("drop", ({ dataTransfer: { files: [file] } }) => file && check(api, file, found));

/** What there is beside the verdict, as a list of terms; what could not be looked at is not in it. */
function found({ credentials, watermark, label, notes }) {
  const terms = [
    ...(credentials ? credentialsFound(credentials) : []),
    watermark && [T.check.watermark, watermark.seconds.length ? T.check.watermarkFound(watermark) : T.check.no],
    label && [T.check.ownWords, label.places.join(", ") || T.check.no],
    notes.length && [T.check.notes, notes],
  ];
  return [el("dl", {}, ...terms.filter(Boolean).flatMap(([term, told]) => [el("dt", {}, term), el("dd", {}, shown(told))]))];
}

function credentialsFound({ state, beside, signer, issuer, algorithm, generator, ingredients, actions }) {
  return [
    [T.check.credentials, `${T.check.states[state]}${beside ? `, ${T.check.beside}` : ""}`],
    signer && [T.check.signedBy, [signer, issuer, algorithm].filter(Boolean).join(", ")],
    generator && [T.check.madeWith, generator],
    ingredients.length && [T.check.madeOf, ingredients.map(({ title, state: own }) => (own === "none" ? title : `${title} (${T.check.states[own]})`))],
    actions.length && [T.check.done, actions.map(({ action, by, source_type: kind, description, parameters }) => {
      const told = [by, kind, description, ...Object.entries(parameters).map((pair) => pair.join(": "))].filter(Boolean);
      return told.length ? `${action} (${told.join("; ")})` : action;
    })],
  ];
}

function shown(told) {
  return Array.isArray(told) ? el("ul", {}, ...told.map((each) => el("li", {}, each))) : told;
}
