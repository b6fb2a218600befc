"""Measure the time until a move of a surface is seen: `python tests/e2e/measure_surfaces.py [seconds [WxH [MODEL]]]`.

OSC: `vivace run --osc` as a program has it: a camera at 30 fps, a fader thrown from one end to the other over UDP,
until the first frame made with it is given to the output.

MIDI: the studio in a real Chromium with the embedded model behind it, a knob turned from one end to the other, until
the first visibly different picture is on the page: network, coding and display included.

Nothing here is asserted.
"""

from __future__ import annotations

import os
import random
import sys
import tempfile
import time
from collections.abc import Generator
from contextlib import closing
from fractions import Fraction
from itertools import count
from pathlib import Path
from threading import Event, Thread

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))
from pythonosc.udp_client import SimpleUDPClient

import vivace
from e2e.studio import Serving, browser_with_camera
from e2e.test_studio_surfaces import KNOB, Controlled
from vivace.media.frame import Frame
from vivace.media.size import parse_size
from vivace.media.source import Source, SourceInfo
from vivace.show.osc import LOCAL, OscReceiver, Target

SECONDS = 30.0
APART_S = (0.25, 0.6)
"""Range of the time between two moves, s, so that they fall anywhere between two frames."""

SEEN = """
() => {
  const video = document.getElementById("after");
  const canvas = Object.assign(document.createElement("canvas"), { width: 16, height: 9 });
  const ctx = canvas.getContext("2d", { willReadFrequently: true });
  let before = null, movedMs = 0;
  window.seenMs = [];
  const differ = (a, b) => a.reduce((sum, value, at) => sum + Math.abs(value - b[at]), 0) / a.length;
  const look = (nowMs) => {
    ctx.drawImage(video, 0, 0, 16, 9);
    const { data } = ctx.getImageData(0, 0, 16, 9);
    const pixels = [...data].filter((_, at) => at % 4 !== 3);
    if (movedMs && before && differ(before, pixels) > 8) {
      seenMs.push(nowMs - movedMs);
      movedMs = 0;
    }
    if (!movedMs || !before) before = pixels;
    video.requestVideoFrameCallback(look);
  };
  video.requestVideoFrameCallback(look);
  window.turn = (value) => {
    movedMs = performance.now();
    midiSend(0xb0, 21, value);
  };
}
"""


class Camera(Source):
    """Camera at 30 fps with pictures drawn beforehand: drawing takes none of the measured time."""

    FPS = 30

    def __init__(self, size: tuple[int, int]) -> None:
        super().__init__(SourceInfo("camera", size, fps=self.FPS, live=True))
        with vivace.open_source("scene:walkers?frames=60", size=size) as scene:
            self._pictures = [frame.rgb for frame in scene]

    def _read(self) -> Generator[Frame, None, None]:
        began_s = time.monotonic()
        for index in count():
            due_s = began_s + index / self.FPS
            self._stop.wait(max(0.0, due_s - time.monotonic()))
            rgb = self._pictures[index % len(self._pictures)]
            yield Frame(rgb, index, index, Fraction(1, self.FPS), time.monotonic())


def told(what: str, times_ms: list[float]) -> None:
    """Print percentiles."""
    if not times_ms:
        print(f"{what}: nothing was seen to change in time")
        return
    p50, p95 = np.percentile(times_ms, [50, 95])
    print(f"{what}: p50 {p50:.0f} ms, p95 {p95:.0f} ms, {len(times_ms)} moves")


def osc(seconds: float, size: tuple[int, int], model: str) -> None:
    """Measure OSC."""
    stream = vivace.Stream(model, prompt="blueprint", size=size, crossfade_s=0)
    receiver = OscReceiver(LOCAL, 0)
    client = SimpleUDPClient(LOCAL, receiver.port)
    moved_s: dict[int, float] = {}
    over = Event()

    def play() -> None:
        choose = random.Random(1)
        over.wait(3)  # efforts have settled
        for number in range(1, int(seconds / np.mean(APART_S))):
            if over.wait(choose.uniform(*APART_S)):
                return
            moved_s[number] = time.monotonic()
            client.send_message("/vivace/strength", float(number % 2))
        over.set()

    times_ms = []
    with stream:
        receiver.begin(lambda: [Target.of(stream)])
        player = Thread(target=play)
        seen = 0
        frames = stream.run(Camera(size), live=True)
        for frame in frames:
            now_s = time.monotonic()
            if not player.is_alive() and not over.is_set() and player.ident is None:
                player.start()
            for number in range(seen + 1, frame.control_index + 1):
                times_ms.append((now_s - moved_s[number]) * 1e3)
            seen = frame.control_index
            if over.is_set():
                break
        frames.close()
        over.set()
        player.join()
        fps = stream.stats().recent_fps
        receiver.close()
    told(f"OSC to the first frame made with it, {size[0]}x{size[1]} at {fps or 0:.1f} fps", times_ms)


def midi(seconds: float, size: tuple[int, int], model: str) -> None:
    """Measure MIDI, through the studio."""
    with tempfile.TemporaryDirectory() as place:
        environ = {"VIVACE_SERVE_SIZE": f"{size[0]}x{size[1]}", "VIVACE_SERVE_MODELS": model}
        server = Serving(Path(place), slots=1, environ=environ)
        server.start()
        try:
            server.wait()
            with (
                browser_with_camera(Path(place), (640, 360)) as browser,
                closing(Controlled(browser, server.url)) as page,
            ):
                page.live()
                page.page.evaluate("studio.start('scene')")  # 30 pictures a second, where the camera of tests has 20
                page.page.wait_for_timeout(2000)
                page.page.evaluate("document.getElementById('crossfade').value = 0")
                page.paint("white lines on a blueprint")
                page.learn("#strength", KNOB, 21, 127)
                page.page.wait_for_timeout(5000)
                page.page.evaluate(SEEN)
                page.page.wait_for_timeout(500)
                choose = random.Random(1)
                for number in range(int(seconds / np.mean(APART_S) / 2)):
                    page.page.evaluate(f"turn({127 * (number % 2)})")
                    page.page.wait_for_timeout(1000 * (0.5 + choose.uniform(*APART_S)))
                times_ms = page.page.evaluate("seenMs")
                shown = page.page.evaluate("document.getElementById('meter').textContent")
        finally:
            server.stop()
    told(f"MIDI to the first picture that looks otherwise, in the page ({shown})", times_ms)


if __name__ == "__main__":
    chosen_s = float(sys.argv[1]) if len(sys.argv) > 1 else SECONDS
    chosen = parse_size(sys.argv[2]) if len(sys.argv) > 2 else (256, 144)
    model = sys.argv[3] if len(sys.argv) > 3 else "mini2"
    print(f"{model}, load {os.getloadavg()[0]:.1f}")
    osc(chosen_s, chosen, model)
    midi(chosen_s, chosen, model)
