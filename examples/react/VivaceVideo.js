/**
 * A React component: a stream in, the painted picture out, a prompt that may change with every render.
 *
 *   <VivaceVideo connect={connect} server="http://127.0.0.1:8787" stream={stream} prompt="ink" onState={setState} />
 *
 * `connect` is that of the server's own `vivace.js`: const { connect } = await import(`${server}/vivace.js`).
 * Written without JSX, so that it runs in a page as it is, and in any build.
 */
import { createElement, useEffect, useRef, useState } from "react";

export function VivaceVideo({ connect, server = "", token = null, stream, prompt, onState = () => {}, ...video }) {
  const screen = useRef(null);
  const [session, setSession] = useState(null);
  const heard = useRef(onState);
  heard.current = onState;

  // One session for each server and stream; React's strict mode opens and ends one more, which costs nothing.
  useEffect(() => {
    let mine = null;
    let over = false;
    connect({ server, token, controls: { prompt } }).then((opened) => {
      mine = opened;
      if (over) return mine.end();
      mine.addEventListener("state", ({ detail }) => heard.current(detail));
      mine.publish(stream);
      mine.play(screen.current);
      return setSession(mine);
    }).catch((error) => over || heard.current({ state: "ended", code: error.code, message: error.message }));
    return () => {
      over = true;
      setSession(null);
      mine?.end();
    };
    // eslint-disable-next-line react-hooks/exhaustive-deps  (a new prompt is an update, not a session)
  }, [connect, server, token, stream]);

  useEffect(() => {
    session?.update({ prompt }).catch((error) => heard.current({ state: "refused", code: error.code, message: error.message, matches: error.matches }));
  }, [session, prompt]);

  return createElement("video", { autoPlay: true, muted: true, playsInline: true, ...video, ref: screen });
}
