"""A server in a separate process and a real browser whose camera is a clip, for the tests of the studio."""

from __future__ import annotations

import base64
import io
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.error import URLError

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from e2e.browsers import CHROMIUM
from patience import PATIENCE_S
from vivace.worlds import make_scene

CAMERA_SIZE = (320, 180)
CAMERA_FPS = 20
CAMERA_FRAMES = 40
POLL_MS = 50

Colour = NDArray[np.float64]
"""Mean red, green and blue of a part of a picture, 0 to 255."""

FLAGS = (
    "--no-sandbox",
    "--use-fake-ui-for-media-stream",
    "--use-fake-device-for-media-stream",
    "--disable-background-timer-throttling",
    "--disable-backgrounding-occluded-windows",
    "--disable-renderer-backgrounding",
    "--disable-dev-shm-usage",
)

PROBE = """
// Mean colour of a part of a video as it is on the page: [left, top, right, bottom] as shares.
window.colourOf = (id, [left, top, right, bottom]) => {
  const video = document.getElementById(id);
  if (!video.videoWidth) return null;
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [64, 36];
  const ctx = canvas.getContext("2d", { willReadFrequently: true });
  ctx.drawImage(video, 0, 0, 64, 36);
  const box = [64 * left, 36 * top, 64 * (right - left), 36 * (bottom - top)].map(Math.round);
  const { data } = ctx.getImageData(...box);
  const sum = [0, 0, 0];
  for (let i = 0; i < data.length; i += 4) for (let c = 0; c < 3; c += 1) sum[c] += data[i + c];
  return sum.map((value) => (4 * value) / data.length);
};
"""

DROP = """([id, name, type, data]) => {
  const dropped = new DataTransfer();
  dropped.items.add(new File([Uint8Array.from(atob(data), (char) => char.charCodeAt(0))], name, { type }));
  for (const event of ["dragenter", "dragover", "drop"]) {
    document.getElementById(id).dispatchEvent(
      new DragEvent(event, { dataTransfer: dropped, bubbles: true, cancelable: true }));
  }
}"""

PHONE: dict[str, Any] = {"viewport": {"width": 390, "height": 664}, "is_mobile": True, "has_touch": True}
"""Upright phone, as a browser emulates it, without the bar of its screen."""

BLUEPRINT = "white lines on a blueprint"
EVERYWHERE = (0.0, 0.0, 1.0, 1.0)


def write_camera_clip(path: Path, size: tuple[int, int] = CAMERA_SIZE) -> None:
    """Write the video of the browser's camera: a meadow, panned slowly to and fro, as raw video that Chromium loops."""
    scene = make_scene("pan", size)
    half = [scene.render(1.0 + index / 100) for index in range(CAMERA_FRAMES // 2)]
    width, height = size
    with path.open("wb") as file:
        file.write(f"YUV4MPEG2 W{width} H{height} F{CAMERA_FPS}:1 Ip A1:1 C420jpeg\n".encode())
        for rgb in [*half, *reversed(half)]:
            file.write(b"FRAME\n" + _yuv420(rgb))


def _yuv420(rgb: NDArray[np.uint8]) -> bytes:
    red, green, blue = np.moveaxis(rgb.astype(np.float32), -1, 0)
    luma = 0.299 * red + 0.587 * green + 0.114 * blue
    planes = [luma]
    for colour, scale in ((blue, 0.564), (red, 0.713)):
        full = 128 + scale * (colour - luma)
        planes.append(full.reshape(full.shape[0] // 2, 2, full.shape[1] // 2, 2).mean(axis=(1, 3)))
    return b"".join(np.clip(plane + 0.5, 0, 255).astype(np.uint8).tobytes() for plane in planes)


def png(rgb: NDArray[np.uint8]) -> bytes:
    """Return a picture, `[h w 3]` or `[h w]`, as a PNG file."""
    file = io.BytesIO()
    Image.fromarray(rgb).save(file, "PNG")
    return file.getvalue()


def plain(rgb: tuple[int, int, int], size: tuple[int, int] = (64, 48)) -> bytes:
    """Return a picture of one colour as a PNG file."""
    return png(np.full((size[1], size[0], 3), rgb, np.uint8))


@contextmanager
def browser_with_camera(folder: Path, size: tuple[int, int] = CAMERA_SIZE, flags: Sequence[str] = ()) -> Iterator[Any]:
    """Yield a browser whose camera is a clip of this size; `flags` are added to its usual command line."""
    from playwright.sync_api import sync_playwright

    clip = folder / "meadow.y4m"
    write_camera_clip(clip, size)
    every = [*FLAGS, f"--use-file-for-fake-video-capture={clip}", *flags]
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, headless=True, args=every)
        yield chromium
        chromium.close()


@dataclass
class Serving:
    """`vivace serve` in a separate process, always on the same port."""

    folder: Path
    slots: int
    port: int = 0
    program: str = ""
    """Program of the tests that takes a port and serves something else."""
    environ: dict[str, str] = field(default_factory=dict)
    """Additional environment variables."""
    _process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    @property
    def url(self) -> str:
        """URL of the studio."""
        return f"http://127.0.0.1:{self.port}/"

    def start(self) -> None:
        """Start it; `wait` returns once it accepts sessions."""
        if not self.port:
            with socket.create_server(("127.0.0.1", 0)) as free:
                self.port = free.getsockname()[1]
        recordings = self.folder / "recordings"
        flags = ["--port", str(self.port), "--slots", str(self.slots), "--recordings", str(recordings)]
        command = [self.program, str(self.port)] if self.program else ["-m", "vivace", "serve", *flags]
        environ = os.environ | {"VIVACE_SERVE_DRAIN_S": "1", "VIVACE_SERVE_DYNAMIC_SIZE": "none"} | self.environ
        with (self.folder / "server.log").open("ab") as log:
            self._process = subprocess.Popen([sys.executable, *command], stdout=log, stderr=log, env=environ)

    def wait(self) -> None:
        """Wait until it accepts sessions."""
        deadline_s = time.monotonic() + PATIENCE_S
        while not self._ready():
            if self._process is None or self._process.poll() is not None or time.monotonic() > deadline_s:
                raise AssertionError(f"the server did not start:\n{self.log()}")
            time.sleep(0.1)

    def stop(self, how: signal.Signals = signal.SIGTERM) -> None:
        """Send a signal and wait for the end; does nothing if it does not run."""
        if self._process is not None:
            self._process.send_signal(how)
            self._process.wait(PATIENCE_S)
            self._process = None

    def log(self) -> str:
        """Return its log."""
        return (self.folder / "server.log").read_text()

    def _ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}readyz", timeout=2) as answer:
                return bool(answer.status == 200)
        except (URLError, ConnectionError, TimeoutError):
            return False


class Studio:
    """The page in its own browser window."""

    def __init__(self, browser: Any, url: str, *, people_know: bool = True, **device: Any) -> None:
        self.context = browser.new_context(**{"viewport": {"width": 1100, "height": 720}, **device})
        self.context.add_init_script(PROBE)
        if people_know:  # the browser refuses the question for an address that stores nothing, such as an empty page
            self.context.add_init_script("try { localStorage.setItem('vivace.people-know', 'true'); } catch {}")
        self.page = self.context.new_page()
        self.page.set_default_timeout(1000 * PATIENCE_S)
        self.errors: list[str] = []
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.url = url

    def open(self, prompt: str | None = None) -> Studio:
        """Open the page, with a prompt typed but nothing started."""
        self.page.goto(self.url)
        self.wait_state("idle")
        if prompt is not None:
            self.page.fill("#prompt", prompt)
        return self

    def start_camera(self) -> None:
        """Choose the camera, as a person would."""
        self.page.click("#tiles button:first-child")

    def wait_state(self, state: str, timeout_s: float = PATIENCE_S) -> None:
        """Wait until the page shows a state."""
        self.page.wait_for_selector(f'body[data-state="{state}"]', timeout=timeout_s * 1000)

    def paint(self, prompt: str) -> None:
        """Type a prompt and press Enter."""
        self.page.fill("#prompt", prompt)
        self.page.press("#prompt", "Enter")

    def wait_until(self, expression: str, timeout_s: float = PATIENCE_S) -> None:
        """Wait until an expression of the page is true. (Playwright's own way is forbidden by the page's policy.)"""
        deadline_s = time.monotonic() + timeout_s
        while not self.page.evaluate(expression):
            assert time.monotonic() < deadline_s, f"{expression} did not come true; output is {self.colour()}"
            self.page.wait_for_timeout(POLL_MS)

    def wait_colour(self, condition: str, box: tuple[float, ...] = EVERYWHERE) -> None:
        """Wait until the output's mean colour fulfils a condition on r, g and b."""
        self.wait_until(f"(() => {{ const [r, g, b] = colourOf('after', {list(box)}) ?? []; return {condition}; }})()")

    def wait_untouched(self, box: tuple[float, ...] = EVERYWHERE) -> None:
        """Wait until the output equals the source, except for coding and a moment's motion."""
        apart = "Math.max(...after.map((value, i) => Math.abs(value - before[i])))"
        colours = ", ".join(f"{name} = colourOf('{name}', {list(box)})" for name in ("before", "after"))
        self.wait_until(f"(() => {{ const {colours}; return before && after && {apart} < 12; }})()")

    def colour(self, which: str = "after", box: tuple[float, ...] = EVERYWHERE) -> Colour:
        """Return the mean colour of the source (`before`) or the output (`after`)."""
        return np.array(self.page.evaluate("([id, box]) => colourOf(id, box)", [which, list(box)]))

    def session_id(self) -> str:
        """Return the id of the page's session."""
        return str(self.page.evaluate("studio.session.info.id"))

    def press_tool(self, selector: str) -> None:
        """Press one of the tools on the picture, which appear once the mouse moves over it, and then stay."""
        self.page.evaluate("studio.stage.stillMs = 1e6")  # otherwise they would hide from a slow machine
        box = self.page.locator("#stage").bounding_box()
        assert box is not None
        self.page.mouse.move(box["x"] + 20, box["y"] + 20, steps=2)
        self.page.click(selector)

    def drop(self, name: str, data: bytes, kind: str = "image/png", on: str = "stage") -> None:
        """Drop a file on the element with an id."""
        self.page.evaluate(DROP, [on, name, kind, base64.b64encode(data).decode()])

    def wait_still(self) -> None:
        """Wait until the page has noticed that nothing moves over the picture, and all fading is done."""
        self.page.evaluate("studio.stage.stillMs = 200")
        self.page.dispatch_event("#stage", "pointermove")
        self.page.wait_for_selector(".stage.still")
        self.page.evaluate("Promise.allSettled(document.getAnimations().map(({ finished }) => finished))")

    def style(self, selector: str, name: str) -> str:
        """Return a style property of the first matching element."""
        return str(self.page.locator(selector).first.evaluate(f"(element) => getComputedStyle(element).{name}"))

    def close(self) -> None:
        """Close the tab like a person."""
        with self.page.expect_event("close"):
            self.page.close(run_before_unload=True)
        self.context.close()
