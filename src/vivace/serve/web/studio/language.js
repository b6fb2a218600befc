/** Which language the page speaks. One more is one more module in `texts/`, with the same keys, named in `TEXTS`. */
import { memory } from "./dom.js";
import { de } from "./texts/de.js";
import { en } from "./texts/en.js";

export const TEXTS = { en, de };
const told = new Map();
const ATTRIBUTES = { label: "aria-label", tip: "data-tip", title: "title", placeholder: "placeholder" };

/** The name of the language: the one chosen here before, else the first of the browser's that there is. */
export let language = [memory.get("language", ""), ...navigator.languages.map((tag) => tag.split("-")[0])].find((name) => Object.hasOwn(TEXTS, name)) ?? "en";

/** The texts in that language. */
export let T = TEXTS[language];

/** Choose a language: all that stands on the page is written in it, and it is remembered. */
export function speak(name) {
  language = name;
  T = TEXTS[name];
  memory.set("language", name);
  writeTexts();
}

/** Write what `text` returns into an element, or an attribute of it, now and again in each language that is chosen while it is on the page. */
export function tell(node, text, attribute = null) {
  const write = () => {
    if (attribute) node.setAttribute(attribute, text());
    else node.textContent = text();
  };
  told.set(node, write);
  write();
  return node;
}

/** Write the texts of `page` where index.html names them, as content and as attributes, and all that was told. */
export function writeTexts() {
  document.documentElement.lang = language;
  for (const node of document.querySelectorAll("[data-t]")) node.textContent = T.page[node.dataset.t];
  for (const [kind, attribute] of Object.entries(ATTRIBUTES)) {
    for (const node of document.querySelectorAll(`[data-t-${kind}]`)) node.setAttribute(attribute, T.page[node.getAttribute(`data-t-${kind}`)]);
  }
  for (const [node, write] of told) {
    if (node.isConnected) write();
    else told.delete(node);
  }
}
