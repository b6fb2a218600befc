/** How the page itself is shown: its language, and light or dark. */
import { $, el, memory } from "./dom.js";
import { language, speak, T, tell, TEXTS } from "./language.js";

/** Let both be chosen on a page that has their lists; `spoken` is called when it speaks another language. */
export function installChoices(spoken) {
  $("language").replaceChildren(...Object.entries(TEXTS).map(([name, texts]) => el("option", { value: name, lang: name, selected: name === language }, texts.language)));
  $("language").addEventListener("change", () => {
    speak($("language").value);
    spoken();
  });
  $("theme").value = memory.get("theme", "");
  $("theme").addEventListener("change", () => {
    memory.set("theme", $("theme").value);
    paint();
  });
  paint();
}

function paint() {
  document.documentElement.dataset.theme = $("theme").value;
  if ($("page-state")) tell($("page-state"), () => `${T.language}, ${$("theme").selectedOptions[0].textContent}`);
}
