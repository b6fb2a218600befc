"""A phone on the local network: over the server's own HTTPS, a page from another machine has a camera."""

from __future__ import annotations

import time
from contextlib import closing
from pathlib import Path

import pytest

from e2e.browsers import CHROMIUM
from e2e.studio import PHONE, Studio, browser_with_camera
from http_fakes import settings_for
from live_server import live_server
from vivace.serve.auth import make_token
from vivace.serve.rtc import make_peer_factory
from vivace.serve.tls import open_tls

pytest.importorskip("playwright.sync_api", reason="needs playwright (the dev extra)")

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(CHROMIUM is None, reason="needs chromium (Debian: apt-get install chromium)"),
]

NAME = "phone.test"
"""Name that a browser does not take for this machine: loopback gets a camera in any case."""
SECRET = "s" * 64


def test_a_phone_gets_a_camera(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    settings = settings_for(size=(128, 96), token_secret=SECRET, tls_self_signed=True)
    token = make_token(SECRET, frozenset({"publish"}), expires_s=600, now_s=time.time())
    with (
        browser_with_camera(tmp_path, flags=[f"--host-resolver-rules=MAP {NAME} 127.0.0.1"]) as browser,
        live_server(settings, peers=make_peer_factory(settings), tls=open_tls(settings)) as server,
    ):
        page = f"{server.url.replace('127.0.0.1', NAME)}/#token={token}"
        studio = Studio(browser, page, ignore_https_errors=True, permissions=["camera"], **PHONE)
        with closing(studio):
            studio.open()
            studio.start_camera()
            studio.wait_state("live")
            studio.wait_until("colourOf('after', [0, 0, 1, 1]) !== null")
            assert studio.page.evaluate("[location.protocol, isSecureContext]") == ["https:", True]
            assert studio.page.evaluate("studio.session.info.whep_url").startswith("/v1/")
            assert studio.errors == []
