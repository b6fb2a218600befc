/** What a tab keeps for itself: its token, and what a page that is loaded again goes on with. */
import { tabMemory } from "./dom.js";

const TOKEN = "vivace.token";

/** Return the tab's token, or null. One may come in the address after "#", which no server sees or logs; it is kept for this tab only. */
export function takeToken() {
  const given = new URLSearchParams(location.hash.slice(1)).get("token");
  if (given) {
    keepToken(given);
    history.replaceState(null, "", location.pathname);
  }
  return sessionStorage.getItem(TOKEN);
}

export function keepToken(token) {
  sessionStorage.setItem(TOKEN, token);
}

/** Keep what `leftBehind` gives to the page if it is loaded again; null for nothing. */
export function leaveBehind(left) {
  tabMemory.set("left", left);
}

/** Return what a page that was loaded again has left for itself, or null. A tab that is opened again later, or doubled, turns on no camera. */
export function leftBehind() {
  const left = tabMemory.get("left", null);
  leaveBehind(null);
  return performance.getEntriesByType("navigation")[0]?.type === "reload" ? left : null;
}
