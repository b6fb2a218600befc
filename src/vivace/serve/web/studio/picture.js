/** A picture for a control: dropped or chosen, made small enough for a message, and shown as it was taken. */
import { el, toast } from "./dom.js";
import { T, tell } from "./language.js";

const SIDES = [1280, 1024, 768, 512, 256];   // px of the longer side: the first whose file fits into a message
// A mask's white and black stay as they are, and of an exact picture every pixel.
const FORMATS = { image: [["image/jpeg", 0.92]], mask: [["image/png"]], exact: [["image/png"], ["image/jpeg", 0.95]] };
const SHARE = { exact: 2 / 3 };   // of the longest text: a message carries two of those

/**
 * An area to drop a picture on, called what `title()` says; `send` gets its `data:` address, or null for none, and resolves
 * with whether it is taken. Returns `{node, take, show}`: its element, what gives it a file, and what shows another as taken.
 */
export function pictureArea(id, title, schema, send) {
  const input = el("input", { type: "file", accept: "image/*", tabindex: -1, hidden: true });
  const shown = el("img", { alt: "", hidden: true });
  const words = el("span");
  const area = el("button", { id, type: "button", class: "drop", title: schema.description }, shown, words);
  const removal = tell(el("span"), () => T.remove);
  const remove = tell(el("button", { type: "button", class: "text", hidden: true }, removal), () => T.removeNamed(title()), "aria-label");
  let taken = null;
  const display = (url) => {
    shown.hidden = remove.hidden = !url;
    if (url) shown.src = url;
    else shown.removeAttribute("src");
    tell(words, () => (url ? T.dropAnother : schema.kind === "mask" ? T.dropMask : T.dropPicture));
  };
  const show = (url) => display(taken = url);
  const give = async (url) => {
    display(url);
    if ((await send(url)) !== false) taken = url;
    else display(taken);
  };
  const take = async (file) => {
    if (!file) return;
    area.setAttribute("aria-busy", "true");
    const url = await small(file, schema, title()).catch((error) => toast(error.message, { bad: true }) && null);
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
  area.addEventListener("drop", (event) => {
    event.preventDefault();
    event.stopPropagation();   // it was not for the page
    take(event.dataTransfer.files[0]);
  });
  show(schema.default ?? null);
  const label = tell(el("label", { for: id, title: schema.description }), title);
  return { node: el("div", { class: "row wide" }, el("div", { class: "row" }, label, remove), area, input), take, show };
}

/** Read a picture file of any size into a canvas whose longer side is at most `side` px; rejects with an Error that says so. */
export async function readPicture(file, side) {
  const picture = new Image();
  picture.src = URL.createObjectURL(file);
  const canvas = document.createElement("canvas");
  try {
    // Not createImageBitmap: it decodes the whole of a picture first, which at 200 million pixels may be all the memory.
    await new Promise((resolve, reject) => Object.assign(picture, { onload: resolve, onerror: reject }));
    if (!picture.naturalWidth) throw new Error("a drawing of no size");
    draw(canvas, picture, [picture.naturalWidth, picture.naturalHeight], side);
  } catch {
    throw new Error(T.noSuchPicture(file.name));
  } finally {
    URL.revokeObjectURL(picture.src);
  }
  return canvas;
}

function draw(canvas, picture, size, side) {
  const scale = Math.min(1, side / Math.max(...size));
  [canvas.width, canvas.height] = size.map((length) => Math.max(1, Math.round(length * scale)));
  const ctx = canvas.getContext("2d");
  ctx.imageSmoothingQuality = "high";
  ctx.fillRect(0, 0, canvas.width, canvas.height);   // over black where it is transparent, as on the server
  ctx.drawImage(picture, 0, 0, canvas.width, canvas.height);
}

async function small(file, { kind, maxLength }, title) {
  const picture = await readPicture(file, SIDES[0]);
  const canvas = document.createElement("canvas");
  for (const side of SIDES) {
    draw(canvas, picture, [picture.width, picture.height], side);
    for (const format of FORMATS[kind]) {
      const url = canvas.toDataURL(...format);
      if (url.length <= maxLength * (SHARE[kind] ?? 1)) return url;
    }
  }
  throw new Error(T.pictureTooLarge(file.name, title));
}
