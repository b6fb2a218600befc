"""Controllers and keys in the studio: learned by touching, moved, remembered; and played sessions as scripts."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from e2e.browsers import CHROMIUM, FIREFOX, report_of
from e2e.studio import Studio
from e2e.studio_states import dress, state_server
from fakes import FakeModel
from live_server import LiveServer
from vivace.serve.app import WEB
from vivace.show.script import Script, Timeline, read_script

pytest.importorskip("playwright.sync_api", reason="needs playwright (the dev extra)")
pytest.importorskip("aiortc", reason="needs the serve extra")

pytestmark = pytest.mark.e2e
needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="needs chromium (Debian: apt-get install chromium)")

FAKE_MIDI = """
// What a browser gives of its MIDI controllers, with one to be played by a test.
window.midiAsked = 0;
window.midiPad = { name: "Test pad", state: "connected", onmidimessage: null };
window.midiAccess = { inputs: new Map([["1", midiPad]]), onstatechange: null };
window.midiSend = (...data) => midiPad.onmidimessage?.({ data: new Uint8Array(data) });
navigator.requestMIDIAccess = async () => {
  midiAsked += 1;
  if (window.midiRefused) throw new DOMException("no", "NotAllowedError");
  return midiAccess;
};
"""
KNOB, PAD, BENDER = 0xB0, 0x90, 0xE0


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    with state_server(tmp_path_factory.mktemp("surfaces")) as made:
        yield made


class Controlled(Studio):
    """Page with a controller."""

    def __init__(self, browser: Any, url: str, **device: Any) -> None:
        super().__init__(browser, url, **device)
        self.context.add_init_script(FAKE_MIDI)

    def live(self) -> Controlled:
        self.open("red").start_camera()
        self.wait_state("live")
        self.page.click("#surfaces-panel summary")
        self.page.click("#midi")
        self.wait_until("document.getElementById('midi').disabled")
        return self

    def send(self, *data: int) -> None:
        self.page.evaluate("(data) => midiSend(...data)", list(data))

    def learn(self, control: str, *data: int) -> None:
        """Learn a control by touching it, and then the controller."""
        self.page.click("#learn")
        self.page.click(control)
        self.send(*data)
        self.wait_until("document.getElementById('learn').getAttribute('aria-pressed') === 'false'")

    def control(self, name: str) -> Any:
        return self.page.evaluate(f"studio.session.controls.{name}")

    def bound(self) -> list[str]:
        return [text.removesuffix("Remove").strip() for text in self.page.locator("#bindings li").all_inner_texts()]


@pytest.fixture
def studio(server: LiveServer, browser: Any) -> Iterator[Controlled]:
    with closing(Controlled(browser, f"{server.url}/")) as made:
        yield made
        assert made.errors == []


@needs_chromium
def test_a_knob_that_is_learned_by_touching_moves_its_control(studio: Controlled) -> None:
    studio.live()
    assert "Test pad is connected." in studio.page.inner_text("#surfaces-hint")
    before = studio.page.input_value("#strength")
    studio.page.click("#learn")
    studio.page.click("#strength", position={"x": 5, "y": 5})
    assert studio.page.input_value("#strength") == before, "what is touched to be learned does not move"
    assert "Strength: now turn a knob" in studio.page.inner_text("#surfaces-hint")
    assert studio.page.locator("#strength.learning").count() == 1
    studio.send(KNOB, 21, 0)  # at rest; it is not the one meant
    studio.send(KNOB, 21, 64)
    assert studio.bound() == ["Knob 21 → Strength"]
    assert studio.page.locator(".learning").count() == 0
    studio.send(KNOB, 21, 0)
    studio.wait_until("studio.session.controls.strength === 0")
    studio.wait_untouched()
    studio.send(KNOB, 22, 127)  # another
    studio.send(KNOB, 21, 127)
    studio.wait_until("studio.session.controls.strength === 1")
    assert studio.page.inner_text("#strength-out") == "100 %"


@needs_chromium
def test_pads_press_buttons_and_presets_and_keys_do_too(studio: Controlled) -> None:
    studio.live()
    studio.learn("#reseed", PAD, 36, 100)
    studio.learn("#presets button:nth-child(3)", PAD, 37, 1)
    studio.page.click("#learn")
    mirrored = studio.page.get_attribute("#mirror", "aria-pressed")
    studio.press_tool("#mirror")
    studio.page.keyboard.press("m")  # a shortcut of the page's own, which is learned and does nothing else
    assert studio.page.get_attribute("#mirror", "aria-pressed") == mirrored
    third = studio.page.locator("#presets button:nth-child(3)").inner_text().strip()
    assert studio.bound() == ["Note 36 → Another seed", f"Note 37 → {third}", "M → Mirror"]
    seed = studio.control("seed")
    studio.send(0x80, 36, 0)
    studio.send(PAD, 36, 90)
    studio.wait_until(f"studio.session.controls.seed !== {seed}")
    prompt = studio.page.locator("#presets button:nth-child(3)").get_attribute("title")
    assert prompt is not None
    studio.send(PAD, 37, 127)
    studio.wait_until(f"{prompt!r}.startsWith(document.getElementById('prompt').value)")
    studio.page.locator("#h-look").click()
    studio.page.keyboard.press("m")
    assert studio.page.get_attribute("#mirror", "aria-pressed") != mirrored
    studio.page.focus("#prompt")
    studio.page.keyboard.press("m")  # typed, and no key of a surface
    assert studio.page.get_attribute("#mirror", "aria-pressed") != mirrored


@needs_chromium
def test_what_was_learned_is_remembered_and_can_be_removed(studio: Controlled) -> None:
    studio.live()
    studio.learn("#crossfade", BENDER, 127, 127)
    studio.learn("#strength", BENDER, 0, 64)  # one knob, one control
    assert studio.bound() == ["Bender → Strength"]
    studio.learn("#crossfade", KNOB, 7, 5)
    studio.context.grant_permissions(["midi"])
    studio.page.reload()
    studio.wait_state("live")
    studio.wait_until("midiAsked > 0")  # no further permission is needed
    studio.page.click("#surfaces-panel summary")
    assert studio.bound() == ["Bender → Strength", "Knob 7 → Crossfade"]
    studio.send(KNOB, 7, 127)
    studio.wait_until("studio.session.controls.crossfade_s === 5")
    studio.page.click("#bindings li:nth-child(2) button")
    assert studio.bound() == ["Bender → Strength"]
    studio.send(KNOB, 7, 0)
    studio.send(BENDER, 0, 0)
    studio.wait_until("studio.session.controls.strength === 0")
    assert studio.control("crossfade_s") == 5
    dress(studio, "dark", "de")
    assert "→ Stärke" in studio.page.inner_text("#bindings")
    dress(studio, "dark", "en")


@needs_chromium
def test_learning_ends_with_escape_and_a_slider_takes_no_key(studio: Controlled) -> None:
    studio.live()
    studio.page.click("#learn")
    studio.page.click("#strength")
    studio.page.keyboard.press("q")
    assert studio.page.get_attribute("#learn", "aria-pressed") == "true", "a slider needs a knob"
    studio.page.keyboard.press("Escape")
    assert studio.page.get_attribute("#learn", "aria-pressed") == "false"
    studio.send(KNOB, 21, 100)
    assert studio.bound() == []
    # Touched first, the knob waits for its control; a keyboard touches with Enter.
    studio.page.click("#learn")
    studio.send(KNOB, 21, 100)
    assert "Knob 21: now touch the control" in studio.page.inner_text("#surfaces-hint")
    studio.page.focus("#strength")
    studio.page.keyboard.press("Enter")
    assert studio.bound() == ["Knob 21 → Strength"]


@needs_chromium
def test_a_controller_that_comes_and_goes_and_a_browser_that_refuses(studio: Controlled) -> None:
    studio.open()
    studio.page.evaluate("() => { window.midiRefused = true; }")
    studio.page.click("#surfaces-panel summary")
    studio.page.click("#midi")
    assert "does not allow MIDI" in studio.page.inner_text("#toasts")
    studio.page.evaluate("() => { window.midiRefused = false; midiAccess.inputs.clear(); }")
    studio.page.click("#midi")
    studio.wait_until("document.getElementById('surfaces-hint').textContent.includes('No MIDI controller')")
    plug = "() => { midiAccess.inputs.set('1', midiPad); midiAccess.onstatechange(); }"
    studio.page.evaluate(plug)
    assert "Test pad is connected." in studio.page.inner_text("#surfaces-hint")
    studio.learn("#strength", KNOB, 1, 100)
    studio.page.evaluate("() => { midiPad.state = 'disconnected'; midiAccess.onstatechange(); }")
    assert "No MIDI controller" in studio.page.inner_text("#surfaces-hint")
    studio.send(0xF8)  # a clock
    studio.send(KNOB)  # cut off
    studio.send()
    assert studio.bound() == ["Knob 1 → Strength"]


@needs_chromium
def test_what_was_played_is_saved_as_a_script_that_plays_it(studio: Controlled, tmp_path: Path) -> None:
    studio.live()
    studio.learn("#strength", KNOB, 21, 100)
    studio.send(KNOB, 21, 0)
    studio.wait_until("studio.session.controls.strength === 0")
    studio.paint("green")
    studio.wait_until("studio.session.controls.prompt === 'green'")

    def saved(name: str) -> Path:
        with studio.page.expect_download() as told:
            studio.page.click("#save-show")
        path = tmp_path / name
        told.value.save_as(path)
        assert told.value.suggested_filename.endswith(".toml")
        return path

    def played(script: Script) -> list[Any]:
        return [(cue.at, dict(cue.values)) for cue in script.cues]

    first = read_script(saved("first.toml"))
    set_at = {name: cue.at for cue in first.cues for name, value in cue.values.items() if value in ("green", 0.0)}
    assert first.cues[0].values["prompt"] == "red"
    assert 0 < set_at["strength"] <= set_at["prompt"]
    Timeline(first, FakeModel()).close()
    # The last session can be saved after its end, too.
    studio.page.click("#end")
    studio.wait_state("ended")
    assert played(read_script(saved("second.toml"))) == played(first)


@pytest.mark.skipif(FIREFOX is None, reason="needs firefox (Debian: apt-get install firefox-esr)")
def test_firefox_reads_the_same_messages(tmp_path: Path) -> None:
    page = """<script type="module">
      import { readMidi } from "./midi.js";
      const read = (before, ...data) => readMidi(new Uint8Array(data), before);
      const told = [read(0, 0xb2, 21, 127), read(0, 0x90, 36, 100), read(0, 0x80, 36, 0), read(0, 0x90, 36, 0),
        read(0, 0xe0, 127, 127), read(0.2, 0xb0, 1, 64), read(0.6, 0xb0, 1, 127), read(0, 0xf8), read(0, 0xd0, 3)];
      const midi = "requestMIDIAccess" in navigator;
      fetch("/report", { method: "POST", body: JSON.stringify({ told, midi }) });
    </script>"""
    assert FIREFOX is not None
    report = report_of(FIREFOX, page, {"midi.js": WEB / "studio" / "midi.js"}, tmp_path)
    cc, on, off, quiet, bend, passing, beyond, clock, pressure = report["told"]
    assert (cc["key"], cc["value"], cc["pressed"]) == ("cc 21/3", 1, True)
    assert (on["key"], on["kind"], on["pressed"]) == ("note 36/1", "note", True)
    assert [off["pressed"], quiet["pressed"]] == [False, False]
    assert (bend["key"], bend["value"]) == ("bend/1", 1)
    assert [passing["pressed"], beyond["pressed"]] == [True, False]
    assert clock is pressure is None
