/** What the page says in each state and for each problem: what happened, and what to do. */

/** Return `{title, text, figure?, actions: [[label, name]…], token?}` for a problem's code. */
export function problemWords(error) {
  const text = error.message ?? "";
  switch (error.code) {
    case "camera_NotAllowedError":
      return { title: "The camera is blocked", text: "Click the camera symbol in the browser's address bar, choose Allow, then try again. Or use another source.", actions: [RETRY, SCENE] };
    case "camera_NotFoundError":
    case "camera_OverconstrainedError":
      return { title: "No camera found", text: "Plug one in and try again. Or share a screen, play a file, or use the scene.", actions: [RETRY, SCENE] };
    case "camera_NotReadableError":
    case "camera_AbortError":
      return { title: "The camera is in use", text: "Another program holds it, perhaps a video call. Close that program and try again.", actions: [RETRY, SCENE] };
    case "insecure":
      return { title: "No camera at this address", text: "Browsers give cameras to secure pages only. Open the studio at http://localhost on this machine, or serve it over https.", actions: [SCENE] };
    case "screen_NotAllowedError":
      return { title: "Nothing was shared", text: "Choose a screen, window or tab in the browser's dialog. If no dialog came, allow screen recording in the system's settings.", actions: [RETRY, SCENE] };
    case "no_screen":
      return { title: "No screen sharing here", text: "This browser cannot share a screen; phones mostly cannot. Use the camera, a file or the scene.", actions: [SCENE] };
    case "file_unreadable":
      return { title: "This file cannot be played", text: `${text} Try an MP4 (H.264) or WebM file.`, actions: [PICK] };
    case "full":
    case "memory":
    case "queue_full":
      return { title: "The server is full", text: retryText(error) + " Every place is taken, and so is the queue.", actions: [RETRY] };
    case "too_many_sessions":
      return { title: "Too many sessions", text: `${text} Close another tab of the studio, then try again.`, actions: [RETRY] };
    case "unknown_model":
    case "model_broken":
    case "unavailable":
      return { title: "The model is not installed", text: `${text} Choose another model under Model, or install it on the server.`, actions: [RETRY] };
    case "no_token":
    case "bad_token":
    case "scope":
      return { title: "This server asks for a token", text: "Its operator makes one with `vivace serve token --scope publish`.", actions: [], token: true };
    case "draining":
      return { title: "The server is shutting down", text: "It takes no new sessions. This page connects as soon as it is back.", actions: [RETRY] };
    case "unreachable":
      return { title: "The server does not answer", text: "Start it with `vivace serve`. This page connects as soon as it is there.", actions: [RETRY] };
    default:
      return { title: "That did not work", text: text || "Something unexpected happened.", actions: [RETRY, PICK] };
  }
}

const RETRY = ["Try again", "retry"];
const SCENE = ["Use the scene", "scene"];
const PICK = ["Choose a source", "pick"];

function retryText({ retryAfterS }) {
  return retryAfterS ? `A place may be free in about ${Math.ceil(retryAfterS)} s; this page tries again then.` : "Try again in a moment.";
}

/** Why a session ended, by the reason the server gives. */
export function endedWords(reason, message) {
  const again = ["Start again", "retry"];
  const told = message ? ` ${sentence(message)}` : "";
  switch (reason) {
    case "client":
      return { title: "Session ended", text: "The place is free for someone else.", actions: [again, PICK] };
    case "idle":
      return { title: "Ended: no picture came", text: `No new picture has come for a while, so the place was given back.${told}`, actions: [again] };
    case "absent":
      return { title: "Ended: connection lost", text: `The server has not heard from this page in time.${told}`, actions: [again] };
    case "drain":
      return { title: "The server is shutting down", text: `It was stopped or is being updated.${told} This page connects as soon as it is back.`, actions: [again] };
    case "replaced":
      return { title: "Opened elsewhere", text: `This session goes on in another tab or window.${told}`, actions: [["Start a new one", "retry"]] };
    case "limit":
      return { title: "Ended: a limit was reached", text: told.trim() || "The session has used what it may use.", actions: [again] };
    case "admin":
      return { title: "Ended by the operator", text: told.trim(), actions: [again] };
    case "failed":
      return { title: "The model has failed", text: `${told.trim()} Other sessions are not affected.`, actions: [again] };
    default:
      return problemWords({ code: reason, message });
  }
}

export const ordinal = (n) => (n === 1 ? "You are next" : `You are number ${n} in the queue`);

/** A message of the server as a sentence. */
export function sentence(text) {
  const trimmed = text.trim();
  if (!trimmed) return "";
  const begun = trimmed[0].toUpperCase() + trimmed.slice(1);
  return /[.!?…]$/.test(begun) ? begun : `${begun}.`;
}
