"""The studio's sources: files that are paused and sought, cameras that flip and go away, and invalid ones."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from e2e.browsers import CHROMIUM
from e2e.helpers import write_scene
from e2e.studio import Serving, Studio, plain, png

pytest.importorskip("playwright.sync_api", reason="needs playwright (the dev extra)")
pytest.importorskip("aiortc", reason="needs the serve extra")

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(CHROMIUM is None, reason="needs chromium (Debian: apt-get install chromium)"),
]

CAMERAS = """
// Two cameras as a phone has them: one picture is red, the other blue, and only one camera gives pictures at a time.
window.cameras = { open: null, canvas: null, plugged: ["front", "back"], blocked: false };
const COLOURS = { front: "#c00000", back: "#0000c0" };
navigator.mediaDevices.enumerateDevices = async () =>
  cameras.plugged.map((deviceId) => ({ kind: "videoinput", deviceId, label: deviceId }));
navigator.mediaDevices.getUserMedia = async ({ video: { deviceId, facingMode } }) => {
  if (cameras.blocked) throw new DOMException("no", "NotAllowedError");
  const facing = { user: "front", environment: "back" }[facingMode?.exact];
  const name = deviceId?.exact ?? facing ?? cameras.plugged[0];
  if (!cameras.plugged.length) throw new DOMException("no", "NotFoundError");
  if (!cameras.plugged.includes(name)) throw new DOMException("no", "OverconstrainedError");
  if (cameras.open?.readyState === "live") throw new DOMException("no", "NotReadableError");
  const canvas = document.createElement("canvas");
  cameras.canvas = canvas;
  [canvas.width, canvas.height] = [320, 180];
  const ctx = canvas.getContext("2d");
  setInterval(() => { ctx.fillStyle = COLOURS[name]; ctx.fillRect(0, 0, 320, 320); }, 40);
  const stream = canvas.captureStream(25);
  [cameras.open] = stream.getVideoTracks();
  const facingModes = { front: "user", back: "environment" };
  cameras.open.getSettings = () => ({ width: 320, height: 180, deviceId: name, facingMode: facingModes[name] });
  return stream;
};
cameras.plug = (names) => {
  cameras.plugged = names;
  const { deviceId } = cameras.open.getSettings();
  if (!names.includes(deviceId) && cameras.open.readyState === "live") {
    cameras.open.stop();
    cameras.open.dispatchEvent(new Event("ended"));
  }
  navigator.mediaDevices.dispatchEvent(new Event("devicechange"));
};
"""

IS_RED, IS_BLUE, IS_GREEN = "r > 100 && b < 60", "b > 100 && r < 60", "g > 100 && r < 60 && b < 60"


@pytest.fixture(scope="module")
def page_with_cameras(steered: Serving, browser: Any) -> Iterator[Studio]:
    """Return a page with two cameras, live from the demo without a prompt."""
    with closing(Studio(browser, steered.url)) as studio:
        studio.context.add_init_script(CAMERAS)
        studio.open("")
        studio.page.click("#tiles button:last-child")
        studio.wait_state("live")
        yield studio


@pytest.fixture
def studio(page_with_cameras: Studio) -> Iterator[Studio]:
    """Return that page, showing the demo; it must end with its present session."""
    page_with_cameras.page.evaluate(
        "cameras.blocked = false; cameras.plugged = ['front', 'back']; toasts.textContent = ''"
    )
    page_with_cameras.page.click("#sources [data-kind=scene]")
    page_with_cameras.wait_until("studio.source?.kind === 'scene'")
    before = page_with_cameras.session_id()
    yield page_with_cameras
    assert page_with_cameras.session_id() == before
    assert page_with_cameras.errors == []


def wait_source(studio: Studio, condition: str) -> None:
    """Wait until the source's mean colour fulfils a condition on r, g and b."""
    studio.wait_until(f"(() => {{ const [r, g, b] = colourOf('before', [0, 0, 1, 1]) ?? []; return {condition}; }})()")


def toast(studio: Studio) -> str:
    """Return the last message over the picture, once there is one, and remove it."""
    studio.page.wait_for_selector(".toast")
    take = "() => { const { innerText } = toasts.lastChild; toasts.textContent = ''; return innerText; }"
    return str(studio.page.evaluate(take))


def test_a_source_that_cannot_be_opened_costs_nothing(studio: Studio, tmp_path: Path) -> None:
    page = studio.page
    page.evaluate("cameras.blocked = true")
    page.click("#sources [data-kind=camera]")
    assert "The camera is blocked" in toast(studio)
    cancelled = "async () => { throw new DOMException('no', 'NotAllowedError'); }"
    page.evaluate(f"() => {{ navigator.mediaDevices.getDisplayMedia = {cancelled}; }}")
    page.click("#sources [data-kind=screen]")
    assert "Nothing was shared" in toast(studio)
    for name, said in (("boat.mp4", "“boat.mp4” has no picture"), ("cat.jpg", "“cat.jpg” is no picture")):
        (tmp_path / name).write_bytes(b"neither the one nor the other")
        page.set_input_files("#file", tmp_path / name)
        assert said in toast(studio)
    assert page.get_attribute("#sources [data-kind=scene]", "aria-checked") == "true"
    assert page.evaluate("studio.source.kind") == "scene"
    studio.wait_state("live")


def test_a_video_file_is_paused_sought_and_looped_by_pointer_and_by_key(studio: Studio, tmp_path: Path) -> None:
    write_scene(tmp_path / "boat.mp4", 200)
    page = studio.page
    page.set_input_files("#file", tmp_path / "boat.mp4")
    page.wait_for_selector("#player", state="visible")
    length = page.evaluate("studio.source.video.duration")
    page.click("#play")
    at = page.evaluate("studio.source.video.currentTime")
    assert page.evaluate("studio.source.video.paused")
    studio.wait_until("play.getAttribute('aria-label') === 'Play'")
    page.locator("#seek").fill("6")
    studio.wait_until("!studio.source.video.seeking && studio.source.video.currentTime === 6")
    page.evaluate("document.activeElement.blur()")
    page.keyboard.press("j")
    studio.wait_until("studio.source.video.currentTime === 1")
    studio.wait_until(f"played.textContent === '0:01 / 0:{int(length):02}'")
    for _ in range(2):
        page.keyboard.press("l")
    studio.wait_until("studio.source.video.currentTime === studio.source.video.duration")
    page.click("#loop")
    assert page.get_attribute("#loop", "aria-pressed") == "false"
    page.evaluate("document.activeElement.blur()")
    page.keyboard.press("k")  # at the end, without a loop, it restarts
    studio.wait_until("!studio.source.video.paused && studio.source.video.currentTime < 3")
    page.keyboard.press("k")
    assert page.evaluate("studio.source.video.paused")
    assert at < length
    page.click("#sources [data-kind=scene]")
    page.wait_for_selector("#player", state="hidden")
    studio.wait_state("live")


def test_cameras_flip_and_one_that_is_taken_leaves_the_other(studio: Studio) -> None:
    page = studio.page
    page.wait_for_selector("#flip", state="hidden")
    page.click("#sources [data-kind=camera]")
    wait_source(studio, IS_RED)
    studio.press_tool("#flip")
    wait_source(studio, IS_BLUE)
    assert page.get_attribute("#mirror", "aria-pressed") == "false", "what a camera sees ahead is no mirror's"
    page.keyboard.press("c")
    wait_source(studio, IS_RED)
    page.evaluate("cameras.plugged = ['front']")
    studio.press_tool("#flip")
    assert "No camera found" in toast(studio)
    wait_source(studio, IS_RED)
    studio.wait_until("studio.source?.stream.active && studio.source.facing === 'user'")
    studio.wait_state("live")


def test_a_camera_that_is_unplugged_goes_on_when_it_is_back_and_a_revoked_one_says_so(studio: Studio) -> None:
    page = studio.page
    page.click("#sources [data-kind=camera]")
    wait_source(studio, IS_RED)
    page.evaluate("cameras.plug(['back'])")
    studio.wait_state("problem")
    assert page.inner_text("#card-title") == "The camera has gone"
    assert page.evaluate("studio.source") is None, "the other camera is not turned on unasked"
    page.evaluate("cameras.plug(['front', 'back'])")
    studio.wait_state("live")
    wait_source(studio, IS_RED)

    page.evaluate("cameras.plug([])")
    studio.wait_state("problem")
    page.evaluate("cameras.blocked = true")
    page.click("#card-actions button:first-child")
    page.wait_for_selector("#card-title:text-is('The camera is blocked')")
    page.click("#sources [data-kind=scene]")
    studio.wait_state("live")


def test_what_is_dropped_is_repainted_or_gone_by_where_the_model_can(studio: Studio) -> None:
    page = studio.page
    studio.drop("green.png", plain((0, 160, 0)))
    page.wait_for_selector("#picture-dialog[open]")
    offered = page.locator("#picture-areas button").all_inner_texts()
    assert offered == ["Use it as: Look", "Use it as: Key frame"], "a mask is nothing to go by"
    page.keyboard.press("Escape")
    assert page.evaluate("studio.source.kind") == "scene"
    studio.drop("green.png", plain((0, 160, 0)))
    page.click("#picture-areas button:first-child")
    studio.wait_until("studio.session.controls.options?.look")
    assert page.evaluate("studio.source.kind") == "scene"
    studio.drop("blue.png", plain((0, 0, 160), (2560, 1280)))
    page.click("#picture-dialog .primary")
    wait_source(studio, IS_BLUE)
    assert page.evaluate("studio.source.size") == [1280, 640]
    studio.drop("note.txt", b"no picture", "text/plain")
    assert "“note.txt” has no picture" in toast(studio)
    studio.wait_state("live")


def test_a_picture_of_200_megapixels_is_read_small_and_one_that_is_none_is_said(studio: Studio, tmp_path: Path) -> None:
    Image.new("L", (20_000, 10_000), 160).save(tmp_path / "huge.jpg", quality=20)
    studio.page.set_input_files("#file", tmp_path / "huge.jpg")
    studio.wait_until("studio.source?.kind === 'file' && studio.source.size.join() === '1280,640'")
    studio.wait_state("live")
    wait_source(studio, "Math.abs(r - 160) < 8 && Math.abs(b - 160) < 8")
    (tmp_path / "cut.jpg").write_bytes((tmp_path / "huge.jpg").read_bytes()[:100])
    studio.page.set_input_files("#file", tmp_path / "cut.jpg")
    assert "“cut.jpg” is no picture" in toast(studio)
    studio.wait_state("live")


def test_a_dropped_picture_is_repainted_at_once_where_the_model_goes_by_none(steered: Serving, browser: Any) -> None:
    with closing(Studio(browser, steered.url)) as studio:
        studio.open("")
        studio.page.select_option("#model", "mini", force=True)
        assert studio.page.locator("#keyframe-panel").is_hidden(), "only a model that declares it offers a key frame"
        studio.drop("green.png", plain((0, 160, 0)))
        studio.wait_state("live")
        studio.wait_colour(IS_GREEN)
        assert studio.errors == []


def saved_frame(studio: Studio, folder: Path) -> NDArray[np.uint8]:
    """Return the frame that the key for it downloads."""
    with studio.page.expect_download() as download:
        studio.page.keyboard.press("e")
    download.value.save_as(folder / "frame.png")
    return np.asarray(Image.open(folder / "frame.png").convert("RGB"))


def test_a_frame_is_saved_edited_and_dropped_back_and_leads_until_it_is_removed(studio: Studio, tmp_path: Path) -> None:
    page = studio.page
    page.click("#sources [data-kind=camera]")
    studio.wait_colour(IS_RED)
    red = saved_frame(studio, tmp_path)
    assert red.shape[1::-1] == tuple(page.evaluate("studio.session.stats.size"))
    page.click("#sources [data-kind=scene]")
    studio.wait_colour("b > 60")
    assert saved_frame(studio, tmp_path)[..., 2].mean() > 60
    edited = red.copy()
    edited[:, : red.shape[1] // 2] = 0, 200, 0
    studio.drop("edited.png", png(edited))
    page.click("#picture-areas button:last-child")
    studio.wait_until("studio.session.controls.options?.keyframe")
    options = page.evaluate("studio.session.controls.options")
    for name, wanted in (("keyframe", edited), ("keyframe_source", red)):
        file = io.BytesIO(base64.b64decode(options[name].partition(",")[2]))
        assert np.array_equal(np.asarray(Image.open(file).convert("RGB")), wanted), "of two saved frames the right one"
    studio.wait_colour(" && ".join(f"Math.abs({c} - {edited[..., i].mean()}) < 12" for i, c in enumerate("rgb")))
    page.wait_for_selector("#note", state="visible")
    assert page.locator("#keyed-picture").get_attribute("src") == options["keyframe"]
    assert saved_frame(studio, tmp_path)[..., 2].std() > 10, "the frame to edit is one without the key frame"
    page.focus("#keyed-remove")
    page.keyboard.press("Enter")
    page.wait_for_selector("#keyed", state="hidden")
    assert page.evaluate("document.activeElement.id") == "prompt"
    page.evaluate("document.activeElement.blur()")
    studio.wait_until("studio.session.controls.options.keyframe === null")
    studio.wait_untouched()
    page.wait_for_selector("#note", state="hidden")


COLOUR_OF_TILE = """async (index) => {
  const tile = presets.querySelectorAll("img")[index];
  await tile.decode();
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [1, 1];
  const ctx = canvas.getContext("2d");
  ctx.drawImage(tile, 0, 0, 1, 1);
  return [tile.naturalWidth, tile.naturalHeight, ...ctx.getImageData(0, 0, 1, 1).data.slice(0, 3)];
}"""


def test_presets_and_offered_looks_are_painted_from_the_sources_own_picture(studio: Studio) -> None:
    page = studio.page
    page.click("#sources [data-kind=camera]")
    wait_source(studio, IS_RED)
    tiles = "[...presets.querySelectorAll('img')].map(({ src }) => src)"
    before = page.evaluate(tiles)
    studio.wait_until(f"{tiles}.every((src, i) => src.startsWith('blob:') && !{json.dumps(before)}.includes(src))")
    width, height, *red = page.evaluate(COLOUR_OF_TILE, 0)
    assert (width, height) == (256, 144)
    blue = page.evaluate(COLOUR_OF_TILE, 2)[2:]
    assert red[2] < blue[2], "each under its own prompt"
    studio.paint("lego")
    page.wait_for_selector("#prompt-said.bad button img")
    assert page.locator("#prompt-said img").first.get_attribute("src") in page.evaluate(tiles)
    studio.paint("")


CLOCK_JUMPS = """() => {
  const now = Date.now;
  window.Date = class extends Date { constructor(...given) { super(...(given.length ? given : [Date.now()])); } };
  Date.now = () => now() + 86_400_000;
}"""

HIDE = """(hidden) => {
  Object.defineProperty(document, "hidden", { configurable: true, get: () => hidden });
  document.dispatchEvent(new Event("visibilitychange", { bubbles: true }));
}"""


def test_a_phone_that_is_turned_and_a_clock_that_jumps_leave_the_stream_as_it_was(studio: Studio) -> None:
    page = studio.page
    page.click("#sources [data-kind=camera]")
    wait_source(studio, IS_RED)
    page.evaluate(CLOCK_JUMPS)
    assert page.evaluate("new Date() - performance.timeOrigin - performance.now()") > 80_000_000
    page.evaluate("[cameras.canvas.width, cameras.canvas.height] = [180, 320]")
    studio.wait_until("studio.source.size[0] === 180 && studio.source.size[1] === 320")
    studio.wait_until("studio.stage.after.videoHeight > studio.stage.after.videoWidth")
    studio.wait_until("studio.session.glass.summary()?.p95 < 60_000")
    studio.wait_state("live")


def test_a_camera_that_goes_while_nobody_looks_is_back_when_somebody_does(studio: Studio) -> None:
    page = studio.page
    page.click("#sources [data-kind=camera]")
    wait_source(studio, IS_RED)
    page.evaluate(HIDE, True)
    page.evaluate("cameras.open.stop(); cameras.open.dispatchEvent(new Event('ended'))")
    studio.wait_state("problem")
    page.evaluate(HIDE, False)
    studio.wait_state("live")
    wait_source(studio, IS_RED)


def test_a_source_that_is_chosen_while_the_model_loads_is_repainted_once_it_can_be(
    steered: Serving, browser: Any
) -> None:
    with closing(Studio(browser, steered.url)) as studio:
        studio.context.add_init_script(CAMERAS)
        page = studio.page
        loading = {"loading": {"model": "mini", "done": 1, "steps": 3}}
        page.route("**/v1/config", lambda route: route.fulfill(json=loading))
        page.goto(studio.url)
        page.wait_for_selector("#card-title:text-is('Loading mini')")
        page.evaluate("cameras.blocked = true")
        page.click("#sources [data-kind=camera]")
        page.wait_for_selector("#card-title:text-is('The camera is blocked')")
        for _ in range(2):
            page.wait_for_event("response", lambda response: response.url.endswith("/v1/config"))
        assert page.inner_text("#card-title") == "The camera is blocked", "what asks for something stays"

        page.click("#sources [data-kind=scene]")
        page.wait_for_selector("#card-title:text-is('Loading mini')")
        studio.wait_until("studio.source?.kind === 'scene'")
        page.route("**/v1/models", lambda route: route.fulfill(status=500, json={}), times=1)
        page.unroute("**/v1/config")
        studio.wait_state("problem")
        page.click("#card-actions button:first-child")
        studio.wait_state("live")
        assert page.evaluate("studio.source.kind") == "scene"
        assert studio.errors == []


def test_a_page_that_is_loaded_again_goes_on_with_what_was_set(steered: Serving, browser: Any) -> None:
    with closing(Studio(browser, steered.url)) as studio:
        studio.context.add_init_script(CAMERAS)
        page = studio.open("red").page
        page.click("#tiles button:first-child")
        studio.wait_state("live")
        page.click("#model-panel summary")
        page.check("#option-follow_camera")
        studio.drop("green.png", plain((0, 160, 0)))
        page.click("#picture-areas button:first-child")
        page.select_option("#detail", index=1)
        page.evaluate("studio.brush.invert()")  # nothing is selected
        for wanted in ("options?.follow_camera", "options?.look", "mask", "size"):
            studio.wait_until(f"studio.session?.controls.{wanted}")
        before = page.evaluate("studio.session.controls")
        studio.paint("blue")
        studio.wait_until("studio.session.controls.prompt === 'blue'")
        page.reload()
        studio.wait_state("live")
        after = page.evaluate("studio.session.controls")
        assert after == before | {"prompt": "blue", "mask": after["mask"]}
        assert page.evaluate("studio.source.kind") == "camera"
        assert page.is_checked("#option-follow_camera")
        assert page.locator("#option-look img").evaluate("(shown) => shown.src") == after["options"]["look"]
        assert page.inner_text("#region-state") == "0 % of the picture"
        studio.wait_untouched()

        page.evaluate("studio.start('scene', {})")
        studio.wait_until("studio.source.kind === 'scene'")
        studio.drop("blue.png", plain((0, 0, 160)))
        page.click("#picture-dialog .primary")
        studio.wait_until("studio.source.kind === 'file'")
        page.reload()
        page.wait_for_selector("#card-actions button:text-is('Choose the file again')")
        assert page.evaluate("studio.session") is None
        assert studio.errors == []
