"""The watermark is read from a browser's own capture of a page that shows a marked video, larger than it is."""

from __future__ import annotations

import base64
import io
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from e2e.browsers import CHROMIUM
from patience import PATIENCE_S
from vivace.bench.watermark.attacks import x264
from vivace.media.frame import Frame
from vivace.media.open import open_sink
from vivace.trust.watermark.detect import detect_watermark
from vivace.trust.watermark.embed import WatermarkEmbedder
from vivace.worlds import make_scene

pytest.importorskip("playwright.sync_api", reason="needs playwright (the dev extra)")
pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(CHROMIUM is None, reason="needs chromium (Debian: apt-get install chromium)"),
]

PAYLOAD = 0xFACADE_C0FFEE
SIZE = (512, 512)
FPS, FRAMES = 24, 24
CAPTURED = 6
"""Frames of the capture."""
PAGE = """<!doctype html><meta charset="utf-8"><body style="margin:0">
<p>A video, as somebody records it from the screen.</p>
<video src="clip.mp4" muted loop playsinline style="width: 614px; margin-left: 120px"></video><button>Record</button>"""

# Pictures of the capture as PNG: a recorder in the page would leave out what a busy machine cannot encode in time.
CAPTURE = """async (count) => {
  await document.querySelector("video").play();
  const stream = await navigator.mediaDevices.getDisplayMedia({ video: true, preferCurrentTab: true });
  const seen = Object.assign(document.createElement("video"), { muted: true, srcObject: stream });
  await seen.play();
  const pictures = [];
  while (pictures.length < count) {
    await new Promise((resolve) => { seen.requestVideoFrameCallback(resolve); });
    const size = { width: seen.videoWidth, height: seen.videoHeight };
    const canvas = Object.assign(document.createElement("canvas"), size);
    canvas.getContext("2d").drawImage(seen, 0, 0);
    pictures.push(canvas.toDataURL("image/png").split(",")[1]);
  }
  return pictures;
}"""


def test_a_tab_that_chromium_captures_still_carries_the_payload(tmp_path: Path) -> None:
    from playwright.sync_api import sync_playwright

    clip = tmp_path / "clip.mp4"
    embedder, scene = WatermarkEmbedder(PAYLOAD), make_scene("table", SIZE)
    with open_sink(clip, fps=FPS) as sink:
        for index in range(FRAMES):
            sink.write(Frame(embedder.mark(scene.render(index / FPS)), index, index, Fraction(1, FPS), 0.0))
    with sync_playwright() as playwright:
        # the flags of a fake camera would give a fake screen
        flags = ["--no-sandbox", "--disable-dev-shm-usage", "--auto-accept-this-tab-capture"]
        browser = playwright.chromium.launch(executable_path=CHROMIUM, headless=True, args=flags)
        page = browser.new_page(viewport={"width": 1280, "height": 800})
        page.set_default_timeout(1e3 * PATIENCE_S)
        page.route("**/clip.mp4", lambda route: route.fulfill(body=clip.read_bytes(), content_type="video/mp4"))
        page.route("**/page", lambda route: route.fulfill(body=PAGE, content_type="text/html"))
        page.goto("https://localhost/page")
        page.click("button")  # a browser records only what somebody has asked it to
        captured = page.evaluate(CAPTURE, CAPTURED)
        browser.close()
    screens = [np.asarray(Image.open(io.BytesIO(base64.b64decode(png))).convert("RGB")) for png in captured]
    assert detect_watermark(x264(screens, 23)).payload == PAYLOAD
