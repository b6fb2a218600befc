"""Sound in the studio: sent on request, heard by those who ask for it, recorded, and muted for all."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from e2e.browsers import CHROMIUM
from e2e.studio import Serving, Studio

pytest.importorskip("playwright.sync_api", reason="needs playwright (the dev extra)")
pytest.importorskip("aiortc", reason="needs the serve extra")

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(CHROMIUM is None, reason="needs chromium (Debian: apt-get install chromium)"),
]

LISTEN = """() => {
  const context = new AudioContext();
  const ear = context.createAnalyser();
  context.createMediaStreamSource(document.getElementById("after").srcObject).connect(ear);
  const heard = new Float32Array(ear.fftSize);
  window.loudest = 0;
  window.loudestNow = () => { const loudest = window.loudest; window.loudest = 0; return loudest; };
  setInterval(() => {
    ear.getFloatTimeDomainData(heard);
    window.loudest = Math.max(window.loudest, ...heard.map(Math.abs));
  }, 20);
}"""
"""Script that keeps the loudest returned sample in `loudest`. The browser's microphone beeps once a second."""

HEARD = "window.loudest > 0.02"


def heard_in(studio: Studio) -> None:
    studio.page.evaluate(LISTEN)
    studio.wait_until(HEARD)


@pytest.fixture(scope="module")
def loud(live: Studio) -> Studio:
    """Return a page whose microphone is sent, too."""
    live.page.locator("#sound").check(force=True)
    live.wait_until("studio.source.stream.getAudioTracks().length === 1 && studio.source.wishes.sound")
    live.wait_until("studio.session.stats?.sound === 'on'")
    return live


def test_sound_is_sent_only_when_asked_for_and_comes_back_with_the_picture(loud: Studio) -> None:
    heard_in(loud)
    tracks = loud.page.evaluate("document.getElementById('after').srcObject.getTracks().map(({ kind }) => kind).sort()")
    assert tracks == ["audio", "video"], "in one stream, which the browser shows in step"
    assert loud.page.evaluate("document.getElementById('after').muted"), "nobody is surprised by it"
    loud.press_tool("#listen")
    assert not loud.page.evaluate("document.getElementById('after').muted")
    assert loud.page.get_attribute("#listen", "aria-pressed") == "true"
    loud.page.keyboard.press("a")
    assert loud.page.evaluate("document.getElementById('after').muted")
    assert loud.errors == []


@pytest.mark.slow
def test_a_viewer_hears_it_and_all_are_silent_once_it_is_turned_off(
    loud: Studio, server: Serving, browser: Any
) -> None:
    pages = loud.page.evaluate("studio.session.link('watch')")["pages"]
    address = server.url.rstrip("/") + next(page for page in pages.values() if "/watch/" in page)
    with closing(Studio(browser, address)) as viewer:
        viewer.page.goto(address)
        viewer.wait_state("live")
        viewer.wait_until("document.getElementById('after').srcObject?.getAudioTracks().length === 1")
        viewer.page.mouse.move(50, 200)
        viewer.page.click("#listen", force=True)
        heard_in(viewer)
        loud.page.evaluate("studio.session.sound(false)")
        loud.wait_until("studio.session.stats.sound === 'muted'")
        viewer.page.wait_for_timeout(500)  # sound still under way
        viewer.page.evaluate("loudestNow()")
        viewer.page.wait_for_timeout(1500)  # longer than the time between two beeps
        assert viewer.page.evaluate("loudestNow()") < 0.02
        loud.page.evaluate("studio.session.sound(true)")
        viewer.wait_until(HEARD)
        assert viewer.errors == []


@pytest.mark.slow
def test_a_recording_has_it(loud: Studio, server: Serving) -> None:
    loud.page.keyboard.press("r")
    loud.wait_until("studio.session.stats?.recording")
    loud.page.wait_for_timeout(2500)
    loud.page.keyboard.press("r")
    loud.wait_until("!studio.session.stats?.recording")
    folder = server.folder / "recordings"
    loud.wait_until("true")
    (path,) = folder.glob("*.mp4")
    samples = sound_of(path)
    assert np.abs(samples).max() > 0.02


def sound_of(path: Path) -> np.ndarray:
    with av.open(str(path)) as container:
        return np.concatenate([frame.to_ndarray().mean(axis=0) for frame in container.decode(audio=0)])


def test_a_camera_without_a_microphone_goes_on_without_sound(server: Serving, browser: Any) -> None:
    server.wait()
    with closing(Studio(browser, server.url)) as studio:
        studio.context.add_init_script(
            "const get = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);"
            "navigator.mediaDevices.getUserMedia = (wishes) => wishes.video ? get(wishes)"
            " : Promise.reject(new DOMException('none', 'NotFoundError'));"
        )
        studio.open().start_camera()
        studio.wait_state("live")
        studio.page.locator("#sound").check(force=True)
        studio.wait_until("document.getElementById('toasts').textContent.includes('No microphone')")
        studio.wait_until("studio.source.wishes.sound && studio.source.stream.active")
        studio.wait_state("live")
        assert studio.errors == []
