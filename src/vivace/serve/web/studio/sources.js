/** Where the picture comes from: camera, screen, file, or the scene this page draws. Each gives a MediaStream. */
import { VivaceError } from "../vivace.js";
import { drawScene, SCENE_FPS, SCENE_SIZE } from "./scene.js";

export const SOURCES = ["camera", "screen", "file", "scene"];

const CAMERA_WIDTH_PX = 1280;   // few cameras have a narrower mode that shows all they see
const MAX_SIDE_PX = 1280;   // of a file's or screen's picture; the output is smaller anyway

/** Open a source. Returns `{kind, stream, size: [w, h], deviceId?, selfie?, whenEnded(f), stop()}`; rejects with a VivaceError. */
export async function openSource(kind, { deviceId = null, file = null } = {}) {
  const open = { camera: () => openCamera(deviceId), screen: openScreen, file: () => openFile(file), scene: openScene }[kind];
  try {
    return { kind, ...(await open()) };
  } catch (error) {
    throw error instanceof VivaceError ? error : new VivaceError(`${kind}_${error.name}`, error.message);
  }
}

/** Cameras by name; names are empty until one was allowed. */
export async function listCameras() {
  if (!navigator.mediaDevices?.enumerateDevices) return [];
  return (await navigator.mediaDevices.enumerateDevices()).filter(({ kind }) => kind === "videoinput");
}

async function openCamera(deviceId) {
  if (!navigator.mediaDevices?.getUserMedia) throw new VivaceError("insecure", "This address is not secure, so the browser gives no camera.");
  // A width alone, and one of the camera's own modes: a height, too, would cut the picture of a camera of another shape.
  const video = { width: { ideal: CAMERA_WIDTH_PX }, frameRate: { ideal: 30 }, resizeMode: "none" };
  if (deviceId) video.deviceId = { exact: deviceId };
  const stream = await navigator.mediaDevices.getUserMedia({ video, audio: false });
  // A phone says which way its cameras look; a computer's looks at who sits before it.
  const { facingMode = "user" } = stream.getVideoTracks()[0].getSettings();
  return { ...fromTrack(stream), selfie: facingMode === "user" };
}

async function openScreen() {
  if (!navigator.mediaDevices?.getDisplayMedia) throw new VivaceError("no_screen", "This browser cannot share a screen.");
  const stream = await navigator.mediaDevices.getDisplayMedia({
    video: { width: { max: MAX_SIDE_PX }, height: { max: MAX_SIDE_PX }, frameRate: { ideal: 30 } }, audio: false,
  });
  return fromTrack(stream);
}

function fromTrack(stream) {
  const [track] = stream.getVideoTracks();
  const { width = 640, height = 360, deviceId } = track.getSettings();
  return {
    stream, size: [width, height], deviceId,
    whenEnded: (listener) => track.addEventListener("ended", listener),
    stop: () => track.stop(),
  };
}

async function openFile(file) {
  const video = document.createElement("video");
  const url = URL.createObjectURL(file);
  Object.assign(video, { src: url, muted: true, loop: true, playsInline: true });
  await new Promise((resolve, reject) => {
    video.onloadeddata = resolve;
    video.onerror = () => reject(new VivaceError("file_unreadable", `This browser cannot play ${file.name}.`));
  });
  await video.play();
  const scale = Math.min(1, MAX_SIDE_PX / Math.max(video.videoWidth, video.videoHeight));
  const size = [video.videoWidth, video.videoHeight].map((side) => 2 * Math.round((side * scale) / 2));
  const source = fromDrawing(size, (ctx) => ctx.drawImage(video, 0, 0, ...size));
  return { ...source, stop: () => { source.stop(); video.pause(); video.removeAttribute("src"); URL.revokeObjectURL(url); } };
}

function openScene() {
  const beginMs = performance.now();
  return fromDrawing(SCENE_SIZE, (ctx) => drawScene(ctx, (performance.now() - beginMs) / 1000));
}

function fromDrawing(size, draw) {
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = size;
  const ctx = canvas.getContext("2d", { alpha: false });
  draw(ctx);
  // A timer and not animation frames: it goes on, if slowly, when the tab is hidden.
  const timer = setInterval(() => draw(ctx), 1000 / SCENE_FPS);
  const stream = canvas.captureStream(SCENE_FPS);
  return { stream, size, whenEnded: () => {}, stop: () => { clearInterval(timer); stream.getTracks().forEach((track) => track.stop()); } };
}
