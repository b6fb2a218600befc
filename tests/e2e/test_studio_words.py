"""Texts and choices of the studio: plain words, reachable with a keyboard."""

from __future__ import annotations

import json
import re
from contextlib import closing
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from e2e.browsers import CHROMIUM
from e2e.studio import BLUEPRINT, Serving, Studio
from http_fakes import settings_for
from live_server import live_server
from vivace.serve.app import WEB
from vivace.serve.rtc import make_peer_factory

pytest.importorskip("playwright.sync_api", reason="needs playwright (the dev extra)")
pytest.importorskip("aiortc", reason="needs the serve extra")

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(CHROMIUM is None, reason="needs chromium (Debian: apt-get install chromium)"),
]

FOCUSED = "document.activeElement.id || document.activeElement.textContent"


@pytest.mark.parametrize(
    ("prompt", "refusal"),
    [
        ("turn me into a zombie", "Understood: zombie on the person. This model cannot do that."),
        ("my hair as marble", "Understood: marble on the hair. This model cannot do that."),
        ("Pixar style", "This model has no look for “Pixar style”."),
    ],
)
def test_a_refusal_is_one_short_sentence_and_buttons(live: Studio, prompt: str, refusal: str) -> None:
    live.paint(prompt)
    live.wait_until(f"document.querySelector('#prompt-said.bad')?.textContent.startsWith({json.dumps(refusal)})")
    offers = live.page.locator("#prompt-said button").all_inner_texts()
    titles = live.page.locator("#presets button").all_inner_texts()
    assert len(offers) == 3
    assert set(offers) <= set(titles)
    said = live.page.inner_text("#prompt-said")
    assert len(said) < 120


def test_an_edit_is_said_as_it_was_understood_and_what_of_it_is_not_in_the_picture(live: Studio) -> None:
    live.paint("make my shirt red")  # the first prompt about a place has networks loaded, which may take a while
    said = "document.querySelector('#prompt-said:not(.bad)')?.textContent"
    live.wait_until(f"{said} === 'The clothes in red. Not in the picture now: the clothes.'")
    other = "(studio.prompts.say(() => 'Other.'), document.getElementById('prompt-said').textContent)"
    assert live.page.evaluate(other) == "Other.", "what was missing for the prompt before is not said of the next"
    live.page.evaluate("studio.prompts.missing(['clothes']); studio.prompts.missing(['clothes'])")
    live.page.evaluate("studio.stop()")
    live.wait_state("ended")
    assert "Not in the picture" not in live.page.inner_text("#prompt-said"), "nothing is said of a picture that is none"
    live.page.evaluate("studio.start('camera')")
    live.wait_state("live")
    live.paint(BLUEPRINT)
    live.wait_until(f"{said} === 'Painting as blueprint.'")


def test_what_takes_long_to_get_ready_is_said_to_be_under_way(live: Studio) -> None:
    answer = (
        "new Promise((resolve) => { window.answer = () => resolve({ prompt: 'ink', matches: [], message: 'Done.' }); })"
    )
    live.page.evaluate(f"window.apply = studio.prompts.apply; studio.prompts.apply = () => {answer}; 0")
    live.paint("make my shirt red")
    live.page.wait_for_selector("#prompt-said:text-is('Getting ready to paint that …')")
    live.page.evaluate("answer()")
    live.page.wait_for_selector("#prompt-said:text-is('Done.')")
    live.page.evaluate("studio.prompts.apply = apply; 0")  # a function would be called
    live.paint(BLUEPRINT)
    live.wait_until("document.querySelector('#prompt-said')?.textContent === 'Painting as blueprint.'")


def test_what_is_not_painted_is_said_in_the_pages_words(live: Studio) -> None:
    live.paint("make me look like Taylor Swift")
    live.wait_until("document.querySelector('#prompt-said.bad')?.textContent.includes('real person')")
    assert live.page.inner_text("#prompt-said") == "Nobody is given a real person's likeness here."
    live.page.evaluate("document.getElementById('page-panel').open = true")
    live.page.select_option("#language", label="Deutsch")
    assert live.page.inner_text("#prompt-said") == "Niemand bekommt hier das Aussehen einer wirklichen Person."
    live.page.select_option("#language", label="English")
    assert live.page.evaluate("studio.session.controls.prompt") == BLUEPRINT
    live.paint(BLUEPRINT)


def test_who_waits_next_begins_at_the_size_that_is_offered(tmp_path: Path, browser: Any) -> None:
    wide, room_mib = (320, 176), 270  # a fake session takes 165 MiB, at 240x128 90
    settings = settings_for(tmp_path, size=wide, slots=None, memory_limit_mib=room_mib)
    with (
        live_server(settings, peers=make_peer_factory(settings)) as server,
        closing(Studio(browser, f"{server.url}/")) as first,
        closing(Studio(browser, f"{server.url}/")) as second,
    ):
        first.open("red").start_camera()
        first.wait_state("live")
        second.open("red").start_camera()
        second.wait_state("waiting")
        second.paint("green")  # who waits may already steer
        second.wait_until("studio.session.controls.prompt === 'green'")
        assert "240 × 128" in second.page.inner_text("#card-text")
        second.page.click("#card-actions button.primary")
        second.wait_state("live")
        second.wait_until("document.getElementById('m-size').textContent === '240 × 128'")
        assert second.page.inner_text("#detail option:checked") == "As there is room"
        assert first.page.get_attribute("body", "data-state") == "live"
        assert second.errors == []


def test_a_prompt_refused_at_the_start_offers_on_the_card_what_is_near(server: Serving, browser: Any) -> None:
    server.wait()
    with closing(Studio(browser, server.url)) as studio:
        refusal = {"code": "unknown_prompt", "message": "No.", "matches": [["blueprint", 0.5], ["ink", 0.1]]}
        studio.page.route(
            "**/v1/sessions",
            lambda route: route.fulfill(status=422, content_type="application/json", body=json.dumps(refusal)),
        )
        studio.open("lego").start_camera()
        studio.wait_state("problem")
        assert studio.page.locator("#card-near button").all_inner_texts() == ["blueprint", "ink"]
        studio.page.unroute("**/v1/sessions")
        studio.page.click("#card-near button:text-is('blueprint')")
        studio.wait_state("live")
        assert studio.page.input_value("#prompt") == studio.page.evaluate("studio.session.controls.prompt")
        assert studio.errors == []


def test_looks_go_by_their_names(live: Studio) -> None:
    live.paint("anime girl")
    live.wait_until("document.getElementById('prompt-said').textContent === 'Painting as anime cel.'")
    live.paint("night with a little snow")
    live.wait_until("document.getElementById('prompt-said').textContent.startsWith('Painting as ')")
    live.wait_until(
        r"/^Painting as \w+ \(\d+ %\) and \w+ \(\d+ %\)\.$/.test(document.getElementById('prompt-said').textContent)"
    )
    live.paint(BLUEPRINT)


def test_presets_and_sources_are_one_tab_stop_each_with_arrow_keys(server: Serving, browser: Any) -> None:
    server.wait()
    with closing(Studio(browser, server.url)) as studio:
        page = studio.open().page
        page.wait_for_selector("#presets button")
        titles = page.locator("#presets button span").all_inner_texts()
        page.fill("#prompt", "nothing of the kind")
        page.focus("#apply")
        page.keyboard.press("Tab")
        assert page.evaluate(FOCUSED) == "Everything", "where it paints"
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.getAttribute('aria-label')") == "More places"
        page.keyboard.press("Tab")
        assert page.evaluate(FOCUSED) == titles[0]
        page.keyboard.press("ArrowRight")
        assert page.evaluate(FOCUSED) == titles[1]
        page.keyboard.press("End")
        assert page.evaluate(FOCUSED) == titles[-1]
        page.keyboard.press("ArrowRight")
        assert page.evaluate(FOCUSED) == titles[0]
        page.keyboard.press("ArrowLeft")
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.dataset.kind") == "camera"
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.id") == "strength"
        page.keyboard.press("Shift+Tab")
        page.keyboard.press("Shift+Tab")
        assert page.evaluate(FOCUSED) == titles[-1], "the stop is where one was"
        page.keyboard.press("Enter")
        assert page.input_value("#prompt") == page.evaluate("document.activeElement.title.replace(/ \\(key.*/, '')")
        page.click("#presets button:nth-child(3)")
        page.focus("#chips select")
        page.keyboard.press("Tab")
        assert page.evaluate(FOCUSED) == titles[2], "the stop is what is chosen"


SPOKEN = {"aria-label", "placeholder", "title", "data-tip"}


class Literals(HTMLParser):
    """Words in the page itself."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self.inside: list[str] = []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.inside.append(tag)
        self.found += [value for name, value in attributes if name in SPOKEN and value]

    def handle_endtag(self, tag: str) -> None:
        while self.inside and self.inside.pop() != tag:
            pass

    def handle_data(self, data: str) -> None:
        if re.search("[A-Za-z]{2}", data) and self.inside[-1] != "title":
            self.found.append(data.strip())


def test_the_pages_texts_are_in_one_folder() -> None:
    for name in ("index.html", "watch.html"):
        page = Literals()
        page.feed((WEB / name).read_text("utf-8"))
        assert page.found == ["vivace"], name
    for module in (WEB / "studio").glob("*.js"):
        code = re.sub(
            r"/\*.*?\*/|(?:^|\s)//[^\n]*|[^\n]*(?:console\.|new VivaceError\()[^\n]*",
            "",
            module.read_text("utf-8"),
            flags=re.S,
        )
        for literal in re.findall(r'"[^"\n]*":?|`[^`]*`', code):
            if literal.endswith(":"):  # the key of an object
                continue
            words = set(re.findall(r"\b[A-Z][a-z]+\b", re.sub(r"\$\{.*?\}", "", literal)))
            assert words <= {"Vivace", "Files", "Escape", "Esc", "Enter", "Home", "End"}, f"{module.name}: {literal}"


def test_every_text_of_the_page_is_written(server: Serving, browser: Any) -> None:
    server.wait()
    with closing(Studio(browser, server.url)) as studio:
        page = studio.open().page
        assert page.locator("[data-t]").count() > 40
        for name in ("textContent", "ariaLabel", "placeholder", "title"):
            texts = page.evaluate(f"[...document.querySelectorAll('body *')].map((node) => node.{name})")
            assert not [text for text in texts if text and "undefined" in text]
        empty = "[...document.querySelectorAll('[data-t]')].filter((node) => !node.textContent.trim()).length"
        assert page.evaluate(empty) == 0
        states = {name: page.inner_text(f"#{name}") for name in ("region-state", "note-state", "limit", "status-text")}
        assert all(states.values()), states


def test_a_slow_device_is_told_in_numbers_that_mean_something(server: Serving, browser: Any) -> None:
    server.wait()
    with closing(Studio(browser, server.url)) as studio:
        told = """async ([out, effort, here]) => (await import("/studio/words.js")).limitWords(
          { limit: "device", limit_text: "", fps_in: 29.3, fps_out: out, effort }, { here, lessDetail: true })"""
        say = studio.open().page.evaluate
        slow = "This computer is too slow for 29 fps: showing 3. Try less detail, or close other programs."
        assert say(told, [3.2, 1, True]) == slow
        assert say(told, [None, 1, False]) == "The server is too slow for 29 fps: showing 0. Try less detail."
        assert "36 %" in say(told, [28.4, 0.36, True])
        assert "slow" not in say(told, [28.4, 1, True]), "28 of 29 is nothing to be told of"


def test_a_server_that_loads_its_model_is_said_with_its_steps(server: Serving, browser: Any) -> None:
    server.wait()
    with closing(Studio(browser, server.url)) as studio:
        loading = {"loading": {"model": "mini", "done": 1, "steps": 3}}
        studio.page.route("**/v1/config", lambda route: route.fulfill(json=loading))
        studio.page.goto(studio.url)
        studio.wait_until("document.getElementById('card-text').textContent.includes('1 of 3 steps')")
        assert studio.page.inner_text("#card-title") == "Loading mini"
        assert studio.page.inner_text("#status-text") == "Loading"
        studio.page.unroute("**/v1/config")
        studio.wait_state("idle")
        assert studio.errors == []


def test_where_a_prompt_paints_is_chosen_below_it(live: Studio) -> None:
    live.paint(BLUEPRINT)
    chips = live.page.locator("#chips [role=radio]")
    assert chips.all_inner_texts() == ["Everything", "Person", "Background", "Face", "Hair", "Clothes"]
    chips.nth(2).click()
    live.wait_until("studio.session.controls.options?.place === 'background'")
    live.wait_until("document.querySelector('#chips [aria-checked=true]').textContent === 'Background'")
    chips.nth(2).press("Home")
    live.wait_until("studio.session.controls.options?.place === 'everything'")
    live.page.evaluate("document.getElementById('page-panel').open = true")
    live.page.select_option("#language", label="Deutsch")
    assert chips.all_inner_texts() == ["Alles", "Person", "Hintergrund", "Gesicht", "Haare", "Kleidung"]
    assert live.page.get_attribute("#chips [role=radiogroup]", "aria-label") == "Wo"
    live.page.select_option("#language", label="English")


PLACE = "studio.session.controls.options?.place"


def click_picture(studio: Studio, x: float, y: float) -> None:
    """Click on the picture at shares of its width and height."""
    box = studio.page.locator("#picture").bounding_box()
    assert box is not None
    studio.page.mouse.click(box["x"] + x * box["width"], box["y"] + y * box["height"])


def test_a_click_on_the_picture_chooses_where_the_prompt_paints(live: Studio) -> None:
    live.paint(BLUEPRINT)
    # the first one has networks loaded, for which a busy machine takes longer than a page waits
    live.wait_until("studio.session.pick(0.5, 0.08).then((places) => places.length > 0, () => false)")
    click_picture(live, 0.5, 0.08)
    live.wait_until(f"![undefined, 'everything'].includes({PLACE})")
    place = live.page.evaluate(PLACE)
    assert place in live.page.evaluate("studio.session.pick(0.5, 0.08)")
    checked = live.page.locator("#chips [aria-checked=true]")
    assert checked.get_attribute("data-value") == place
    # keys reach every place, also those that are no chip yet
    live.page.focus("#chips select")
    live.page.select_option("#chips select", label="Lips")
    live.wait_until(f"{PLACE} === 'lips'")
    assert checked.inner_text() == "Lips"
    checked.press("Home")
    live.wait_until(f"{PLACE} === 'everything'")
    assert live.errors == []


@pytest.mark.parametrize(("mirrored", "x"), [(False, 0.25), (True, 0.75)])
def test_a_click_is_where_it_is_in_the_picture_as_it_is_sent(live: Studio, mirrored: bool, x: float) -> None:
    live.page.evaluate(
        """(mirrored) => {
          if (studio.stage.mirrored !== mirrored) studio.stage.toggleMirror();
          window.own = studio.session.pick;
          studio.session.pick = async (x, y) => { window.at = [x, y]; return ["nowhere", "hair", "red"]; };
        }""",
        mirrored,
    )
    click_picture(live, 0.25, 0.4)
    live.wait_until(f"{PLACE} === 'hair'")
    assert live.page.evaluate("window.at") == pytest.approx([x, 0.4], abs=0.02)
    assert "Red" in live.page.locator("#chips [role=radio]").all_inner_texts(), "what else was there is offered"
    live.page.evaluate("studio.session.pick = async () => []")
    click_picture(live, 0.5, 0.5)
    live.page.wait_for_selector("text=Nothing was found there.")
    assert live.page.evaluate(PLACE) == "hair"
    live.page.evaluate("(() => { studio.session.pick = window.own; studio.options.places.choose('everything'); })()")
    live.wait_until(f"{PLACE} === 'everything'")


def test_while_the_brush_is_open_a_click_paints_with_it(live: Studio) -> None:
    live.page.evaluate("studio.brush.toggle(true)")
    click_picture(live, 0.5, 0.5)
    live.wait_until("studio.brush.dataUrl() !== ''")
    assert live.page.evaluate(PLACE) in (None, "everything")
    live.page.evaluate("(() => { studio.brush.clear(); studio.brush.toggle(false); })()")


@pytest.mark.parametrize(
    ("prompt", "english", "german"),
    [
        ("make my shirt dark green", "The clothes in dark green.", "Kleidung in Dunkelgrün."),
        ("me in ink, keep my face", "Ink on the person, but not the face.", "Tusche: Person, außer Gesicht."),
        ("me as a zombie", "Understood: zombie on the person. This", "Verstanden: zombie: Person. Das kann"),
        ("put me on a beach", "Another place cannot be invented", "Ein anderer Ort lässt sich nicht erfinden"),
    ],
)
def test_places_and_what_is_done_there_are_said_in_the_pages_language(
    live: Studio, prompt: str, english: str, german: str
) -> None:
    live.paint(prompt)
    live.wait_until(f"document.getElementById('prompt-said').textContent.startsWith({english!r})")
    live.page.evaluate("document.getElementById('page-panel').open = true")
    live.page.select_option("#language", label="Deutsch")
    assert live.page.inner_text("#prompt-said").startswith(german)
    live.page.select_option("#language", label="English")
