"""The studio on a phone, upright and on its side: the picture, its tools and the prompt are in reach together."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest

from e2e.browsers import CHROMIUM
from e2e.studio_states import DEVICES, LANGUAGES, STATES, dress, state_page, state_server
from live_server import LiveServer

pytest.importorskip("playwright.sync_api", reason="needs playwright (the dev extra)")
pytest.importorskip("aiortc", reason="needs the serve extra")

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(CHROMIUM is None, reason="needs chromium (Debian: apt-get install chromium)"),
]

OUT_OF_REACH = """(selector) => [...document.querySelectorAll(selector)].filter((node) => {
  const { left, right, top, bottom } = node.getBoundingClientRect();
  if (left === right) return false;   // hidden
  const whole = left >= 0 && top >= 0 && right <= innerWidth && bottom <= innerHeight;
  return !whole || !node.contains(document.elementFromPoint((left + right) / 2, (top + bottom) / 2));
}).map((node) => node.id || node.textContent)"""
"""Script for the elements that a thumb cannot press at the page's position."""

CUT_FIGURES = """([size, rate]) => {
  document.getElementById("m-size").textContent = size;
  document.getElementById("m-fps").textContent = rate;
  const meter = document.getElementById("meter");
  return meter.scrollWidth - meter.clientWidth;
}"""
"""Script for the width by which this size and these frames a second are cut off, px."""

TALL_CAMERA = "studio.stage.source(studio.stage.before.srcObject, [9, 16])"


@pytest.fixture(scope="module")
def states(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    with state_server(tmp_path_factory.mktemp("states")) as server:
        yield server


def test_the_longest_words_cut_no_button_off(states: LiveServer, browser: Any) -> None:
    with closing(state_page(browser, states, **DEVICES["phone"])) as studio:
        for state in ("live", "waiting", "token"):
            STATES[state](studio)
            for language in LANGUAGES:
                dress(studio, "dark", language)
                assert studio.page.evaluate(OUT_OF_REACH, "#end, #card-actions button, #token-form *") == [], (
                    state,
                    language,
                )
                assert studio.page.evaluate(CUT_FIGURES, ["1280 × 720", "100 fps"]) == 0, (state, language)
                assert studio.page.evaluate("document.documentElement.scrollWidth") == 390


@pytest.mark.parametrize("device", ["phone", "phone-on-its-side"])
def test_picture_tools_and_prompt_are_in_reach_without_scrolling_past_one_another(
    states: LiveServer, browser: Any, device: str
) -> None:
    with closing(state_page(browser, states, **DEVICES[device])) as studio:
        STATES["idle"](studio)
        assert studio.page.evaluate(OUT_OF_REACH, "#tiles button") == []
        STATES["live"](studio)
        for shape in ("", TALL_CAMERA):
            studio.page.evaluate(f"scrollTo(0, 0); {shape}")
            assert studio.page.evaluate(OUT_OF_REACH, "#tools button, #prompt, #apply, #history-open, #end") == []
            assert studio.page.locator("#presets").bounding_box()["y"] < DEVICES[device]["viewport"]["height"]
            studio.page.evaluate("scrollTo(0, document.documentElement.scrollHeight)")
            assert studio.page.evaluate(OUT_OF_REACH, "#tools button") == []
            assert studio.page.evaluate(OUT_OF_REACH, "#page-panel summary") == [], "the last of the settings"
            assert studio.page.evaluate("document.documentElement.scrollWidth") <= DEVICES[device]["viewport"]["width"]


def test_a_phone_that_is_turned_keeps_its_session_and_shows_the_picture_whole(states: LiveServer, browser: Any) -> None:
    with closing(state_page(browser, states, **DEVICES["phone"])) as studio:
        STATES["live"](studio)
        session = studio.session_id()
        for device in ("phone-on-its-side", "phone"):
            viewport = DEVICES[device]["viewport"]
            studio.page.set_viewport_size(viewport)
            studio.wait_until(f"innerWidth === {viewport['width']} && innerHeight === {viewport['height']}")
            box = studio.page.locator("#after").bounding_box()
            assert box is not None
            assert box["width"] / box["height"] == pytest.approx(320 / 176, rel=0.03)
            assert box["width"] > 0.55 * viewport["width"]
            assert box["y"] + box["height"] <= viewport["height"]
        studio.wait_state("live")
        assert studio.session_id() == session
        assert studio.errors == []
