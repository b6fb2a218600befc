"""The pages of links, in a real Chromium: to watch, to show a picture alone, and to steer."""

from __future__ import annotations

import io
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
from PIL import Image

from e2e.browsers import CHROMIUM
from e2e.studio import PHONE, PROBE, Studio
from e2e.studio_states import DEVICES
from http_fakes import settings_for
from live_server import LiveServer, live_server
from patience import PATIENCE_S
from serve_rig import grey
from vivace.messages import Controls
from vivace.serve.session import LiveSession

pytest.importorskip("playwright.sync_api", reason="needs playwright (the dev extra)")
pytest.importorskip("aiortc", reason="needs the serve extra")

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(CHROMIUM is None, reason="needs chromium (Debian: apt-get install chromium)"),
]

SIZE = (192, 112)
GREY = 40
ON_ITS_SIDE = DEVICES["phone-on-its-side"]["viewport"]
WATCH_HIDDEN = """() => {
  const after = document.getElementById("after");
  new MutationObserver(() => { window.wasHidden ||= after.hidden; }).observe(after, { attributeFilter: ["hidden"] });
}"""
"""Script that notes whether the picture is ever hidden from now on."""
IS_RED = "r > g + 30 && r > b + 30"
IS_BLUE = "b > g + 30 && b > r + 30"
IS_GREY = "Math.abs(r - g) < 15 && Math.abs(r - b) < 15"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    """Return a server whose connections are real ones."""
    from vivace.serve.rtc import make_peer_factory

    recordings = tmp_path_factory.mktemp("recordings")
    settings = settings_for(recordings, size=SIZE, slots=4, max_sessions_per_client=100)
    with live_server(settings, peers=make_peer_factory(settings)) as served:
        yield served


@contextmanager
def streaming(server: LiveServer, prompt: str = "red") -> Iterator[LiveSession]:
    """Yield a session that receives pictures, as from a publisher."""
    session = server.manager.open_session(client="test", controls=Controls(prompt=prompt, crossfade_s=0.0))
    stop = threading.Event()

    def publish() -> None:
        while not stop.wait(1 / 15):
            session.presence.touch()
            session.push(grey(GREY, SIZE))

    thread = threading.Thread(target=publish, name="publisher")
    thread.start()
    try:
        yield session
    finally:
        stop.set()
        thread.join()
        session.end("client", "You ended the session.")


class Page:
    """Page in its own window."""

    def __init__(self, browser: Any, server: LiveServer, path: str, **device: Any) -> None:
        self.context = browser.new_context(**{"viewport": {"width": 640, "height": 420}, **device})
        self.context.add_init_script(PROBE)
        self.page = self.context.new_page()
        self.page.set_default_timeout(1000 * PATIENCE_S)
        self.errors: list[str] = []
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.requested: list[Any] = []
        self.page.on("request", lambda request: self.requested.append(request))
        self.connections: list[str] = []
        """URLs of its WHEP connections."""
        self.page.on("response", self._note)
        self.page.goto(server.url + path)

    def _note(self, response: Any) -> None:
        if response.url.endswith("/whep"):
            self.connections.append(response.headers["location"])

    def wait_until(self, expression: str) -> None:
        """Wait until an expression of the page is true."""
        until_s = time.monotonic() + PATIENCE_S
        while not self.page.evaluate(expression):
            assert time.monotonic() < until_s, f"{expression} did not come true; the page says {self.text()!r}"
            self.page.wait_for_timeout(50)

    def wait_colour(self, condition: str) -> None:
        """Wait until the picture's mean colour fulfils a condition on r, g and b."""
        shown = "!document.getElementById('after').hidden"
        self.wait_until(
            f"(() => {{ const [r, g, b] = colourOf('after', [0, 0, 1, 1]) ?? []; return {shown} && {condition}; }})()"
        )

    def wait_text(self, text: str) -> None:
        """Wait until the page shows a text."""
        self.wait_until(f"document.body.innerText.includes({text!r})")

    def text(self) -> str:
        """Return the text of the page."""
        return str(self.page.inner_text("body"))

    def pixels(self) -> np.ndarray:
        """Return the visible pixels, `uint8 [h w 4]`, over nothing."""
        return np.asarray(Image.open(io.BytesIO(self.page.screenshot(omit_background=True))).convert("RGBA"))


@pytest.fixture
def open_page(browser: Any, server: LiveServer) -> Iterator[Callable[..., Page]]:
    """Open pages by their paths; none may have failed or leaked its URL."""
    pages: list[Page] = []

    def open_one(path: str, **device: Any) -> Page:
        pages.append(Page(browser, server, path, **device))
        return pages[-1]

    yield open_one
    for page in pages:
        assert page.errors == []
        assert not [request.url for request in page.requested if request.headers.get("referer")]
        page.context.close()


def withdraw(server: LiveServer, session: LiveSession, kind: str) -> None:
    """Withdraw a link, as the session's owner."""
    url = f"{server.url}/v1/sessions/{session.id}/links/{kind}"
    urllib.request.urlopen(urllib.request.Request(url, method="DELETE", headers={"X-Session-Secret": session.secret}))


def link(session: LiveSession, kind: Any, page: str) -> str:
    """Return the path of the page of a link."""
    return f"/{page}/{session.id}#token={session.links.make(kind).token}"


def test_a_viewer_sees_the_stream_who_steers_it_and_that_it_ended(
    server: LiveServer, open_page: Callable[..., Page]
) -> None:
    with streaming(server) as session:
        page = open_page(link(session, "watch", "watch"), **PHONE)
        page.wait_colour(IS_RED)
        page.wait_text("Live")
        page.wait_text("1 watching")
        page.wait_text("Nobody is steering")
        page.wait_text("AI-modified")
        assert page.page.is_hidden("#prompt")
        assert page.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        page.page.select_option("#theme", "light")
        assert page.page.get_attribute("html", "data-theme") == "light"
        page.page.select_option("#language", "de")
        page.wait_text("Gerade steuert niemand")
        page.page.select_option("#language", "en")
    page.wait_text("This stream has ended")
    assert not page.page.is_visible("#note")


def test_a_clean_page_is_the_picture_alone_and_comes_back_by_itself(
    server: LiveServer, open_page: Callable[..., Page]
) -> None:
    with streaming(server) as session:
        page = open_page(link(session, "watch", "clean"))
        page.wait_colour(IS_RED)
        assert page.text().strip() == ""
        assert page.page.evaluate("document.getElementById('after').muted")
        seen = page.pixels()
        height, width = seen.shape[:2]
        assert tuple(seen[2, width // 2]) == (0, 0, 0, 0), "beside the picture whatever lies below is seen"
        red, green, _, alpha = (int(value) for value in seen[height // 2, width // 2])
        assert alpha == 255
        assert red > green + 30 > 30
        assert page.page.evaluate("document.documentElement.scrollHeight <= innerHeight")

        page.page.evaluate(WATCH_HIDDEN)
        end = urllib.request.Request(server.url + page.connections[0], method="DELETE")
        urllib.request.urlopen(end)
        page.wait_until("window.wasHidden")
        page.wait_colour(IS_RED)
        assert len(page.connections) == 2

        withdraw(server, session, "watch")
        page.wait_until("document.getElementById('after').hidden")
        assert page.pixels().max() == 0, "no picture stands still: there is nothing"


def test_who_has_the_link_steers_until_it_is_withdrawn(server: LiveServer, open_page: Callable[..., Page]) -> None:
    with streaming(server) as session:
        page = open_page(link(session, "steer", "steer"), **PHONE)
        page.wait_colour(IS_RED)
        page.wait_text("Steered by one person")
        held: list[Any] = []
        page.page.route("**/v1/presets", lambda route: held.append(route), times=1)
        with page.page.expect_request("**/v1/presets"):
            page.page.reload()
        page.wait_text("Live")
        assert page.page.is_hidden("#prompt"), "nothing is offered before it works"
        held[0].continue_()
        page.page.fill("#prompt", "blue")
        page.page.press("#prompt", "Enter")
        page.wait_colour(IS_BLUE)
        page.page.fill("#strength", "0")
        page.wait_colour(IS_GREY)
        page.wait_until("document.getElementById('note').hidden")
        page.page.set_viewport_size(ON_ITS_SIDE)
        page.wait_until("document.getElementById('after').getBoundingClientRect().width > 0.5 * innerWidth")
        assert page.page.locator("#prompt").bounding_box()["width"] > 80
        page.page.set_viewport_size(PHONE["viewport"])
        withdraw(server, session, "steer")
        page.wait_text("This link was withdrawn")
        assert page.page.is_hidden("#prompt")
        assert session.state == "live"


def test_a_link_that_does_not_open_a_session_says_why(server: LiveServer, open_page: Callable[..., Page]) -> None:
    with streaming(server) as session, streaming(server) as other:
        watch, elsewhere = (each.links.make("watch").token for each in (session, other))
        page = open_page("/watch/abcdefghijkl")
        page.wait_text("No stream here")
        for path, said in (
            ("watch/abcdefghijkl#token=abcdefghijkl.guess", "No stream here"),
            ("watch/%E0%A4%A", "No stream here"),
            (f"steer/{session.id}#token={watch}", "for watching only"),
            (f"watch/{session.id}#token={session.id}.guess", "This link was withdrawn"),
            (f"watch/{session.id}#token={elsewhere}", "another stream"),
        ):
            page.page.goto("about:blank")
            page.page.goto(f"{server.url}/{path}")
            page.wait_text(said)
            assert page.page.is_hidden("#prompt")
        assert (session.state, other.state) == ("live", "live")


@pytest.fixture(scope="module")
def studio(server: LiveServer, browser: Any) -> Iterator[Studio]:
    """Return a studio that is live from the camera."""
    made = Studio(browser, server.url + "/", permissions=["clipboard-read", "clipboard-write"])
    made.page.set_default_timeout(1000 * PATIENCE_S)
    made.open("red").start_camera()
    made.wait_state("live", PATIENCE_S)
    yield made
    assert made.errors == []
    made.close()


def addresses(studio: Studio) -> dict[str, str]:
    """Return the URLs that the studio shares, by their purpose."""
    shown = studio.page.eval_on_selector_all(".address input", "(inputs) => inputs.map(({ value }) => value)")
    kinds = {kind: next((each for each in shown if f"/{kind}" in each), "") for kind in ("watch", "clean", "steer")}
    return kinds | {kind: next(each for each in shown if f"/{kind}?" in each) for kind in ("whip", "whep")}


def test_the_studio_gives_links_and_addresses_to_copy_and_takes_them_back(server: LiveServer, studio: Studio) -> None:
    page, session = studio.page, server.manager.get(studio.session_id())
    page.click("#share-open")
    page.wait_for_selector("#share[open]")
    page.get_by_role("button", name="Make a link").click()
    studio.wait_until("[...document.querySelectorAll('.address input')].some(({ value }) => value.includes('/steer/'))")
    shown = addresses(studio)
    watch, steer = (session.links.make(kind).token for kind in ("watch", "steer"))
    assert shown == {
        "watch": f"{server.url}/watch/{session.id}#token={watch}",
        "clean": f"{server.url}/clean/{session.id}#token={watch}",
        "steer": f"{server.url}/steer/{session.id}#token={steer}",
        "whip": f"{server.url}/v1/sessions/{session.id}/whip?secret={session.secret}",
        "whep": f"{server.url}/v1/sessions/{session.id}/whep?token={watch}",
    }
    page.get_by_role("button", name="Copy").first.click()
    studio.wait_until(f"navigator.clipboard.readText().then((text) => text === {shown['watch']!r})")
    page.get_by_role("button", name="QR code").first.click()
    studio.wait_until("document.querySelector('#share-qr img').naturalWidth > 0")
    page.get_by_role("button", name="Withdraw").first.click()
    studio.wait_until(
        f"![...document.querySelectorAll('.address input')].some(({{ value }}) => value.includes({watch!r}))"
    )
    assert session.links.find(watch) is None
    assert session.links.find(steer) is not None
    page.keyboard.press("Escape")
    assert session.state == "live"


def test_what_one_who_steers_sets_the_others_see(
    server: LiveServer, studio: Studio, open_page: Callable[..., Page]
) -> None:
    page, session = studio.page, server.manager.get(studio.session_id())
    guest = open_page(link(session, "steer", "steer"), **PHONE)
    guest.page.fill("#prompt", "blue")
    guest.page.press("#prompt", "Enter")
    studio.wait_until("document.getElementById('prompt').value === 'blue'")
    assert "Somebody else asks for “blue”" in page.inner_text("#prompt-said")
    guest.page.fill("#strength", "0")
    studio.wait_until("document.getElementById('strength').value === '0' && document.getElementById('note').hidden")
    studio.wait_untouched()
    assert page.inner_text("#strength-out") == "0 %"
    assert page.evaluate("[studio.session.controls.prompt, studio.session.controls.strength]") == ["blue", 0]
    page.fill("#strength", "100")
    page.fill("#prompt", "red")
    page.press("#prompt", "Enter")
    guest.wait_until("document.getElementById('prompt').value === 'red'")
    guest.wait_until("document.getElementById('strength').value === '100'")


def test_a_recording_is_kept_named_played_and_deleted_when_its_session_has_ended(
    server: LiveServer, studio: Studio
) -> None:
    page = studio.page
    studio.press_tool("#record")
    page.wait_for_selector('#record[aria-pressed="true"]')
    studio.wait_until("document.getElementById('record-time').textContent >= '0:01'")
    page.click("#end")
    studio.wait_until("document.querySelector('.toast a')?.textContent === 'Download'")
    page.click("#recordings-panel summary")
    page.evaluate("studio.recordings.refresh()")  # no answer arrives any more that would replace the shown list
    page.fill("#recordings input", "The rehearsal")
    page.press("#recordings input", "Enter")
    studio.wait_until(
        "studio.api.json('GET', '/v1/recordings').then(({ recordings: [{ title }] }) => title === 'The rehearsal')"
    )
    page.get_by_role("button", name="Play").click()
    studio.wait_until("document.querySelector('#playback video').videoWidth > 0")
    page.click("#playback form button")
    page.reload()
    studio.wait_state("idle", PATIENCE_S)
    page.click("#recordings-panel summary")
    page.evaluate("studio.recordings.refresh()")
    studio.wait_until("document.querySelector('#recordings input')?.value === 'The rehearsal'")
    page.get_by_role("button", name="Delete").click()
    page.get_by_role("button", name="Delete for good?").click()
    studio.wait_until("document.querySelectorAll('#recordings li').length === 0")
    assert server.settings.recordings is not None
    assert list(server.settings.recordings.iterdir()) == []
