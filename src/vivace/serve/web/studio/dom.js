/** Small helpers over the page: find, make, remember. */
export const $ = (id) => document.getElementById(id);

export const SLIDER_MS = 60;   // between two values that a slider sends
export const HERE = ["localhost", "127.0.0.1", "[::1]"].includes(location.hostname);   // whether the server is on this computer

/** Make an element: `el("button", {class: "x", onclick: f}, "text", child)`. */
export function el(name, properties = {}, ...children) {
  const node = document.createElement(name);
  for (const [key, value] of Object.entries(properties)) {
    if (value === null || value === undefined || value === false) continue;
    if (key.startsWith("on")) node.addEventListener(key.slice(2), value);
    else node.setAttribute(key, value === true ? "" : value);
  }
  node.append(...children.filter((child) => child !== null && child !== undefined));
  return node;
}

export function icon(name) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("aria-hidden", "true");
  const use = document.createElementNS(svg.namespaceURI, "use");
  use.setAttribute("href", `#i-${name}`);
  svg.append(use);
  return svg;
}

/** Return the nodes of a text in which commands stand between backticks. */
export const prose = (text) => text.split("`").map((part, at) => (at % 2 ? el("code", {}, part) : part));

// A browser that refuses storage remembers nothing.
const remembering = (storage) => ({
  get(key, otherwise) {
    try {
      return JSON.parse(storage().getItem(`vivace.${key}`)) ?? otherwise;
    } catch {
      return otherwise;
    }
  },
  set(key, value) {
    try {
      storage().setItem(`vivace.${key}`, JSON.stringify(value));
    } catch (error) {
      console.info("vivace: this browser does not remember settings:", error.message);
    }
  },
});

/** What the page remembers on this machine. */
export const memory = remembering(() => localStorage);
/** What it remembers as long as its tab is there. */
export const tabMemory = remembering(() => sessionStorage);

/** Show a short message over the picture. Bad ones stay longer. */
export function toast(text, { bad = false, link = null, seconds = bad ? 8 : 4 } = {}) {
  const node = el("div", { class: bad ? "toast bad" : "toast" }, el("span", {}, ...prose(text)), link);
  $("toasts").append(node);
  while ($("toasts").children.length > 3) $("toasts").firstChild.remove();
  setTimeout(() => node.remove(), seconds * 1000);
  return node;
}

/**
 * One Tab stop for all buttons of a group, among which the arrow keys, Home and End move; `moved` is told where to. Returns
 * what makes a button the stop (the first one where none is given); it is called again when the buttons have changed.
 */
export function roving(group, moved = () => {}) {
  const stop = (button) => {
    const all = [...group.querySelectorAll("button")];
    for (const other of all) other.tabIndex = other === (button ?? all[0]) ? 0 : -1;
  };
  group.addEventListener("focusin", ({ target }) => target.matches("button") && stop(target));
  group.addEventListener("keydown", (event) => {
    const all = [...group.querySelectorAll("button")];
    const at = all.indexOf(document.activeElement);
    const to = { ArrowRight: at + 1, ArrowDown: at + 1, ArrowLeft: at - 1, ArrowUp: at - 1, Home: 0, End: -1 }[event.key];
    if (to === undefined || at < 0) return;
    event.preventDefault();
    const next = all.at(to % all.length);
    next.focus();
    moved(next);
  });
  stop();
  return stop;
}

/** A radiogroup of buttons: arrow keys move and choose, as screen readers expect. */
export function radios(group, choose) {
  const select = (button) => {
    for (const other of group.querySelectorAll('[role="radio"]')) other.setAttribute("aria-checked", String(other === button));
    stop(button);
  };
  const stop = roving(group, (button) => choose(button, select));
  group.addEventListener("click", (event) => {
    const button = event.target.closest('[role="radio"]');
    if (button) choose(button, select);
  });
  return select;
}

/** Fill the screen with an element, or no longer; a phone that only lets a video do so shows the video. Rejects where none may. */
export async function fullScreen(element, video) {
  if (document.fullscreenElement ?? document.webkitFullscreenElement) return (document.exitFullscreen ?? document.webkitExitFullscreen).call(document);
  const request = element.requestFullscreen ?? element.webkitRequestFullscreen;
  return request ? request.call(element) : video.webkitEnterFullscreen?.();
}

/** Put a text on the clipboard, from an input that shows it; also on pages that are not secure. Resolves with whether. */
export async function copy(input) {
  input.select();
  try {
    await navigator.clipboard.writeText(input.value);
    return true;
  } catch {
    return document.execCommand("copy");
  }
}

/** Download a blob or an address under a name. */
export function download(source, name) {
  const url = typeof source === "string" ? source : URL.createObjectURL(source);
  el("a", { href: url, download: name }).click();
  if (typeof source !== "string") setTimeout(() => URL.revokeObjectURL(url), 60_000);
}

/** A name for a file made now: `vivace-2031-05-04-12-30-09`. */
export function stampedName() {
  return `vivace-${new Date().toISOString().slice(0, 19).replace(/[T:]/g, "-")}`;
}

export const delay = (ms) => new Promise((then) => setTimeout(then, ms));

/** Call `f` at most every `ms`, and once more at the end, with the newest arguments. */
export function throttle(ms, f) {
  let timer = 0;
  let newest = null;
  let last = -Infinity;
  return (...given) => {
    newest = given;
    if (timer) return;
    const call = () => {
      timer = 0;
      last = performance.now();
      f(...newest);
    };
    const waitMs = last + ms - performance.now();
    if (waitMs > 0) timer = setTimeout(call, waitMs);
    else call();   // a timer would wait for whatever the page is at
  };
}

/** Paint the filled part of a range input. */
export function fill(range) {
  const share = (range.value - range.min) / (range.max - range.min);
  range.style.setProperty("--fill", `calc(7px + ${share} * (100% - 14px))`);
}
