"""The studio for people who do not see it, or see it differently: in every state, both themes and each language."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from importlib.resources import files
from itertools import product
from typing import Any

import pytest

from e2e.browsers import CHROMIUM
from e2e.studio import Studio
from e2e.studio_states import LANGUAGES, STATES, THEMES, dress, state_page, state_server
from live_server import LiveServer

pytest.importorskip("playwright.sync_api", reason="needs playwright (the dev extra)")
pytest.importorskip("aiortc", reason="needs the serve extra")
pytest.importorskip("axe_playwright_python", reason="needs axe-playwright-python (the dev extra)")

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(CHROMIUM is None, reason="needs chromium (Debian: apt-get install chromium)"),
]

VIOLATIONS = """async () => {
  const { violations } = await axe.run(document, { resultTypes: ["violations"] });
  const told = (id) => ({ html, failureSummary }) => `${id}: ${html} ${failureSummary}`;
  return violations.flatMap(({ id, nodes }) => nodes.map(told(id)));
}"""


@pytest.fixture(scope="module")
def states(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    with state_server(tmp_path_factory.mktemp("states")) as server:
        yield server


@pytest.fixture(scope="module")
def page(states: LiveServer, browser: Any) -> Iterator[Studio]:
    """Return a page that goes from state to state."""
    with closing(state_page(browser, states)) as studio:
        yield studio


@pytest.mark.parametrize("state", STATES)
def test_axe_finds_nothing(page: Studio, state: str) -> None:
    STATES[state](page)
    page.page.evaluate((files("axe_playwright_python") / "axe.min.js").read_text("utf-8"))
    for theme, language in product(THEMES, LANGUAGES):
        dress(page, theme, language)
        found = page.page.evaluate(VIOLATIONS)
        assert not found, f"{state}, {theme}, {language}:\n" + "\n\n".join(found)
    assert page.errors == []


PARTS = ("bar", "tools", "words", "panel")
FOCUSED = """() => {
  const node = document.activeElement;
  if (node === document.body) return null;
  const { width, height } = node.getBoundingClientRect();
  const marked = getComputedStyle(node).outlineStyle !== "none" || node.id === "prompt";   // its frame is marked
  const part = node.closest(".bar, .tools, .words, .panel")?.classList[0] ?? node.tagName;
  return { name: node.id || node.textContent.trim(), part, seen: width > 0 && height > 0, marked };
}"""


def test_tab_goes_through_the_page_in_its_order_and_each_stop_is_seen(page: Studio) -> None:
    STATES["idle"](page)
    STATES["live"](page)
    page.page.focus(".skip")
    stops: list[dict[str, Any]] = []
    while len(stops) < 60:
        page.page.keyboard.press("Tab")
        stop = page.page.evaluate(FOCUSED)
        if stop is None or stop["part"] == "A":
            break
        stops.append(stop)
    parts = [stop["part"] for stop in stops]
    assert set(parts) == {*PARTS}
    assert parts == sorted(parts, key=PARTS.index)
    assert len(stops) < 40
    assert {"end", "record", "prompt", "apply", "strength"} <= {stop["name"] for stop in stops}
    assert all(stop["seen"] and stop["marked"] for stop in stops), stops


SPOKEN = """() => new Promise((resolve) => {
  let changes = 0;
  let figures = 0;
  const observer = new MutationObserver(() => { changes += 1; });
  for (const region of document.querySelectorAll("[role=status], [aria-live=polite], output:not([aria-live])")) {
    observer.observe(region, { childList: true, characterData: true, subtree: true });
  }
  studio.session.addEventListener("stats", () => { figures += 1; if (figures === 3) resolve(changes); });
})"""
"""Number of announcements to screen readers during three messages with figures."""


def test_nothing_speaks_up_while_nothing_happens(page: Studio) -> None:
    STATES["live"](page)
    page.page.evaluate("document.getElementById('toasts').replaceChildren()")
    assert page.page.locator("[role=alert], [aria-live=assertive]").count() == 0
    spoken = page.page.evaluate(SPOKEN)
    assert spoken == 0


def test_what_changes_is_told_politely(page: Studio) -> None:
    STATES["live"](page)
    for name in ("status", "prompt-said", "toasts"):
        assert page.page.get_attribute(f"#{name}", "role") == "status"
    STATES["ended"](page)
    assert page.page.evaluate("document.activeElement.id") == "card"


def test_nothing_moves_by_itself_for_those_who_want_less_motion(states: LiveServer, browser: Any) -> None:
    moving = "document.getAnimations().filter(({ playState }) => playState === 'running').length"
    for wish, moves in (("reduce", False), ("no-preference", True)):
        with closing(state_page(browser, states, reduced_motion=wish)) as studio:
            STATES["idle"](studio)
            studio.page.evaluate("studio.show('connecting')")
            assert (studio.page.evaluate(moving) > 0) is moves
