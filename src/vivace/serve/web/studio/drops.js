/** What is dropped on the page, beside an area of its own: it is repainted, or is a picture that the model is asked to go by. */
import { $, el } from "./dom.js";
import { T } from "./language.js";

/** `paint` gets a file that is to be repainted; `pictures` returns the areas that take a picture, `[{title(), take(file)}…]`. */
export function installDrops({ paint, pictures }) {
  for (const name of ["dragenter", "dragover", "dragleave", "drop"]) {
    addEventListener(name, (event) => {
      event.preventDefault();   // or the browser would show the file in place of the page
      const leaves = name === "drop" || (name === "dragleave" && !event.relatedTarget);
      document.body.classList.toggle("dropping", !leaves && event.dataTransfer.types.includes("Files"));
    }, true);
  }
  addEventListener("drop", async ({ dataTransfer: { files: [file] } }) => {
    if (!file) return;
    const areas = file.type.startsWith("image/") ? pictures() : [];
    const given = areas.length ? await askWhatFor(file, areas) : "paint";
    if (given === "paint") paint(file);
    else areas[given]?.take(file);
  });
}

// Resolves with "paint", the index of an area, or "" for neither.
function askWhatFor(file, areas) {
  const dialog = $("picture-dialog");
  $("picture-name").textContent = file.name;
  $("picture-areas").replaceChildren(...areas.map(({ title }, index) => el("button", { value: index }, T.goBy(title()))));
  dialog.returnValue = "";
  if (!dialog.open) dialog.showModal();
  // The event comes late: one of a question before is not the answer to this one, which is still open.
  return new Promise((resolve) => { dialog.onclose = () => dialog.open || resolve(dialog.returnValue); });
}
