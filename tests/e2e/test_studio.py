"""The studio in a real Chromium, with a clip for a camera, against `vivace serve` and the embedded model."""

from __future__ import annotations

import json
import os
import re
import signal
import time
import urllib.request
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from e2e.browsers import CHROMIUM
from e2e.helpers import count_frames
from e2e.studio import BLUEPRINT, PHONE, Serving, Studio, png
from patience import PATIENCE_S

pytest.importorskip("playwright.sync_api", reason="needs playwright (the dev extra)")
pytest.importorskip("aiortc", reason="needs the serve extra")

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(CHROMIUM is None, reason="needs chromium (Debian: apt-get install chromium)"),
]

SEPIA = "faded sepia photograph from 1900"
WATCH_DARKEST = """() => {
  window.darkest = 255;
  const after = document.getElementById("after");
  const look = () => {
    window.darkest = Math.min(window.darkest, Math.max(...colourOf("after", [0, 0, 1, 1])));
    after.requestVideoFrameCallback(look);
  };
  after.requestVideoFrameCallback(look);
}"""
"""Script that notes the darkest picture shown from now on."""

IS_BLUE = "b > r + 50"
IS_SEPIA = "r > g + 4 && g > b + 12"


@pytest.fixture(autouse=True)
def tell_time(request: pytest.FixtureRequest) -> Iterator[None]:
    """Report the duration of each test, without a limit."""
    began_s = time.monotonic()
    yield
    print(f"{request.node.name}: {time.monotonic() - began_s:.1f} s")


def quota(server: Serving) -> dict[str, int]:
    """Return the server's account of its slots."""
    with urllib.request.urlopen(f"{server.url}v1/quota") as answer:
        found: dict[str, int] = json.load(answer)
    return found


def remembered(studio: Studio) -> list[str]:
    """Return the prompts that the page remembers, the newest first."""
    found: list[str] = studio.page.evaluate("JSON.parse(localStorage.getItem('vivace.prompts') ?? '[]')")
    return found


def test_the_page_goes_live_and_the_output_is_what_the_prompt_says(live: Studio) -> None:
    live.wait_colour(IS_BLUE)
    red, _, blue = live.colour("before")
    assert blue < red + 50, "the source itself is no blueprint"
    assert live.page.inner_text("#note").strip() == "AI-modified"
    live.wait_until("document.getElementById('f-glass').textContent.includes('ms')")
    assert not any("at least" in live.page.text_content(told) for told in ("#f-glass-sub", "#model-hint"))
    painted_in_chunks = "model.spec.chunk_frames = 12; studio.options.set([model])"
    live.page.evaluate(f"(async () => {{ const [model] = await studio.api.models(); {painted_in_chunks}; }})()")
    assert "a picture is at least 12 frames old" in live.page.text_content("#model-hint")
    live.wait_until("/at least \\d+ ms/.test(document.getElementById('f-glass-sub').textContent)")
    assert live.errors == []


def test_a_prompt_change_is_acknowledged_and_shows_without_a_flash_of_black(live: Studio) -> None:
    live.page.evaluate(WATCH_DARKEST)
    live.paint(SEPIA)
    live.wait_until("/^Painting as /.test(document.getElementById('prompt-said').textContent)")
    live.wait_colour(IS_SEPIA)
    assert live.page.evaluate("darkest") > 40
    live.wait_until("document.getElementById('f-prompt').textContent.includes('ms')")


def test_a_prompt_the_model_cannot_serve_is_refused_with_what_is_near_and_is_not_remembered(live: Studio) -> None:
    page = live.page
    live.paint(SEPIA)
    live.wait_colour(IS_SEPIA)
    live.paint("lego")
    page.wait_for_selector("#prompt-said.bad")
    assert "lego" in page.inner_text("#prompt-said")
    live.wait_colour(IS_SEPIA)
    assert "lego" not in remembered(live)
    refused = "studio.session.update({ prompt: 'lego' }).catch(({ code, matches }) => [code, matches[0][0]])"
    assert page.evaluate(refused) == ["unknown_prompt", "pixel"]
    page.click("#prompt-said button:text-is('pixel art')")
    live.wait_until("document.getElementById('prompt-said').textContent === 'Painting as pixel art.'")
    assert remembered(live)[:2] == [page.input_value("#prompt"), SEPIA]


def test_a_prompt_that_refers_to_the_one_before_becomes_the_whole_one_in_the_field(live: Studio) -> None:
    page = live.page
    live.paint(SEPIA)
    live.wait_colour(IS_SEPIA)
    for said, whole in (("weaker", f"{SEPIA}, weaker"), ("undo", SEPIA)):
        live.paint(said)
        live.wait_until(f"document.getElementById('prompt').value === '{whole}'")
        assert remembered(live)[0] == whole
    live.paint("stronger")
    page.wait_for_selector("#prompt-said.bad")
    assert "gets no stronger" in page.inner_text("#prompt-said")
    assert remembered(live)[0] == SEPIA


def test_tools_that_hide_take_no_tap_and_a_key_brings_them_back(live: Studio) -> None:
    page = live.page
    page.evaluate("record.addEventListener('click', () => { window.pressed = (window.pressed ?? 0) + 1; }, true)")
    box = page.locator("#record").bounding_box()
    assert box is not None
    at = {"x": box["x"] + box["width"] / 2, "y": box["y"] + box["height"] / 2}
    page.mouse.move(at["x"], at["y"])
    live.wait_still()
    assert live.style("#tools", "opacity") == "0"
    page.mouse.down()
    page.mouse.up()
    live.wait_still()
    finger = live.context.new_cdp_session(page)
    finger.send("Input.dispatchTouchEvent", {"type": "touchStart", "touchPoints": [at]})
    finger.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    live.wait_still()
    assert page.evaluate("window.pressed") is None
    assert live.style("#tools", "opacity") == "0"

    page.focus("#prompt")
    page.keyboard.press("Shift+Tab")
    live.wait_still()
    assert page.evaluate("document.activeElement.id") == "fullscreen"
    assert live.style("#tools", "opacity") == "1"
    page.evaluate("document.activeElement.blur()")


def test_on_a_phone_an_unknown_prompt_starts_with_the_source_and_the_tools_stay(server: Serving, browser: Any) -> None:
    with closing(Studio(browser, server.url, **PHONE)) as phone:
        page = phone.open("lego").page
        page.tap("#apply")
        page.tap("#tiles button:first-child")
        phone.wait_state("live")
        page.wait_for_selector("#prompt-said.bad")
        (notice,) = page.evaluate("studio.session.notices")
        assert (notice["code"], notice["control"], notice["matches"][0][0]) == ("unknown_prompt", "prompt", "pixel")
        assert "“lego”" in page.inner_text("#prompt-said")
        assert page.evaluate("'prompt' in studio.session.controls") is False
        phone.wait_untouched()
        phone.wait_still()
        assert phone.style("#tools", "opacity") == "1"
        for tool in page.locator("#tools button:visible").all():
            reached = "(tool) => { const box = tool.getBoundingClientRect(); return tool.contains(" \
                "document.elementFromPoint(box.x + box.width / 2, box.y + box.height / 2)); }"  # fmt: skip
            assert tool.evaluate(reached)

        page.tap("#prompt-said button:text-is('ink')")
        phone.wait_until("document.getElementById('prompt-said').textContent === 'Painting as ink.'")
        painted = page.input_value("#prompt")
        page.fill("#prompt", "lego")
        page.tap("#apply")
        page.wait_for_selector("#prompt-said.bad")
        page.reload()
        phone.wait_state("live")  # a reloaded page continues, with the painted picture
        assert page.input_value("#prompt") == painted
        assert remembered(phone) == [painted]
        assert phone.errors == []


CAMERA_BUSY_ONCE = """
const open = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
navigator.mediaDevices.getUserMedia = async () => {
  navigator.mediaDevices.getUserMedia = open;
  throw new DOMException("no", "NotReadableError");
};"""


def test_a_preset_chosen_while_a_session_that_was_given_up_still_opens_is_painted_by_the_next(
    server: Serving, browser: Any
) -> None:
    with closing(Studio(browser, server.url)) as studio:
        studio.context.add_init_script(CAMERA_BUSY_ONCE)
        studio.open("ink")
        opened: list[Any] = []  # for the camera that is busy: the answer comes when the next is on its way
        studio.page.route("**/v1/sessions", lambda route: opened.append(route), times=1)
        studio.start_camera()
        studio.wait_state("problem")
        assert len(opened) == 1
        studio.page.click("#presets button:has-text('blueprint')")
        opened[0].continue_()
        studio.wait_state("live")
        studio.wait_colour(IS_BLUE)
        assert remembered(studio) == [BLUEPRINT]
        assert studio.page.inner_text("#prompt-said") == ""
        assert studio.errors == []


def test_a_preset_works_from_an_error_card_and_stands_in_for_an_unknown_prompt(server: Serving, browser: Any) -> None:
    with closing(Studio(browser, server.url)) as studio:
        studio.context.add_init_script(CAMERA_BUSY_ONCE)
        studio.open("lego").start_camera()
        studio.wait_state("problem")
        studio.page.click("#presets button:has-text('blueprint')")
        studio.wait_state("live")
        studio.wait_colour(IS_BLUE)
        assert remembered(studio) == [BLUEPRINT]
        assert not studio.page.inner_text("#prompt-said")

        studio.page.click("#end")
        studio.wait_state("ended")
        studio.paint("lego")
        assert studio.page.get_attribute("body", "data-state") == "ended", "who has ended it starts it again, too"
        studio.page.click("#card-actions button:first-child")
        studio.wait_state("live")
        studio.wait_until(
            f"document.getElementById('prompt-said').textContent.includes('Painted instead: {BLUEPRINT}')"
        )
        studio.wait_colour(IS_BLUE)
        assert remembered(studio) == [BLUEPRINT]
        assert studio.errors == []


def test_the_brush_keeps_the_outside_untouched(live: Studio) -> None:
    live.paint(BLUEPRINT)
    live.wait_colour(IS_BLUE)
    page = live.page
    live.press_tool("#region")
    page.locator("#brush-size").fill("40")
    box = page.locator("#brush").bounding_box()
    assert box is not None
    x, top, bottom = box["x"] + 0.2 * box["width"], box["y"] + 2, box["y"] + box["height"] - 2
    page.mouse.move(x, top)
    page.mouse.down()
    page.mouse.move(x, bottom, steps=6)
    page.mouse.up()
    inside, outside = (0.7, 0.1, 0.95, 0.9), (0.05, 0.1, 0.5, 0.9)  # a camera's picture is shown as in a mirror
    live.wait_untouched(outside)
    live.wait_colour(IS_BLUE, inside)

    page.click("#brush-invert")
    live.wait_colour(IS_BLUE, outside)
    live.wait_colour("Math.abs(b - r) < 60", inside)
    page.click("#brush-clear")
    live.wait_colour(IS_BLUE, inside)
    page.keyboard.press("Escape")
    assert page.locator("#brush").is_hidden()


def test_a_recording_downloads_and_plays(live: Studio, tmp_path: Path) -> None:
    page = live.page
    live.press_tool("#record")
    page.wait_for_selector('#record[aria-pressed="true"]')
    live.wait_until("document.getElementById('record-time').textContent >= '0:01'")
    live.press_tool("#record")
    with page.expect_download() as download:
        page.click("#toasts a")
    path = tmp_path / download.value.suggested_filename
    download.value.save_as(path)
    assert re.fullmatch(r"[\w-]+\.mp4", path.name)
    assert count_frames(path) >= 1


def test_a_lost_control_connection_is_taken_up_again_within_the_grace_time(server: Serving, browser: Any) -> None:
    with closing(Studio(browser, server.url)) as studio:
        sockets: list[Any] = []

        def relay(socket: Any) -> None:
            socket.connect_to_server()
            sockets.append(socket)

        studio.page.route_web_socket(re.compile("/control"), relay)
        studio.open(BLUEPRINT).start_camera()
        studio.wait_state("live")
        session = studio.session_id()
        sockets[0].close()
        studio.wait_until("document.getElementById('toasts').textContent.includes('Connected again')")
        studio.wait_state("live")
        assert studio.session_id() == session
        assert len(sockets) == 2


def test_two_browsers_never_mix_and_a_closed_tab_frees_its_place_for_who_waits(
    server: Serving, browser: Any, live: Studio
) -> None:
    live.paint(BLUEPRINT)
    other = Studio(browser, server.url).open(SEPIA)
    other.start_camera()
    other.wait_state("live")
    live.wait_colour(IS_BLUE)
    other.wait_colour(IS_SEPIA)
    for _ in range(10):
        red, _, blue = live.colour()
        assert blue > red + 50
        red, _, blue = other.colour()
        assert red > blue + 12

    with closing(Studio(browser, server.url)) as third:
        third.open(SEPIA).start_camera()
        third.wait_state("waiting")
        assert third.page.inner_text("#card-title") == "You are next"
        other.close()
        third.wait_state("live")
        third.wait_colour(IS_SEPIA)
        live.wait_colour(IS_BLUE)
    assert quota(server)["sessions"] >= 1


def test_a_models_own_controls_are_on_the_page_and_reach_it(steered: Serving, browser: Any) -> None:
    with closing(Studio(browser, steered.url)) as studio:
        studio.open("red")
        studio.start_camera()
        studio.wait_state("live")
        page = studio.page
        assert page.input_value("#strength") == "50"
        page.click("#model-panel summary")
        assert page.locator("#option-lora-ink").count() == 0
        for option, value in (("depth_every", 3), ("warp", 0.4)):
            slide = f"(input) => {{ input.value = {value}; input.dispatchEvent(new Event('input')); }}"
            page.locator(f"#option-{option}").evaluate(slide)
        page.fill("#option-negative_prompt", "green")
        page.press("#option-negative_prompt", "Enter")
        page.check("#option-follow_camera")
        page.select_option("#option-decoder", label="fine")
        page.fill("#option-title", "ink")
        page.fill("#option-anchor_every", "50")
        page.click("#option-anchor")
        studio.wait_until("studio.session.controls.options?.anchor_every === 50")
        studio.wait_until("studio.session.controls.options.warp === 0.4")
        accepted = page.evaluate("studio.session.controls")
        assert accepted["options"] == {
            "depth_every": 3, "warp": 0.4, "follow_camera": True, "decoder": "fine", "title": "ink", "anchor_every": 50,
            "negative_prompt": "green",
        }  # fmt: skip
        assert accepted["strength"] == 0.5
        assert page.evaluate("studio.controls().options") == accepted["options"]
        page.select_option("#model", "mini")
        studio.wait_until("studio.session?.state === 'live' && studio.session.model === 'mini'")
        assert page.locator("#option-warp").count() == 0
        assert page.input_value("#strength") == "100"
        assert studio.errors == []


def test_a_blocked_camera_says_what_to_do(server: Serving, browser: Any) -> None:
    with closing(Studio(browser, server.url)) as studio:
        refuse = (
            "navigator.mediaDevices.getUserMedia = async () => { throw new DOMException('no', 'NotAllowedError'); }"
        )
        studio.context.add_init_script(refuse)
        studio.open().start_camera()
        studio.wait_state("problem")
        assert studio.page.inner_text("#card-title") == "The camera is blocked"
        assert "Allow" in studio.page.inner_text("#card-text")
        assert studio.page.evaluate("document.activeElement.id") == "card"


@pytest.mark.slow
def test_a_restarted_server_is_said_and_the_page_comes_back_by_itself(server: Serving, live: Studio) -> None:
    live.wait_state("live")
    server.stop(signal.SIGTERM)
    live.wait_state("ended")
    assert "shutting down" in live.page.inner_text("#card-title")
    server.start()
    live.wait_state("live", PATIENCE_S)
    live.wait_colour(IS_BLUE)

    before = live.session_id()
    server.stop(signal.SIGKILL)
    live.wait_state("reconnecting")
    server.start()
    live.wait_state("live", PATIENCE_S)
    live.wait_colour(IS_BLUE)
    assert live.session_id() != before
    assert live.errors == []


def test_pictures_are_dropped_on_the_page_and_reach_the_model(steered: Serving, browser: Any, tmp_path: Path) -> None:
    with closing(Studio(browser, steered.url)) as studio:
        studio.open("red")
        studio.start_camera()
        studio.wait_state("live")
        page = studio.page
        page.click("#model-panel summary")
        blue = np.zeros((1200, 2000, 3), np.uint8)
        blue[..., 2] = 200
        studio.drop("blue.png", png(blue), on="option-look")
        studio.wait_colour("b > 150 && r < 50")
        assert page.locator("#option-look img").is_visible()
        studio.wait_until("studio.session.controls.options?.look?.startsWith('data:image/jpeg;base64,')")
        dark = np.zeros((90, 160), np.uint8)
        (tmp_path / "dark.png").write_bytes(png(dark))
        page.locator(".row:has(> #option-area) input[type=file]").set_input_files(tmp_path / "dark.png")
        studio.wait_colour("Math.max(r, g, b) < 30")
        studio.drop("words.png", b"no picture", on="option-look")
        page.wait_for_selector("text=“words.png” is no picture that this browser can read")
        assert page.locator("#option-look img").is_visible()  # the previous one is still set
        page.click("button[aria-label='Remove Area']")
        studio.wait_colour("b > 150")
        studio.wait_until("studio.session.controls.options.area === null")
        if shots := os.environ.get("STUDIO_SHOTS"):
            page.screenshot(path=f"{shots}/pictures.png")
        before = studio.session_id()
        page.locator("#option-window").evaluate(
            "(input) => { input.value = 16; input.dispatchEvent(new Event('input')); }"
        )
        studio.wait_until(f"studio.session?.state === 'live' && studio.session.info.id !== '{before}'")
        assert page.evaluate("studio.controls().options.window") == 16
        studio.wait_colour("b > 150")  # the new session has the picture, too
        assert studio.errors == []
    assert "'window': 16" in steered.log()
