/** A picture for a control: dropped or chosen, made small enough for a message, and shown as it was taken. */
import { el, toast } from "./dom.js";
import { T } from "./texts.js";

const SIDES = [1024, 768, 512, 256];   // px of the longer side: the first whose file fits into a message
const LOOKS = { image: ["image/jpeg", 0.92], mask: ["image/png"] };   // a mask's white and black stay as they are

// A picture that misses its area does not take the place of the page.
for (const event of ["dragover", "drop"]) addEventListener(event, (missed) => missed.preventDefault());

/** An area to drop a picture on; `send` gets its `data:` address, or null for none, and resolves with whether it is taken. */
export function pictureArea(id, label, schema, send) {
  const input = el("input", { type: "file", accept: "image/*", tabindex: -1, hidden: true });
  const shown = el("img", { alt: "", hidden: true });
  const words = el("span", {}, "");
  const area = el("button", { id, type: "button", class: "drop", title: schema.description }, shown, words);
  const remove = el("button", { type: "button", class: "text", hidden: true, "aria-label": T.removeNamed(schema.title) }, T.remove);
  const show = (url) => {
    shown.hidden = remove.hidden = !url;
    if (url) shown.src = url;
    else shown.removeAttribute("src");
    words.textContent = url ? T.dropAnother : schema.kind === "mask" ? T.dropMask : T.dropPicture;
  };
  let taken = null;
  const give = async (url) => {
    show(url);
    if ((await send(url)) !== false) taken = url;
    else show(taken);
  };
  const take = async (file) => {
    if (!file) return;
    area.setAttribute("aria-busy", "true");
    const url = await small(file, schema).catch((error) => toast(error.message, { bad: true }) && null);
    area.removeAttribute("aria-busy");
    if (url) await give(url);
  };
  area.addEventListener("click", () => input.click());
  input.addEventListener("change", () => {
    take(input.files[0]);
    input.value = "";   // or the same file could not be chosen again
  });
  remove.addEventListener("click", () => {
    give(null);
    area.focus();
  });
  for (const [event, over] of [["dragenter", true], ["dragover", true], ["dragleave", false], ["drop", false]]) {
    area.addEventListener(event, () => area.classList.toggle("over", over));
  }
  area.addEventListener("drop", ({ dataTransfer }) => take(dataTransfer.files[0]));
  show(null);
  return el("div", { class: "row wide" }, el("div", { class: "row" }, label, remove), area, input);
}

async function small(file, { kind, maxLength, title }) {
  const picture = await createImageBitmap(file).catch(() => {
    throw new Error(T.noSuchPicture(file.name));
  });
  const canvas = document.createElement("canvas");
  try {
    for (const side of SIDES) {
      const scale = Math.min(1, side / Math.max(picture.width, picture.height));
      [canvas.width, canvas.height] = [picture.width, picture.height].map((length) => Math.max(1, Math.round(length * scale)));
      const ctx = canvas.getContext("2d");
      ctx.fillRect(0, 0, canvas.width, canvas.height);   // over black where it is transparent, as on the server
      ctx.drawImage(picture, 0, 0, canvas.width, canvas.height);
      const url = canvas.toDataURL(...LOOKS[kind]);
      if (url.length <= maxLength) return url;
    }
  } finally {
    picture.close();
  }
  throw new Error(T.pictureTooLarge(file.name, title));
}
