"""The studio in each possible state, against a server in this process around a fake model.

    python tests/e2e/studio_states.py FOLDER

writes a screenshot of each state, on a desktop and on a phone upright and on its side, in both themes and each
language, as `FOLDER/STATE-DEVICE-THEME-LANGUAGE.png`, for inspection.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from itertools import product
from pathlib import Path
from types import MappingProxyType
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from e2e.studio import PHONE, Studio, browser_with_camera
from http_fakes import settings_for
from live_server import LiveServer, live_server
from vivace.serve.rtc import make_peer_factory

DEVICES: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {
        "desktop": {"viewport": {"width": 1280, "height": 800}},
        "phone": PHONE,
        "phone-on-its-side": {**PHONE, "viewport": {"width": 750, "height": 342}},
    }
)
THEMES = ("light", "dark")
LANGUAGES = ("en", "de")


@contextmanager
def state_server(folder: Path) -> Iterator[LiveServer]:
    """Serve a fake model, with recordings."""
    settings = settings_for(folder, size=(320, 176), max_sessions_per_client=8)
    with live_server(settings, peers=make_peer_factory(settings)) as server:
        yield server


SOCKETS = """
window.sockets = [];
window.WebSocket = class extends WebSocket { constructor(...given) { super(...given); window.sockets.push(this); } };
"""


def state_page(browser: Any, server: LiveServer, **device: Any) -> Studio:
    """Return a page that can be brought into any state from any other."""
    studio = Studio(browser, f"{server.url}/", **{"reduced_motion": "reduce", **device})
    studio.context.add_init_script(SOCKETS)
    return studio


def _idle(studio: Studio) -> None:
    studio.open("red")


def _loading(studio: Studio) -> None:
    loading = {"loading": {"model": "mini", "done": 1, "steps": 3}}
    studio.page.route("**/v1/config", lambda route: route.fulfill(json=loading))
    studio.page.goto(studio.url)
    studio.wait_until("document.getElementById('card-text').textContent.includes('3')")
    studio.page.unroute("**/v1/config")


def _live(studio: Studio) -> None:
    studio.page.unroute("**/v1/sessions")
    studio.page.evaluate("document.querySelectorAll('dialog').forEach((dialog) => dialog.close())")
    if studio.page.url == "about:blank" or studio.page.get_attribute("body", "data-state") != "live":
        studio.open("red").start_camera()
        studio.wait_state("live")
    studio.page.evaluate("studio.prompts.toggleHistory(false)")
    studio.wait_until("document.getElementById('m-fps').textContent !== ''")


def _everything_open(studio: Studio) -> None:
    _live(studio)
    studio.page.evaluate("document.querySelectorAll('details').forEach((panel) => { panel.open = true; })")
    studio.page.evaluate("studio.stage.toggleSplit(true)")


KEYFRAME = """() => {
  const canvas = Object.assign(document.createElement("canvas"), { width: 64, height: 36 });
  canvas.getContext("2d").fillRect(8, 8, 20, 20);
  const [keyframe, schema] = [canvas.toDataURL(), { kind: "image", maxLength: 100_000 }];
  studio.keyframes.offer({ keyframe: schema, keyframe_source: schema }, { keyframe }, async () => true);
  document.getElementById("keyframe-panel").open = true;
}"""
"""Script for a model that follows key frames and has one."""


def _keyframe(studio: Studio) -> None:
    _live(studio)
    studio.page.evaluate(KEYFRAME)


def _shortcuts(studio: Studio) -> None:
    _live(studio)
    studio.page.evaluate("document.getElementById('help').showModal()")


def _unlabel(studio: Studio) -> None:
    _live(studio)
    studio.page.evaluate("document.getElementById('note-on').click()")


def _history(studio: Studio) -> None:
    _live(studio)
    studio.paint("green")
    studio.wait_until("studio.session.controls.prompt === 'green'")
    studio.page.evaluate("studio.prompts.toggleHistory(true)")


def _refused(studio: Studio) -> None:
    _live(studio)
    studio.paint("turn me into a zombie")
    studio.page.wait_for_selector("#prompt-said.bad")


def _recording(studio: Studio) -> None:
    _live(studio)
    if studio.page.get_attribute("#record", "aria-pressed") == "false":
        studio.page.evaluate("document.getElementById('record').click()")
        studio.page.wait_for_selector('#record[aria-pressed="true"]')


def _waiting(studio: Studio) -> None:
    _live(studio)
    news = "{ detail: { state: 'waiting', position: 1, retryAfterS: 40, offer: [240, 128] } }"
    studio.page.evaluate(f"studio.session.dispatchEvent(new CustomEvent('state', {news}))")


def _reconnecting(studio: Studio) -> None:
    _live(studio)
    studio.page.route("**/v1/sessions", lambda route: route.abort())
    studio.page.evaluate("sockets.at(-1).close()")
    studio.wait_state("reconnecting")


def _ended(studio: Studio) -> None:
    _live(studio)
    studio.page.click("#end")
    studio.wait_state("ended")


def _blocked(studio: Studio) -> None:
    studio.open()
    refuse = "async () => { throw new DOMException('no', 'NotAllowedError'); }"
    studio.page.evaluate(f"() => {{ navigator.mediaDevices.getUserMedia = {refuse}; }}")
    studio.start_camera()
    studio.wait_state("problem")


def _token(studio: Studio) -> None:
    refusal = {"code": "expired_token", "message": "the token has expired"}
    studio.page.route("**/v1/models", lambda route: route.fulfill(status=401, json=refusal))
    studio.page.goto(studio.url)
    studio.wait_state("problem")
    studio.page.unroute("**/v1/models")


STATES: Mapping[str, Callable[[Studio], None]] = MappingProxyType(
    {
        "loading": _loading, "idle": _idle, "blocked": _blocked, "token": _token, "live": _live, "history": _history,
        "refused": _refused, "keyframe": _keyframe, "recording": _recording, "shortcuts": _shortcuts,
        "unlabel": _unlabel, "waiting": _waiting, "reconnecting": _reconnecting,
        "everything-open": _everything_open, "ended": _ended,
    }
)  # fmt: skip
"""Actions that bring a page into each state; states that build on another follow it."""


def dress(studio: Studio, theme: str, language: str) -> None:
    """Choose a theme and a language on the page, like a person."""
    choose = """(chosen) => { for (const [id, value] of Object.entries(chosen)) {
      const select = document.getElementById(id);
      select.value = value;
      select.dispatchEvent(new Event("change"));
    } }"""
    studio.page.evaluate(choose, {"theme": theme, "language": language})


def shoot(folder: Path, states: list[str]) -> None:
    """Write the screenshots."""
    with tempfile.TemporaryDirectory() as place:
        spare = Path(place)
        with state_server(spare) as server, browser_with_camera(spare, (640, 360)) as browser:
            for device, emulated in DEVICES.items():
                with closing(state_page(browser, server, **emulated)) as studio:
                    for state in states or STATES:
                        STATES[state](studio)
                        for theme, language in product(THEMES, LANGUAGES):
                            dress(studio, theme, language)
                            studio.page.screenshot(path=folder / f"{state}-{device}-{theme}-{language}.png")


if __name__ == "__main__":
    Path(sys.argv[1]).mkdir(parents=True, exist_ok=True)
    shoot(Path(sys.argv[1]), sys.argv[2:])
