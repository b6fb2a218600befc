"""A phone that changes its network, sleeps or is turned keeps its session, and its picture returns by itself."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import pytest

from e2e.browsers import CHROMIUM
from e2e.roaming import Phone, phone_on_networks
from e2e.studio import PHONE, Studio
from patience import PATIENCE_S

pytest.importorskip("playwright.sync_api", reason="needs playwright (the dev extra)")

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(CHROMIUM is None, reason="needs chromium (Debian: apt-get install chromium)"),
]

HIDDEN = "Object.defineProperty(document, 'hidden', {{ value: {}, configurable: true }})"
TURNING_CAMERA = """
const canvas = document.createElement("canvas");
const pen = canvas.getContext("2d");
const draw = () => {
  pen.fillStyle = `hsl(${performance.now() / 20} 80% 50%)`;
  pen.fillRect(0, 0, canvas.width, canvas.height);
};
window.turn = (width, height) => Object.assign(canvas, { width, height });
turn(180, 320);
setInterval(draw, 50);
window.shapeOf = (id) => Math.sign(document.getElementById(id).videoWidth - document.getElementById(id).videoHeight);
navigator.mediaDevices.getUserMedia = async () => canvas.captureStream(20);
"""
"""Script of a camera with upright pictures, and others once `turn` is called, on the same track, as on phones."""


@pytest.fixture(scope="module")
def only_phone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Phone]:
    with phone_on_networks(tmp_path_factory.mktemp("camera")) as phone:
        yield phone


@pytest.fixture
def phone(only_phone: Phone) -> Phone:
    """Return the live phone; each test leaves it so."""
    only_phone.studio.wait_state("live", PATIENCE_S)
    only_phone.watch()
    only_phone.wait_pictures()
    return only_phone


def test_another_network_is_noticed_and_the_session_goes_on_there(phone: Phone) -> None:
    """As from Wi-Fi to mobile: the old connections answer nothing any more, and nothing reports it."""
    before = phone.studio.session_id()
    phone.networks.leave()
    phone.networks.join()
    phone.wait_back()
    assert phone.studio.session_id() == before
    assert phone.told()[0] == ["reconnecting", "lost"]
    assert len(phone.server.manager.sessions()) == 1


def test_no_network_is_said_and_tried_again_until_there_is_one(phone: Phone) -> None:
    before = phone.studio.session_id()
    phone.networks.leave()
    phone.studio.wait_state("reconnecting", PATIENCE_S)
    assert phone.studio.page.inner_text("#card-text")
    phone.networks.join()
    phone.studio.page.evaluate("dispatchEvent(new Event('online'))")  # attempts made without a network are given up
    phone.wait_back()
    assert phone.studio.session_id() == before


def test_a_picture_whose_way_alone_is_cut_is_connected_anew_beside_the_same_channel(phone: Phone) -> None:
    """As when a NAT forgets a UDP mapping: the control channel stands all the while."""
    before = phone.studio.session_id()
    phone.networks.leave(udp_only=True)
    phone.wait_back()
    assert phone.studio.session_id() == before
    assert {code for state, code in phone.told() if state == "reconnecting"} == {"cut"}


def test_a_page_that_was_out_of_sight_too_long_goes_on_when_it_is_seen(phone: Phone) -> None:
    """As on a locked phone: its session ended for lack of pictures."""
    page, manager = phone.studio.page, phone.server.manager
    before = phone.studio.session_id()
    page.evaluate(HIDDEN.format("true"))
    manager.end(before, "idle", "No picture came for 120 s.")
    phone.studio.wait_state("reconnecting", PATIENCE_S)
    assert phone.told() == [["reconnecting", "asleep"]]
    assert manager.sessions() == [], "nobody looks, so nothing is opened"
    page.evaluate(HIDDEN.format("false"))
    page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    phone.wait_back()
    assert phone.studio.session_id() != before
    assert len(manager.sessions()) == 1


def test_a_session_that_ends_in_sight_has_ended(phone: Phone) -> None:
    phone.server.manager.end(phone.studio.session_id(), "idle", "No picture came for 120 s.")
    phone.studio.wait_state("ended", PATIENCE_S)
    assert phone.told()[0] == ["ended", ""]
    refused = "watched.update({ prompt: 'ink' }).catch(({ code }) => code)"
    assert phone.studio.page.evaluate(f"Promise.race([{refused}, studio.api.config()])") == "ended"
    phone.studio.page.click("#card-actions button:first-child")
    phone.studio.wait_state("live", PATIENCE_S)


def test_a_phone_that_is_turned_is_painted_in_its_new_shape_in_the_same_session(only_phone: Phone) -> None:
    browser, url = only_phone.studio.context.browser, only_phone.studio.url
    with closing(Studio(browser, url, permissions=["camera"], **PHONE)) as turned:
        turned.context.add_init_script(TURNING_CAMERA)
        turned.page.set_default_timeout(1000 * PATIENCE_S)
        turned.page.goto(url)
        turned.wait_state("idle", PATIENCE_S)
        turned.start_camera()
        turned.wait_state("live", PATIENCE_S)
        turned.wait_until("shapeOf('before') < 0 && shapeOf('after') < 0", PATIENCE_S)
        before = turned.session_id()
        turned.page.set_viewport_size({"width": 664, "height": 390})
        turned.page.evaluate("turn(320, 180)")
        turned.wait_until("shapeOf('before') > 0 && shapeOf('after') > 0", PATIENCE_S)
        assert turned.session_id() == before
        assert turned.errors == []
