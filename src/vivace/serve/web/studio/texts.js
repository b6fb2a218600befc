/** Everything the page itself says. One more language is one more object with the same keys, in `TEXTS`. */

const percent = (share) => `${Math.round(share * 100)} %`;
const shortened = (text) => (text.length <= 60 ? text : `${text.slice(0, 59)}…`);

const EN = {
  // What stands on the page from the beginning, by the names in index.html.
  page: {
    meter: "Painted size, frames a second, delay",
    endSession: "End session",
    keyboardShortcuts: "Keyboard shortcuts",
    shortcutsTip: "Shortcuts  ?",
    picture: "Picture",
    theOriginal: "The original",
    theRepainted: "The repainted picture",
    brushCanvas: "Region brush. Arrow keys move it, hold Space to paint.",
    beforeAndAfter: "Before and after",
    pictureTools: "Picture tools",
    splitTip: "Before / after  S",
    mirror: "Mirror",
    mirrorTip: "Mirror  M",
    flip: "Other camera",
    flipTip: "Other camera  C",
    player: "Video file",
    position: "Position",
    loop: "Loop",
    pictureTitle: "What is this picture for?",
    paintIt: "Repaint it",
    cancel: "Cancel",
    regionBrush: "Region brush",
    brushTip: "Region brush  B",
    snapshot: "Snapshot",
    snapshotTip: "Snapshot  P",
    record: "Record",
    recordTip: "Record  R",
    fullScreen: "Full screen",
    fullScreenTip: "Full screen  F",
    prompt: "Prompt",
    promptPlaceholder: "How should it look?",
    promptHistory: "Prompt history",
    historyTip: "History  ↑",
    earlierPrompts: "Earlier prompts",
    presets: "Presets",
    settings: "Settings",
    videoFile: "Video or photo",
    anotherSeed: "Another seed",
    seedTip: "Another seed  X",
    brushPaints: "Brush paints",
    whereTheTimeGoes: "Where the time goes",
    whereInMs: "Where the time goes, in milliseconds",
    skipToThePrompt: "Skip to the prompt",
    end: "End",
    session: " session",
    before: "Before",
    after: "After",
    aiModified: "AI-modified",
    token: "Token",
    connect: "Connect",
    promptLabel: "Prompt: how the picture should look",
    paint: "Paint",
    source: "Source",
    camera: "Camera",
    look: "Look",
    strength: "Strength",
    detail: "Detail",
    crossfade: "Crossfade",
    seed: "Seed",
    region: "Region",
    promptHere: "Prompt here",
    keepOriginal: "Keep the original",
    brush: "Brush",
    invert: "Invert",
    clear: "Clear",
    brushHint: "Paint on the picture. Outside the region you see the original.",
    model: "Model",
    label: "AI label",
    place: "Place",
    topLeft: "Top left",
    topRight: "Top right",
    bottomLeft: "Bottom left",
    bottomRight: "Bottom right",
    showLabel: "Show “AI-modified” on the picture",
    live: "Live",
    delay: "Camera to screen",
    framesASecond: "Frames a second",
    promptDelay: "Prompt to screen",
    ofTheLastChange: "of the last change",
    dropped: "Dropped",
    shortcuts: "Shortcuts",
    close: "Close",
    unlabelTitle: "Show the picture without the label?",
    unlabelWhy: "People who see it cannot tell that it was changed by AI. In some places a label is required by law. It comes back when this page is opened again.",
    keepLabel: "Keep the label",
    removeLabel: "Remove it",
  },

  sources: {
    camera: { title: "Camera", hint: "a webcam or capture card" },
    screen: { title: "Screen", hint: "a screen, window or tab" },
    file: { title: "File", hint: "a video or a photo" },
    scene: { title: "Demo", hint: "needs no permission" },
  },
  sourceSize: ([width, height]) => `${width} × ${height} pixels.`,
  cameraNumber: (number) => `Camera ${number}`,

  // Beside the wordmark, and in the tab's title.
  status: {
    idle: "Ready", loading: "Loading", connecting: "Connecting", waiting: (position) => `Waiting, ${position === 1 ? "next" : `number ${position}`}`,
    live: "Live", reconnecting: "Reconnecting", ended: "Ended",
  },

  // Cards over the picture.
  cards: {
    pick: ["Pick something to repaint", "It is repainted live, as your prompt says."],
    goOn: ["Go on where you were", "This page was loaded again. Your prompt and settings are kept."],
    openingCamera: ["Opening the camera", "If the browser asks, allow it."],
    openingSource: ["Opening the source", ""],
    loading: ({ model, done, steps }) => [`Loading ${model}`, `The server has just started: ${done} of ${steps} steps are done.`],
    connecting: ["Connecting", ""],
    firstPicture: ["Waiting for the first picture", ""],
    reconnecting: "Reconnecting",   // and why
    waiting: ({ position, retryAfterS }) => [
      position === 1 ? "You are next" : `You are number ${position} in the queue`,
      `Every place is taken. Your stream starts by itself${retryAfterS ? `, in about ${duration(retryAfterS)}` : ""}.`,
    ],
  },
  actions: {
    retry: "Try again", again: "Start again", anew: "Start a new one", pick: "Choose a source",
    shareAgain: "Share again", fileAgain: "Choose the file again",
    stopWaiting: "Stop waiting", end: "End session",
  },

  // By the code of a VivaceError; `said` is its message.
  problems: {
    cameraBlocked: () => ["The camera is blocked", "Click the camera symbol in the browser's address bar, choose Allow, then try again. Or share a screen, play a file, or use the demo video."],
    noCamera: () => ["No camera found", "Plug one in and try again. Or share a screen, play a file, or use the demo video."],
    cameraBusy: () => ["The camera is in use", "Another program holds it, perhaps a video call. Close that program and try again."],
    insecure: () => ["No camera at this address", "Browsers give cameras to secure pages only. Open the studio at http://localhost on this machine, or serve it over https."],
    nothingShared: () => ["Nothing was shared", "Choose a screen, window or tab in the browser's dialog. If no dialog came, allow screen recording in the system's settings."],
    noScreen: () => ["No screen sharing here", "This browser cannot share a screen; phones mostly cannot. Use the camera, a file or the demo video."],
    fileUnreadable: ({ said }) => ["This file cannot be played", `${said} Try an MP4 (H.264) or WebM file.`],
    pictureUnreadable: ({ said }) => ["This picture cannot be read", `${said} Try a JPEG, PNG or WebP file.`],
    cameraEnded: () => ["The camera has gone", "It was unplugged, or another program took it. Plug it in again, or choose another source; your place and settings are kept."],
    screenEnded: () => ["Sharing was stopped", "Share again, or choose another source; your place and settings are kept."],
    fileEnded: () => ["The file breaks off", "The browser cannot play it any further."],
    unknownPrompt: () => ["This model has no such look", "Choose the closest, or write another prompt."],
    full: ({ retryAfterS }) => [
      "The server is full",
      `${retryAfterS ? `A place may be free in about ${duration(retryAfterS)}; this page tries again then.` : "Try again in a moment."} Every place is taken, and so is the queue.`,
    ],
    tooManySessions: ({ said }) => ["Too many sessions", `${said} Close another tab of the studio, then try again.`],
    noModel: ({ said }) => ["The model is not installed", `${said} Choose another model under Model, or install it on the server.`],
    noToken: () => ["This server asks for a token", "Its operator makes one with `vivace serve token --scope publish`."],
    draining: () => ["The server is shutting down", "It takes no new sessions. This page connects as soon as it is back."],
    unreachable: () => ["The server does not answer", "Start it with `vivace serve`. This page connects as soon as it is there."],
    other: ({ said }) => ["Something went wrong", said || "The page does not know what; the browser's console may."],
  },

  // By the reason the server gives.
  ended: {
    client: () => ["Session ended", "Your camera is off, and your place is free for the next person."],
    idle: ({ said }) => ["Ended: no picture came", `No new picture came for a while, so your place was given to someone else. ${said}`],
    absent: ({ said }) => ["Ended: connection lost", `The server has not heard from this page in time. ${said}`],
    drain: ({ said }) => ["The server is shutting down", `It was stopped or is being updated. ${said} This page connects as soon as it is back.`],
    replaced: ({ said }) => ["Opened elsewhere", `This session goes on in another tab or window. ${said}`],
    limit: ({ said }) => ["Ended: a limit was reached", said || "The session has used what it may use."],
    admin: ({ said }) => ["Ended by the operator", said],
    failed: ({ said }) => ["The model has failed", `${said} Other sessions are not affected.`],
  },

  prompt: {
    later: "Starts when your stream does.",
    none: "No prompt: you see the original.",
    original: "You see the original.",
    paintedInstead: (prompt) => `Painted instead: ${prompt}.`,
    paintingAs: (looks) => `Painting as ${looks.map(([title, share]) => (looks.length === 1 ? title : `${title} (${percent(share)})`)).join(" and ")}.`,
    refused: (prompt) => `This model has no look for “${shortened(prompt)}”.`,
    closest: "Closest:",   // buttons follow
    noHistory: "Prompts that you paint with are kept here, on this machine.",
    key: (number) => `(key ${number})`,
  },

  toasts: {
    renewed: "The server was restarted. This is a new session with the same settings.",
    resumed: "Connected again.",
    noFullscreen: "This browser does not allow full screen here.",
    noPicture: "There is no picture yet.",
    snapshot: "Snapshot saved.",
    nothingToRecord: "There is nothing to record yet.",
    recording: "Recording.",
    recorded: "Recorded.",
    download: "Download",
  },
  player: { play: "Play", pause: "Pause" },
  record: "Record",
  stopRecording: "Stop recording",

  label: { text: "AI-modified", on: "on", off: "off" },
  region: { everywhere: "everywhere", share: (share) => `${percent(share)} of the picture` },
  dividerAt: (share) => `${percent(share)} before`,

  details: ["Standard", "Fine", "Finest"],
  licence: ({ summary, licence }) => `${summary} Licence: ${licence}.`,
  reopens: "The session is opened anew.",
  remove: "Remove",
  removeNamed: (title) => `Remove ${title}`,
  dropPicture: "Choose or drop a picture",
  dropMask: "Choose or drop a mask",
  dropAnother: "Choose or drop another",
  goBy: (title) => `Use it as: ${title}`,
  noSuchVideo: (name) => `“${name}” has no picture that this browser can play.`,
  noSuchPicture: (name) => `“${name}” is no picture that this browser can read.`,
  pictureTooLarge: (name, title) => `“${name}” is too large for ${title}.`,

  live: {
    none: "Figures appear when a stream is live.",
    stages: {
      capture: "Capture", up: "Network up", receive: "Receive", wait: "Wait", prepare: "Prepare", denoise: "Denoise", refine: "Refine",
      encode: "Encode", down: "Network down", present: "Present",
    },
    where: (parts) => `Where the time goes: ${parts.map(([title, ms]) => `${title} ${ms} ms`).join(", ")}`,
    measured: (p95) => `p95 ${p95} ms, measured`,
    summed: "sum of the parts below",
    fps: (fps) => `${fps} fps`,
    fpsOut: " out",
    fpsWays: (fpsIn, shown) => `${fpsIn} in · ${shown} shown`,
    lostHere: "in this browser",
    noDrops: "none so far",
    tooSlow: ({ here, fpsIn, fpsOut, lessDetail }) => [
      `${here ? "This computer" : "The server"} is too slow for ${fpsIn} fps: showing ${fpsOut}.`,
      lessDetail ? `Try less detail${here ? ", or close other programs" : ""}.` : here ? "Close other programs." : "",
    ].join(" ").trim(),
    lessWork: ({ here, effort }) => `${here ? "This computer" : "The server"} keeps up by spending ${percent(effort)} of the full work on each picture.`,
  },

  keys: {
    prompt: "Write a prompt", presets: "Presets", history: "Prompt history", split: "Before and after", original: "Hold: see the original",
    mirror: "Mirror", flip: "The other camera", pause: "Pause or play the file", back: "Five seconds back in the file", forward: "Five seconds on in the file",
    brush: "Region brush", invert: "Invert the region", less: "Less strength, or a smaller brush",
    more: "More strength, or a larger brush", reseed: "Another seed", snapshot: "Snapshot", record: "Record", fullscreen: "Full screen",
    help: "This list", close: "Close what is open",
  },
};

function duration(s) {
  return s < 90 ? `${Math.ceil(s)} s` : `${Math.ceil(s / 60)} minutes`;
}

const TEXTS = { en: EN };
const language = navigator.languages.map((tag) => tag.split("-")[0]).find((name) => name in TEXTS) ?? "en";

/** The texts in the reader's language. */
export const T = TEXTS[language];

/** Write the texts of `page` where index.html names them: as content, and as attributes. */
export function writePage() {
  document.documentElement.lang = language;
  const attributes = { label: "aria-label", tip: "data-tip", title: "title", placeholder: "placeholder" };
  for (const node of document.querySelectorAll("[data-t]")) node.textContent = T.page[node.dataset.t];
  for (const [kind, attribute] of Object.entries(attributes)) {
    for (const node of document.querySelectorAll(`[data-t-${kind}]`)) node.setAttribute(attribute, T.page[node.getAttribute(`data-t-${kind}`)]);
  }
}
