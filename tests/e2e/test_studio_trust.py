"""The studio of a server that marks repainted pictures: one label, readable, wherever the picture is seen."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from e2e.studio import BLUEPRINT, Serving, Studio
from e2e.test_studio_accessible import VIOLATIONS
from patience import PATIENCE_S
from trust.files import changed, picture, work
from vivace.trust.keys import open_key
from vivace.trust.signing import sign_file
from vivace.trust.verify import Bounds, verify


@pytest.fixture(scope="module")
def server_environ(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Let the server mark repainted pictures, with its own keys."""
    return {"VIVACE_SERVE_MARKS": "credentials,label", "XDG_STATE_HOME": str(tmp_path_factory.mktemp("state"))}


DARK = "colourOf('after', [0.02, 0.04, 0.16, 0.1])"


def test_a_label_in_the_picture_is_the_only_one_where_it_can_be_read(live: Studio) -> None:
    studio, page = live, live.page
    studio.wait_until(f"({DARK} ?? [255])[2] < 120")  # its paper on the blueprint's blue
    assert page.get_attribute("#mirror", "aria-pressed") == "true"
    studio.wait_until("!document.getElementById('note').hidden")  # over the label reversed by the mirror
    note, stage = page.locator("#note").bounding_box(), page.locator("#picture").bounding_box()
    assert note is not None
    assert stage is not None
    assert note["x"] > stage["x"] + stage["width"] / 2
    studio.press_tool("#mirror")
    studio.wait_until("document.getElementById('note').hidden")
    studio.press_tool("#split")  # the original covers the picture's label
    studio.wait_until("!document.getElementById('note').hidden")
    studio.press_tool("#split")
    assert page.locator("#note").is_hidden()
    assert page.evaluate("document.getElementById('note-on').disabled")
    assert page.evaluate("document.getElementById('note-state').textContent") == "in the picture"
    studio.paint("")
    studio.wait_untouched()
    studio.paint(BLUEPRINT)
    assert studio.errors == []


def test_who_shares_a_camera_is_asked_once_whether_the_people_in_it_know(server: Serving, browser: Any) -> None:
    server.wait()
    studio = Studio(browser, server.url, people_know=False).open(BLUEPRINT)
    page = studio.page
    page.evaluate("studio.start('scene', {})")
    studio.wait_state("live", PATIENCE_S)
    page.click("#share-open")
    page.wait_for_selector("#share[open]")  # a scene needs no consent
    page.keyboard.press("Escape")
    page.evaluate("void studio.start('camera', {})")
    page.wait_for_selector("#consent-dialog[open]")  # others may be watching
    page.click("#consent-dialog button[value='']")
    assert page.evaluate("studio.source.kind") == "scene"
    page.evaluate("void studio.start('camera', {})")
    page.wait_for_selector("#consent-dialog[open]")
    page.click("#consent-dialog button[value='know']")
    studio.wait_until("studio.source?.kind === 'camera'")
    page.click("#share-open")
    page.wait_for_selector("#share[open]")
    assert studio.errors == []
    studio.close()


def test_a_snapshot_says_signed_what_it_is(live: Studio, tmp_path: Path) -> None:
    path = tmp_path / "snapshot.png"
    for split in (False, True):
        if split:
            live.press_tool("#split")
        with live.page.expect_download() as saving:
            live.press_tool("#snapshot")
        saving.value.save_as(path)
        report = verify(path, bounds=Bounds(time_s=PATIENCE_S))
        assert report.verdict == "repainted"
        assert report.label is not None
        assert report.label.places == ("XMP",)
        with Image.open(path) as picture:
            assert (picture.width > 2 * picture.height) is split
    live.press_tool("#split")
    assert live.errors == []


def test_a_file_is_checked_on_a_page_of_its_own(server: Serving, browser: Any, tmp_path: Path) -> None:
    server.wait()
    out = picture(tmp_path / "out.png")
    page = browser.new_page(locale="en-US")
    page.goto(f"{server.url}verify")
    for sign, change, verdict, told in (
        (False, None, "It says nothing of itself.", "none found"),
        (True, None, "AI-modified.", "c2pa.edited"),
        (False, changed, "Changed after it was signed.", "changed after signing"),
    ):
        if sign:
            sign_file(out, work(), open_key(folder=tmp_path / "keys"))
        if change is not None:
            change(out)
        page.set_input_files("#check-file", out)
        page.wait_for_selector(f"#check-said strong:text-is('{verdict}')")
        assert told in page.inner_text("#check-said dl")
    page.evaluate((files("axe_playwright_python") / "axe.min.js").read_text("utf-8"))
    assert page.evaluate(VIOLATIONS) == []
    page.close()


def test_a_file_is_checked_on_the_page(live: Studio, tmp_path: Path) -> None:
    out = picture(tmp_path / "out.png")
    sign_file(out, work(), open_key(folder=tmp_path / "keys"))
    studio, page = live, live.page
    page.evaluate("document.getElementById('note-panel').open = true")
    for change, verdict in ((lambda _: None, "AI-modified."), (changed, "Changed after it was signed.")):
        change(out)
        page.set_input_files("#check-file", out)
        studio.wait_until(f"document.querySelector('#check-said strong')?.textContent === '{verdict}'")
    assert studio.errors == []
