"""The installed browsers, and reports from inside a page: it is served, opened, and reports by HTTP."""

from __future__ import annotations

import json
import queue
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from ctypes.util import find_library
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import MappingProxyType
from typing import Any

from patience import PATIENCE_S
from web_server import served


def _installed(*names: str) -> str | None:
    return next((found for name in names if (found := shutil.which(name))), None)


CHROMIUM = _installed("chromium", "chromium-browser", "google-chrome")
FIREFOX = _installed("firefox-esr", "firefox")
FIREFOX_HAS_H264 = sys.platform != "linux" or find_library("avcodec") is not None
"""On Linux, Firefox decodes H.264 with the system's FFmpeg."""


_FIREFOX_PREFERENCES = {
    "browser.shell.checkDefaultBrowser": False,
    "datareporting.policy.dataSubmissionEnabled": False,
    "media.autoplay.default": 0,
    "media.navigator.permission.disabled": True,
    "media.navigator.streams.fake": True,
    "media.peerconnection.ice.loopback": True,
    "network.captive-portal-service.enabled": False,
    "network.connectivity-service.enabled": False,
    "toolkit.telemetry.reportingpolicy.firstRun": False,
}

_MEDIA_TYPES = {
    ".html": "text/html",
    ".mp4": "video/mp4",
    ".mov": "video/quicktime",
    ".webm": "video/webm",
    ".js": "text/javascript",
}


Answers = Mapping[str, Callable[[bytes], bytes]]
"""Handlers of the page's posts, by name; their results are the answers."""


def report_of(
    browser: str, page: str, files: Mapping[str, Path], profile: Path, *, answers: Answers = MappingProxyType({})
) -> Any:
    """Open a page in a browser of its own and return its report: one JSON value, posted to `/report`.

    Args:
        browser: the program, `CHROMIUM` or `FIREFOX`.
        page: HTML.
        files: files that the page may fetch, by name.
        profile: an empty folder for the browser's own files.
        answers: handlers of the page's other posts.
    """
    with _served(page, files, answers) as (url, reports):
        profile.mkdir(parents=True, exist_ok=True)
        with (profile / "log").open("wb") as log:
            process = subprocess.Popen(_command(browser, url, profile), stdout=log, stderr=log)
        try:
            return json.loads(reports.get(timeout=PATIENCE_S))
        except queue.Empty:
            raise AssertionError(f"{browser} reported nothing:\n{(profile / 'log').read_text()[-4000:]}") from None
        finally:
            process.terminate()
            process.wait(PATIENCE_S)


def _command(browser: str, url: str, profile: Path) -> list[str]:
    if browser == FIREFOX:
        lines = [f"user_pref({json.dumps(name)}, {json.dumps(value)});" for name, value in _FIREFOX_PREFERENCES.items()]
        (profile / "user.js").write_text("\n".join(lines), "utf-8")
        return [browser, "--headless", "--no-remote", "--profile", str(profile), url]
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"]
    flags += ["--autoplay-policy=no-user-gesture-required"]
    return [browser, *flags, f"--user-data-dir={profile}", url]


@contextmanager
def _served(page: str, files: Mapping[str, Path], answers: Answers) -> Iterator[tuple[str, queue.Queue[bytes]]]:
    """Serve a page and its files on this machine; yield the URL and the posted reports."""
    reports: queue.Queue[bytes] = queue.Queue()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            name = self.path.lstrip("/") or "index.html"
            if name == "index.html":
                self._answer(page.encode(), ".html")
            elif name in files:
                self._answer(files[name].read_bytes(), files[name].suffix)
            else:
                self.send_error(404)

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            answer = answers.get(self.path.lstrip("/"))
            if answer is None:
                reports.put(body)
            self._answer(b"" if answer is None else answer(body), ".html")

        def _answer(self, body: bytes, suffix: str) -> None:
            self.send_response(200)
            self.send_header("Content-Type", _MEDIA_TYPES[suffix])
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    with served(server):
        yield f"http://127.0.0.1:{server.server_port}/", reports
