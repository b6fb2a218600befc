"""Secrets of a URL are never shown: neither while it runs, nor in files left behind, nor in errors."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from e2e.helpers import Vivace
from web_server import served

pytestmark = pytest.mark.e2e

SECRET = "hush"


class _Quiet(SimpleHTTPRequestHandler):
    def do_GET(self) -> None:
        if self.headers["Authorization"] is None:
            self.send_response(401)
            self.send_header("WWW-Authenticate", 'Basic realm="clips"')
            self.end_headers()
        else:
            super().do_GET()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def web(clip: Path) -> Iterator[Any]:
    """Serve the folder of the clip to authenticated clients."""
    with served(ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(clip.parent)))) as server:
        yield server


def test_a_run_from_and_to_addresses_shows_none_of_their_secrets(vivace_here: Vivace, web: Any) -> None:
    source = f"http://me:{SECRET}@127.0.0.1:{web.server_port}/clip.mp4?token={SECRET}"
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as listening:
        listening.bind(("127.0.0.1", 0))
        sink = f"udp://127.0.0.1:{listening.getsockname()[1]}?key={SECRET}&pkt_size=1316"
        done = vivace_here("run", source, "-p", "ink", "--size", "96x64", "-o", sink, "--stats", "s.json")
    assert done.code == 0, done.err
    assert " frames to udp://127.0.0.1:" in done.out  # the number of late ones is not tested here
    assert "?key=***&pkt_size=1316 in" in done.out
    done_here = vivace_here("run", source, "-p", "ink", "--size", "96x64")
    assert done_here.code == 0, done_here.err
    left = [path.name for path in Path().iterdir()]
    assert f"http-127-0-0-1-{web.server_port}-clip-mp4-token.vivace.mp4" in left
    said = [done.out, done.err, done_here.out, done_here.err, Path("s.json").read_text(), *left]
    assert SECRET not in "".join(said)


@pytest.mark.parametrize("debug", ["0", "1"])
@pytest.mark.parametrize(
    "tokens",
    [
        f"run rtsp://me:{SECRET}@127.0.0.1:1/x?token={SECRET}",
        f"run scene:city?frames=2 -p ink -o rtmp://127.0.0.1:1/live/{SECRET}",
        f"run scene:city -p ink -o null --mask rtsp://me:{SECRET}@127.0.0.1:1/x",
        f"run scene:city -o null --stats rtsp://me:{SECRET}@host/x/s.json",
        f"run scene:city -o whip://me:{SECRET}@host/x",
        f"run scene:city -o gopher://me:{SECRET}@host/x",
        f"run whep:https://me:{SECRET}@host/x",
        f"run gopher://me:{SECRET}@host/x",
        f"run rtsp:/me:{SECRET}@host/x",
        f"run me:{SECRET}@host/x",
        f"run rtsp://me:{'x' * 300}{SECRET}",
        f"run a.mp4 rtsp://me:{SECRET}@host/x",
        f"run scene:city --fps rtsp://me:{SECRET}@host/x",
        f"run scene:city --size rtsp://me:{SECRET}@host/x",
        f"rtsp://me:{SECRET}@host/x -o null",
        f"models pull live2diff --yes --mirror ftp://me:{SECRET}@host",
        f"bench speed --size 64x64 --long 0 --no-sessions --command no-such-program --api-key={SECRET}",
    ],
)
def test_no_message_shows_what_an_address_is_opened_with(
    vivace_here: Vivace, monkeypatch: pytest.MonkeyPatch, tokens: str, debug: str
) -> None:
    monkeypatch.setenv("VIVACE_DEBUG", debug)
    done = vivace_here(*tokens.split())
    assert done.code in (2, 3), done.err
    assert done.err
    assert SECRET not in done.out + done.err


def test_a_bug_shows_none_either(vivace_here: Vivace, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(spec: str, **_: object) -> None:
        raise ZeroDivisionError(f"cannot divide {spec}")

    monkeypatch.setattr("vivace.media.open.open_source", broken)
    for debug in ("0", "1"):
        monkeypatch.setenv("VIVACE_DEBUG", debug)
        done = vivace_here("run", f"rtsp://me:{SECRET}@host/x")
        assert done.code == 1
        assert "cannot divide rtsp://***@host/x" in done.err
