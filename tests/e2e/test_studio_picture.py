"""Source and output in the studio: complete, mirrored for the viewer alone, in step, labelled and measured."""

from __future__ import annotations

import io
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from e2e.browsers import CHROMIUM
from e2e.studio import BLUEPRINT, Serving, Studio, browser_with_camera

pytest.importorskip("playwright.sync_api", reason="needs playwright (the dev extra)")
pytest.importorskip("aiortc", reason="needs the serve extra")

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(CHROMIUM is None, reason="needs chromium (Debian: apt-get install chromium)"),
]

LEVELS = 256
LATE_LEVELS = 64

STAND_INS = """([levels, late]) => {
  // A source whose left is red and whose right is green, ever brighter and then black again in four seconds; the
  // "output" is blue and as bright as the source was a second ago.
  const videos = [[["#f00", 0], ["#0f0", 32]], [["#00f", 0], ["#00f", 32]]].map((parts, video) => {
    const canvas = document.createElement("canvas");
    [canvas.width, canvas.height] = [64, 36];
    const ctx = canvas.getContext("2d");
    const draw = () => {
      const level = (performance.now() / 4000 + 1 - video * late / levels) % 1;
      ctx.globalAlpha = 1;
      ctx.fillStyle = "#000";
      ctx.fillRect(0, 0, 64, 36);
      ctx.globalAlpha = level;
      for (const [colour, x] of parts) {
        ctx.fillStyle = colour;
        ctx.fillRect(x, 0, 32, 36);
      }
    };
    draw();
    setInterval(draw, 33);
    return canvas.captureStream(30);
  });
  studio.stage.source(videos[0], [64, 36], true);
  studio.stage.after.srcObject = videos[1];
  studio.stage.ageMs = () => 1000;
  studio.show("live");
  studio.stage.toggleSplit(true);
}"""

PICTURES = """async (count) => {
  for (let i = 0; i < count; i += 1) await new Promise((shown) => studio.stage.after.requestVideoFrameCallback(shown));
}"""
"""Script that waits for a number of output pictures."""


def screenshot(studio: Studio) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """Return the picture on the page, `[h w 3]`."""
    return np.asarray(Image.open(io.BytesIO(studio.page.locator("#picture").screenshot())).convert("RGB"))


@pytest.mark.parametrize("size", [(640, 480), (480, 640)], ids=["4:3", "portrait"])
def test_a_camera_of_another_shape_is_shown_whole(server: Serving, tmp_path: Path, size: tuple[int, int]) -> None:
    server.wait()
    with browser_with_camera(tmp_path, size) as browser, closing(Studio(browser, server.url)) as studio:
        studio.open(BLUEPRINT).start_camera()
        studio.wait_until("studio.source !== null && studio.stage.before.videoWidth > 0")
        shown = studio.page.evaluate("[studio.stage.before.videoWidth, studio.stage.before.videoHeight]")
        assert tuple(shown) == size
        assert studio.page.evaluate("studio.source.size") == list(size)
        painted = studio.page.evaluate("studio.options.outputSize()")
        assert painted[0] / painted[1] == pytest.approx(size[0] / size[1], rel=0.1)
        studio.wait_until("studio.session !== null")
        studio.page.click("#end")  # a browser that closes at once might not tell


def test_before_meets_after_at_the_line_and_both_are_mirrored(server: Serving, browser: Any) -> None:
    server.wait()
    with closing(Studio(browser, server.url)) as studio:
        studio.open().page.wait_for_selector("#tiles button")
        studio.page.evaluate(STAND_INS, [LEVELS, LATE_LEVELS])
        studio.page.evaluate(PICTURES, 36)  # of 30 per second: there is one from a second ago
        left, right = [], []
        for _ in range(7):
            shown = screenshot(studio).astype(int)
            rows = slice(shown.shape[0] // 4, shown.shape[0] // 3)
            left.append(shown[rows, shown.shape[1] // 4].mean(axis=0))
            right.append(shown[rows, shown.shape[1] * 3 // 4].mean(axis=0))
            studio.page.evaluate(PICTURES, 6)
        before, after = np.array(left), np.array(right)
        assert np.median(before[:, 0]) < 20, "the source's red left is on the right of a mirror"
        assert np.median(before[:, 2]) < 20
        assert np.median(after[:, :2]) < 20
        apart = (before[:, 1] - after[:, 2] + LEVELS / 2) % LEVELS - LEVELS / 2
        assert abs(np.median(apart)) < LATE_LEVELS / 3, (before, after)


def test_a_selfie_is_mirrored_for_the_viewer_alone_until_it_is_toggled(live: Studio) -> None:
    page = live.page
    assert page.get_attribute("#mirror", "aria-pressed") == "true"
    assert live.style("#after", "scale") == live.style("#before", "scale") == "-1 1"
    live.press_tool("#mirror")
    assert live.style("#after", "scale") == "none"
    live.page.evaluate("studio.start('scene', {})")
    live.wait_until("studio.source?.kind === 'scene'")
    assert page.get_attribute("#mirror", "aria-pressed") == "false"
    live.page.evaluate("studio.start('camera', {})")
    live.wait_until("studio.source?.kind === 'camera'")
    assert page.get_attribute("#mirror", "aria-pressed") == "false", "what was chosen for selfies is kept"
    live.press_tool("#mirror")
    live.wait_state("live")


def test_the_note_lies_on_what_is_painted_and_on_nothing_else(live: Studio) -> None:
    page = live.page
    live.paint(BLUEPRINT)
    page.wait_for_selector("#note", state="visible")
    live.press_tool("#split")
    for corner in ("top-left", "bottom-right"):
        page.evaluate(f"document.getElementById('note').dataset.corner = '{corner}'")
        note, divider = page.locator("#note").bounding_box(), page.locator("#divider").bounding_box()
        assert note is not None
        assert divider is not None
        assert note["x"] >= divider["x"] + divider["width"] / 2
    live.press_tool("#split")
    page.evaluate("document.getElementById('note').dataset.corner = 'top-left'")
    live.paint("")
    live.wait_untouched()
    page.wait_for_selector("#note", state="hidden")
    live.paint(BLUEPRINT)
    page.wait_for_selector("#note", state="visible")
    page.evaluate("studio.update({ strength: 0 })")
    page.wait_for_selector("#note", state="hidden")
    page.evaluate("studio.update({ strength: 1 })")
    page.wait_for_selector("#note", state="visible")
    page.evaluate("studio.stage.original(true)")
    assert page.locator("#note").is_hidden()
    page.evaluate("studio.stage.original(false)")
    assert page.locator("#note").is_visible()
    assert live.errors == []


def test_what_is_painted_is_in_sight_with_its_size_and_detail_is_one_step_away(live: Studio) -> None:
    page = live.page
    live.wait_until("/^\\d+ × \\d+$/.test(document.getElementById('m-size').textContent)")
    assert page.locator("#m-size").is_visible()
    assert page.locator("#m-fps").inner_text().endswith("fps")
    width = int(page.inner_text("#m-size").split(" × ")[0])
    assert page.locator("#detail").is_visible()
    page.select_option("#detail", label="Fine")
    live.wait_until(f"parseInt(document.getElementById('m-size').textContent) > {width}")
    # a busy machine may lose the server for a moment; a complaint would be another message
    assert set(page.locator("#toasts > *").all_inner_texts()) <= {"Connected again."}
    page.select_option("#detail", label="Standard")
    assert live.errors == []
