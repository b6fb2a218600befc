"""Pages for operators and programmers in a real Chromium: the sessions there are, and the API."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing
from importlib.resources import files
from typing import Any

import pytest

from e2e.browsers import CHROMIUM
from e2e.studio import Studio
from e2e.test_studio_accessible import VIOLATIONS
from http_fakes import settings_for
from live_server import LiveServer, live_server
from vivace.serve.auth import make_secret, make_token

pytest.importorskip("playwright.sync_api", reason="needs playwright (the dev extra)")
pytest.importorskip("axe_playwright_python", reason="needs axe-playwright-python (the dev extra)")

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(CHROMIUM is None, reason="needs chromium (Debian: apt-get install chromium)"),
]

SECRET = make_secret()


@pytest.fixture(scope="module")
def server() -> Iterator[LiveServer]:
    """A server that asks for tokens."""
    with live_server(settings_for(token_secret=SECRET, slots=1)) as server:
        yield server


def nothing_wrong(studio: Studio) -> None:
    studio.page.evaluate((files("axe_playwright_python") / "axe.min.js").read_text("utf-8"))
    assert studio.page.evaluate(VIOLATIONS) == []
    assert studio.errors == []


def answer_in_reverse(route: Any) -> None:
    """Answer as a gateway does, which lists by worker: a new session may come before older ones."""
    answer = route.fetch()
    route.fulfill(response=answer, json={"sessions": answer.json()["sessions"][::-1]})


def test_an_operator_sees_sessions_and_ends_one(server: LiveServer, browser: Any) -> None:
    token = make_token(SECRET, frozenset({"admin"}), expires_s=600, now_s=time.time())
    first, second = (server.manager.open_session(client=f"token:{name}") for name in ("ada", "bob"))
    with closing(Studio(browser, f"{server.url}/admin")) as studio:
        page = studio.page
        page.goto(studio.url)
        page.wait_for_selector("#token-form:not([hidden])")
        page.fill("#token", "wrong")
        page.click("#token-form button")
        studio.wait_until("document.getElementById('overview').textContent.length > 10")
        page.fill("#token", token)
        page.click("#token-form button")
        page.wait_for_selector(f"tr[data-id='{first.id}']")
        assert page.inner_text("#overview") == "1 of 1 slots used, 1 waiting."
        rows = page.locator("#sessions tr").all_inner_texts()
        assert [("token:ada" in rows[0], "live" in rows[0]), ("token:bob" in rows[1], "waiting (1)" in rows[1])] == [
            (True, True),
            (True, True),
        ]
        page.route("**/v1/sessions", answer_in_reverse)
        for _ in range(2):  # the second is asked for when the first is shown
            with page.expect_response("**/v1/sessions"):
                pass
        page.unroute("**/v1/sessions")
        assert "token:ada" in page.inner_text(f"tr[data-id='{first.id}']"), "its button ends what its row says"
        nothing_wrong(studio)
        page.click(f"tr[data-id='{first.id}'] button")
        page.wait_for_selector(f"tr[data-id='{first.id}']", state="detached")
        assert first.end_reason == "admin"
        studio.wait_until(f"document.querySelector(\"tr[data-id='{second.id}']\").textContent.includes('live')")
    server.manager.end(second.id, "client")


def test_the_api_is_shown_without_a_network(server: LiveServer, browser: Any) -> None:
    with closing(Studio(browser, f"{server.url}/docs")) as studio:
        asked: list[str] = []
        studio.page.on("request", lambda request: asked.append(request.url))
        studio.page.goto(studio.url)
        studio.page.wait_for_selector("details summary")
        shown = studio.page.inner_text("main")
        for words in ("POST", "/v1/sessions", "/metrics", "Open a session, or take back one"):
            assert words in shown
        opening = studio.page.locator("details", has_text="Open a session, or take back one")
        opening.locator("summary").click()
        assert '"prompt"' in opening.inner_text()
        assert all(url.startswith(server.url) for url in asked), asked
        nothing_wrong(studio)
