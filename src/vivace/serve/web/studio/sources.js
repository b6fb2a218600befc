/** Where the picture comes from: camera, screen, file, or the scene this page draws. Each gives a MediaStream. */
import { VivaceError } from "../vivace.js";
import { toast } from "./dom.js";
import { readPicture } from "./picture.js";
import { drawScene, SCENE_FPS, SCENE_SIZE } from "./scene.js";
import { T } from "./language.js";

export const SOURCES = ["camera", "screen", "file", "scene"];

const CAMERA_WIDTH_PX = 1280;   // few cameras have a narrower mode that shows all they see
const MAX_SIDE_PX = 1280;   // of a file's or screen's picture; the output is smaller anyway

/**
 * Open a source. A camera is the one of `deviceId`, or one that looks where `facing` says ("user", "environment"); a
 * `file` is a video or a photograph.
 *
 * Returns `{kind, stream, size: [w, h], deviceId?, facing?, selfie?, video?, whenEnded(f), stop()}`, `video` being the
 * <video> that plays a file; rejects with a VivaceError.
 */
export async function openSource(kind, wishes = {}) {
  const open = { camera: openCamera, screen: openScreen, file: openFile, scene: openScene }[kind];
  try {
    return { kind, ...(await open(wishes)) };
  } catch (error) {
    throw error instanceof VivaceError ? error : new VivaceError(`${kind}_${error.name}`, error.message);
  }
}

/** Cameras by name; names are empty until one was allowed. */
export async function listCameras() {
  if (!navigator.mediaDevices?.enumerateDevices) return [];
  return (await navigator.mediaDevices.enumerateDevices()).filter(({ kind }) => kind === "videoinput");
}

/** The code of the problem that a source has ended by itself. */
export async function whyEnded({ kind }) {
  return kind === "camera" && (await cameraPermission()) === "denied" ? "camera_NotAllowedError" : `${kind}_ended`;
}

/** Tell whether a source is opened without a question to whoever sits before the page. */
export async function opensUnasked(kind) {
  return kind === "camera" ? (await cameraPermission()) === "granted" : kind !== "screen";
}

// Not every browser tells of it.
async function cameraPermission() {
  return (await navigator.permissions.query({ name: "camera" }).catch(() => ({}))).state;
}

// Pictures go on without it: a computer without a microphone is none the worse for that.
async function microphone() {
  try {
    return (await navigator.mediaDevices.getUserMedia({ audio: true })).getAudioTracks();
  } catch (error) {
    console.info("vivace: no microphone:", error.message);
    toast(T.toasts.noMicrophone, { bad: true });
    return [];
  }
}

async function openCamera({ deviceId, facing, sound }) {
  if (!navigator.mediaDevices?.getUserMedia) throw new VivaceError("insecure", "This address is not secure, so the browser gives no camera.");
  // A width alone, and one of the camera's own modes: a height, too, would cut the picture of a camera of another shape.
  const video = { width: { ideal: CAMERA_WIDTH_PX }, frameRate: { ideal: 30 }, resizeMode: "none" };
  if (deviceId) video.deviceId = { exact: deviceId };
  if (facing) video.facingMode = { exact: facing };
  const stream = await navigator.mediaDevices.getUserMedia({ video, audio: false });
  if (sound) for (const track of await microphone()) stream.addTrack(track);
  // A phone says which way its cameras look; a computer's looks at who sits before it.
  const { facingMode } = stream.getVideoTracks()[0].getSettings();
  return { ...fromTrack(stream), facing: facingMode, selfie: (facingMode ?? "user") === "user" };
}

async function openScreen({ sound }) {
  if (!navigator.mediaDevices?.getDisplayMedia) throw new VivaceError("no_screen", "This browser cannot share a screen.");
  const stream = await navigator.mediaDevices.getDisplayMedia({
    video: { width: { max: MAX_SIDE_PX }, height: { max: MAX_SIDE_PX }, frameRate: { ideal: 30 } }, audio: Boolean(sound),
  });
  return fromTrack(stream);
}

function fromTrack(stream) {
  const [track] = stream.getVideoTracks();
  const { width = 640, height = 360, deviceId } = track.getSettings();
  return {
    stream, size: [width, height], deviceId, mayBeHeard: true,
    whenEnded: (listener) => track.addEventListener("ended", listener),
    stop: () => stream.getTracks().forEach((each) => each.stop()),
  };
}

const openFile = ({ file, sound }) => (file.type.startsWith("image/") ? openPhotograph(file) : openVideo(file, sound));

async function openPhotograph(file) {
  const picture = await readPicture(file, MAX_SIDE_PX).catch(({ message }) => {
    throw new VivaceError("picture_unreadable", message);
  });
  const size = evenSize(picture);
  return fromDrawing(size, (ctx) => ctx.drawImage(picture, 0, 0, ...size));
}

async function openVideo(file, sound) {
  const video = document.createElement("video");
  const url = URL.createObjectURL(file);
  const free = () => {
    video.pause();
    video.removeAttribute("src");
    URL.revokeObjectURL(url);
  };
  Object.assign(video, { src: url, muted: true, playsInline: true });
  try {
    await new Promise((resolve, reject) => {
      video.onloadeddata = resolve;
      video.onerror = reject;
    });
    if (!video.videoWidth) throw new Error("sound alone");
    await video.play();
  } catch {
    free();
    throw new VivaceError("file_unreadable", T.noSuchVideo(file.name));
  }
  video.onerror = null;
  const size = evenSize({ width: video.videoWidth, height: video.videoHeight });
  const source = fromDrawing(size, (ctx) => ctx.drawImage(video, 0, 0, ...size));
  const ears = sound ? hear(video, source.stream) : null;
  return {
    ...source, video, mayBeHeard: true,
    whenEnded: (listener) => video.addEventListener("error", listener),
    stop: () => { ears?.close(); source.stop(); free(); },
  };
}

// Its sound goes into the stream, and is not heard here.
function hear(video, stream) {
  const context = new AudioContext();
  const out = context.createMediaStreamDestination();
  context.createMediaElementSource(video).connect(out);
  video.muted = false;
  stream.addTrack(out.stream.getAudioTracks()[0]);
  return context;
}

// Codecs of video want even sides.
function evenSize({ width, height }) {
  const scale = Math.min(1, MAX_SIDE_PX / Math.max(width, height));
  return [width, height].map((side) => Math.max(2, 2 * Math.round((side * scale) / 2)));
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
