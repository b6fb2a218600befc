/**
 * Vivace in a browser: a session with a server, as an ES module without dependencies.
 *
 *   import { connect } from "/vivace.js";
 *   const session = await connect({ controls: { prompt: "ink" } });
 *   session.publish(await navigator.mediaDevices.getUserMedia({ video: true, audio: true }));
 *   session.play(document.querySelector("video"));
 *   const ack = await session.update({ prompt: "watercolour" });   // ack.frame_index: the first frame made with it
 *
 * `watch` shows a session of somebody else's, `steer` steers one, each with a link's token.
 *
 * Documented in docs/studio.md. The messages are those of docs/schema/control-v1.json.
 */
import { Api } from "./api.js";
import { Session } from "./session.js";
import { Viewer } from "./viewer.js";

export { Api, VivaceError } from "./api.js";
export { Session } from "./session.js";
export { Viewer } from "./viewer.js";

/** Make a session and return it connected (or waiting for a slot). Rejects with a VivaceError. */
export async function connect({ server = "", token = null, model = null, controls = {}, codec = null } = {}) {
  const session = new Session(new Api({ server, token }), { model, controls, codec });
  await session.open();
  return session;
}

/** Steer a session of somebody else's, by its id and the token of its link to steer. What it shows is for `watch`. */
export async function steer(id, { server = "", token = null } = {}) {
  const session = new Session(new Api({ server, token }), { model: null, controls: {}, codec: null, guestOf: id });
  await session.open();
  return session;
}

/**
 * Watch a session, by its id and the token of its link. Returns a Viewer, which connects by itself, and connects again.
 * `forever`: it looks for the session even after it has ended or the link was withdrawn.
 */
export function watch(id, { server = "", token = null, forever = false } = {}) {
  return new Viewer(new Api({ server, token }), id, forever);
}
