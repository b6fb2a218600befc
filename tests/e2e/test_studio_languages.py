"""The studio in another language: complete, chosen on the page, and remembered."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest

from e2e.browsers import CHROMIUM
from e2e.studio import Studio
from e2e.studio_states import LANGUAGES, STATES, dress, state_server
from live_server import LiveServer
from vivace.models.mini.styles import STYLE_KEYS
from vivace.serve.app import WEB

pytest.importorskip("playwright.sync_api", reason="needs playwright (the dev extra)")
pytest.importorskip("aiortc", reason="needs the serve extra")

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(CHROMIUM is None, reason="needs chromium (Debian: apt-get install chromium)"),
]

COLOURS = ("Orange", "Cyan", "Magenta", "Beige")
ENGLISH_OF_THE_SERVER = ("looks", "options", "said")

LEAVES = """async () => {
  const { TEXTS } = await import("/studio/language.js");
  const leaves = (texts, at) => Object.entries(texts).flatMap(([key, text]) => {
    const path = [...at, key];
    if (text && typeof text === "object") return leaves(text, path);
    return [[path.join("."), typeof text, String(text)]];
  });
  return Object.fromEntries(Object.entries(TEXTS).map(([name, texts]) => [name, leaves(texts, [])]));
}"""
"""Every text as `[its place, its type, itself]`, by language."""


@pytest.fixture(scope="module")
def states(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    with state_server(tmp_path_factory.mktemp("states")) as server:
        yield server


@pytest.fixture(scope="module")
def english(states: LiveServer, browser: Any) -> Iterator[Studio]:
    """Return a page in English without a session."""
    with closing(Studio(browser, f"{states.url}/")) as studio:
        yield studio.open()


@pytest.fixture(scope="module")
def texts(english: Studio) -> dict[str, dict[str, tuple[str, str]]]:
    """Return type and text by place, of each language."""
    found = english.page.evaluate(LEAVES)
    return {name: {where: (kind, text) for where, kind, text in leaves} for name, leaves in found.items()}


def given(text: str) -> set[str]:
    """Return the names of a text's parameters."""
    return set(re.findall(r"\w+", text.partition("=>")[0]))


def test_every_language_has_every_text_with_the_same_places_to_fill(texts: Any) -> None:
    assert tuple(texts) == LANGUAGES
    for name in LANGUAGES[1:]:
        assert texts[name].keys() >= texts["en"].keys(), f"texts/{name}.js lacks some of texts/en.js"
        own = {where: text for where, text in texts[name].items() if where.split(".")[0] not in ENGLISH_OF_THE_SERVER}
        assert own.keys() <= texts["en"].keys(), f"texts/{name}.js has more than texts/en.js"
        for where, (kind, text) in own.items():
            assert kind == texts["en"][where][0], where
            assert text.strip() or not texts["en"][where][1], f"{where} is empty"
            if kind == "function":
                missing = given(texts["en"][where][1]) - given(text)
                assert missing <= {"said"}, f"{where} of {name} does without {missing}"  # said is the server's English
                assert given(text) <= given(texts["en"][where][1]), where


def test_what_is_the_same_in_german_is_a_word_that_both_have(texts: Any) -> None:
    same = {text for where, (_, text) in texts["de"].items() if texts["en"].get(where, ("", ""))[1] == text}
    words = {text for text in same if not text.startswith("(") and "=>" not in text and text}
    assert words == {"Prompt", "Live", "live", "Demo", "Name", "Person", *COLOURS}


def test_looks_and_what_the_server_says_are_known_to_it(texts: Any) -> None:
    looks = {where.removeprefix("looks.") for where in texts["de"] if where.startswith("looks.")}
    assert looks >= set(STYLE_KEYS)
    sources = [*WEB.parent.rglob("*.py"), *WEB.parents[1].glob("*.py"), *WEB.glob("*.js")]
    known = "\n".join(path.read_text("utf-8") for path in sources)
    for code in (where.removeprefix("said.") for where in texts["de"] if where.startswith("said.")):
        assert f'"{code}"' in known, f"nothing says {code}"


def test_the_language_is_the_browsers_until_one_is_chosen_and_remembered(states: LiveServer, browser: Any) -> None:
    with closing(Studio(browser, f"{states.url}/", locale="de-AT")) as studio:
        page = studio.open().page
        assert page.get_attribute("html", "lang") == "de"
        assert page.inner_text("#card-title") == "Was soll übermalt werden?"
        assert page.title() == "Bereit · Vivace"
        page.click("#page-panel summary")
        page.select_option("#language", label="English")
        assert page.inner_text("#card-title") == "Pick something to repaint"
        assert page.inner_text("#page-state") == "English, As the system"
        page.reload()
        studio.wait_state("idle")
        assert page.get_attribute("html", "lang") == "en"
        assert page.inner_text("#apply") == "Paint"
    with closing(Studio(browser, f"{states.url}/", locale="fr-FR")) as studio:
        assert studio.open().page.get_attribute("html", "lang") == "en"


def test_a_change_of_language_keeps_the_session_and_leaves_nothing_in_the_other(
    states: LiveServer, browser: Any
) -> None:
    with closing(Studio(browser, f"{states.url}/")) as studio:
        STATES["live"](studio)
        session = studio.session_id()
        everything = "document.body.innerText + [...document.querySelectorAll('*')].map((node) => " \
            "['aria-label', 'title', 'placeholder', 'data-tip'].map((name) => node.getAttribute(name)))"  # fmt: skip
        studio.page.evaluate("document.querySelectorAll('details').forEach((panel) => { panel.open = true; })")
        dress(studio, "dark", "de")
        german = str(studio.page.evaluate(everything))
        for english in ("Paint", "Source", "Strength", "Pick", "everywhere", "Network", "Shortcuts", "pixels."):
            assert english not in german, english
        for word in (
            "Malen",
            "Quelle",
            "Stärke",
            "überall",
            "Netz hin",
            "Tastenkürzel",
            "Aquarell",
            "320 × 180 Pixel.",
        ):
            assert word in german, word
        studio.wait_state("live")
        assert studio.session_id() == session
        studio.page.fill("#prompt", "sunset glow")
        studio.page.press("#prompt", "Enter")
        studio.page.wait_for_selector("#prompt-said.bad")
        refused = studio.page.inner_text("#prompt-said")
        dress(studio, "dark", "en")
        assert studio.page.inner_text("#prompt-said") != refused, "what was said before is said in the language of now"
        dress(studio, "dark", "de")
        assert studio.page.inner_text("#prompt-said") == refused
        studio.page.evaluate("studio.stop()")
        assert studio.page.inner_text("#card-title") == "Sitzung beendet"
        assert studio.errors == []


@pytest.mark.parametrize(
    ("code", "title"),
    [
        ("no_token", "This server asks for a token"),
        ("bad_token", "This token is not valid"),
        ("expired_token", "This token has expired"),
        ("scope", "This token may only watch"),
    ],
)
def test_a_token_that_is_refused_is_told_from_none(english: Studio, code: str, title: str) -> None:
    page = english.page
    refusal = json.dumps({"code": code, "message": "no"})
    answer = {"status": 401, "content_type": "application/json", "body": refusal}
    page.route("**/v1/models", lambda route: route.fulfill(**answer), times=1)
    page.evaluate("studio.load()")
    assert page.inner_text("#card-title") == title
    assert page.locator("#token").is_visible()


def test_what_the_server_says_is_told_in_the_pages_language_by_its_code(english: Studio) -> None:
    dress(english, "", "de")
    english.page.reload()  # a module imported beside the page's begins with the remembered language
    english.wait_state("idle")
    say = "async (error) => (await import('/studio/words.js')).said(error)"
    known = {"code": "recording_off", "message": "this server does not record"}
    assert "nimmt nichts auf" in english.page.evaluate(say, known)
    other = {"code": "control", "message": "strength is 3; give 0 to 1"}
    assert english.page.evaluate(say, other) == "Strength is 3; give 0 to 1."
    dress(english, "", "en")
