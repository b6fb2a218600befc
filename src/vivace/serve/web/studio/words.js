/** Which of the page's texts goes with a state, a problem or an end, and what may be done about it. */
import { T } from "./language.js";

const RETRY = ["retry", "retry"];   // `[text, what it does]`
const AGAIN = ["again", "retry"];
const PICK = ["pick", "pick"];

// By the code of a VivaceError: the text's name, and what is offered.
const CAMERA = { NotAllowedError: "cameraBlocked", NotFoundError: "noCamera", OverconstrainedError: "noCamera", NotReadableError: "cameraBusy", AbortError: "cameraBusy" };
const TOKEN_PROBLEMS = { no_token: "noToken", bad_token: "badToken", expired_token: "expiredToken", scope: "viewToken" };
const PROBLEMS = {
  ...Object.fromEntries(Object.entries(CAMERA).map(([name, text]) => [`camera_${name}`, [text, RETRY, PICK]])),
  insecure: ["insecure", PICK],
  screen_NotAllowedError: ["nothingShared", RETRY, PICK],
  no_screen: ["noScreen", PICK],
  file_unreadable: ["fileUnreadable", PICK],
  picture_unreadable: ["pictureUnreadable", PICK],
  camera_ended: ["cameraEnded", RETRY, PICK],
  screen_ended: ["screenEnded", RETRY, PICK],
  file_ended: ["fileEnded", RETRY, PICK],
  unknown_prompt: ["unknownPrompt", RETRY, PICK],
  policy: ["policy", RETRY, PICK],
  full: ["full", RETRY], memory: ["full", RETRY], queue_full: ["full", RETRY],
  too_many_sessions: ["tooManySessions", RETRY],
  unknown_model: ["noModel", RETRY], model_broken: ["noModel", RETRY], unavailable: ["noModel", RETRY],
  ...Object.fromEntries(Object.entries(TOKEN_PROBLEMS).map(([code, text]) => [code, [text]])),
  draining: ["draining", RETRY],
  unreachable: ["unreachable", RETRY],
};

/** Return `{title, text, actions: [[label, name]…], token?}` for a problem. */
export function problemWords(error) {
  const { code, retryAfterS = null } = error;
  const [name, ...actions] = PROBLEMS[code] ?? ["other", RETRY, PICK];
  return card(T.problems[name]({ said: said(error), retryAfterS }), actions, { token: code in TOKEN_PROBLEMS });
}

/** The same for the end of a session, by the reason the server gives. */
export function endedWords(reason, message = "") {
  const text = T.ended[reason];
  if (!text) return problemWords({ code: reason, message });
  const anew = reason === "replaced" ? [["anew", "retry"]] : [AGAIN];
  return card(text({ said: said({ code: reason, message }) }), reason === "client" ? [AGAIN, PICK] : anew);
}

/** A card of a title, a text and what may be done: `[name of its label, what it does]`. */
export function card([title, text], actions = [], more = {}) {
  return { title, text: text.trim().replace(/ {2,}/g, " "), actions: actions.map(([label, name]) => [T.actions[label], name]), ...more };
}

const COLOURLESS = new Set(["background", "sky", "person", "face", "hair", "clothes", "hands", "eyes", "lips", "subject", "object"]);

const listed = (names) => names.reduce((said, name, at) => said + (at === names.length - 1 ? T.understood.and : ", ") + name);
const placeWords = (name) => (COLOURLESS.has(name) ? T.understood.place : T.understood.coloured)(T.besidePrompt.place[name]);

/** Places, by the names of the control `place`, as one enumeration. */
export const placesWords = (names) => listed(names.map(placeWords));

/** The edits that a prompt was taken to ask for, `[{action, what, on, keep, amount}…]`, as a sentence; `lookTitle(name)` is what a look is called. */
export function understoodWords(edits, lookTitle) {
  const { understood, besidePrompt } = T;
  const colour = (name) => {
    const [shade, plain] = name.includes(" ") ? name.split(" ") : [null, name];
    const title = besidePrompt.place[plain] ?? understood.instead[plain] ?? plain.replaceAll("_", " ");
    return shade ? understood.shades[shade](title) : title;
  };
  const said = edits.map(({ action, what, on, keep, amount }) => {
    const named = what.length ? listed(what.map(action === "look" ? (name) => lookTitle(name).replaceAll("_", " ") : colour)) : "";
    const where = on.length ? placesWords(on) : understood.everywhere;
    const kept = keep.length ? understood.keep(placesWords(keep)) : "";
    return understood.actions[action](named, where) + understood.amounts[amount] + kept;
  });
  const clears = ({ action, what, on }) => (action === "remove" && on.includes("background")) || what.includes("transparent");
  const notes = {
    transparent: edits.some(clears),
    gone: edits.some((edit) => edit.action === "remove" && !clears(edit)),
    picture: edits.some(({ what }) => what.includes("picture")),
  };
  return [`${said.join("; ")}.`, ...Object.keys(notes).filter((name) => notes[name]).map((name) => understood.notes[name])].join(" ");
}

const ENOUGH = 0.9;   // of the pictures that come: nobody sees that the rest is missing

/** What limits quality now, of a message `stats`. `here`: the server is on this computer; `lessDetail`: there is less to be had. */
export function limitWords(stats, { here, lessDetail }) {
  const [fpsIn, fpsOut, rttMs, kbps] = [stats.fps_in, stats.fps_out, stats.rtt_ms, stats.bitrate_kbps].map((value) => Math.round(value ?? 0));
  switch (stats.limit) {
    case "device":
      if (fpsOut < ENOUGH * fpsIn) return T.live.tooSlow({ here, fpsIn, fpsOut, lessDetail });
      return stats.effort < 1 ? T.live.lessWork({ here, effort: stats.effort }) : T.live.nothing;
    case "camera":
      return T.live.fewFrames({ fpsIn });
    case "network":
      return T.live.network({ kbps, loss: stats.loss ?? 0, rttMs });
    default:
      return T.live.nothing;
  }
}

/** What a server or `vivace.js` says, `{code, message, reason}`, as a sentence: in the page's language where it has one for the code. */
export function said({ code, message = "", reason = "" }) {
  return (code === "policy" ? T.policy[reason] : T.said[code]) ?? sentence(message);
}

/** A message of the server as a sentence. */
export function sentence(text) {
  const trimmed = text.trim();
  if (!trimmed) return "";
  const begun = trimmed[0].toUpperCase() + trimmed.slice(1);
  return /[.!?…]$/.test(begun) ? begun : `${begun}.`;
}
