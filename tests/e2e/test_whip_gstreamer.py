"""GStreamer's webrtcbin, as Debian has it, publishes by WHIP: an RSA certificate, and H.264 of the profile Main."""

from __future__ import annotations

import asyncio
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest

from http_fakes import settings_for
from live_server import LiveServer, live_server
from patience import PATIENCE_S
from vivace.rtc.connection import take_description
from vivace.serve.rtc import make_peer_factory, peer

EXAMPLE = Path(__file__).parents[2] / "examples" / "gstreamer_whip.py"
SYSTEM_PYTHON = "/usr/bin/python3"
"""Python of Debian's packages, which has GStreamer's bindings."""
NEEDED = (
    "import gi; gi.require_version('GstWebRTC', '1.0'); from gi.repository import Gst, GstWebRTC; Gst.init(None)\n"
    "assert all(map(Gst.ElementFactory.find, ('webrtcbin', 'nicesrc', 'dtlsenc', 'x264enc', 'rtph264pay')))"
)


def has_gstreamer() -> bool:
    if not Path(SYSTEM_PYTHON).exists():
        return False
    return subprocess.run([SYSTEM_PYTHON, "-c", NEEDED], capture_output=True, check=False).returncode == 0


pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(not has_gstreamer(), reason="needs GStreamer's packages, see examples/gstreamer_whip.py"),
]


async def painted_red(server: LiveServer, process: subprocess.Popen[str]) -> None:
    """Return when a picture of the session that appears is painted as the publisher's address asks."""
    while process.poll() is None:
        for session in server.manager.sessions():
            async for frame in session.subscribe():
                red, green, blue = frame.rgb.mean((0, 1))
                if red - max(green, blue) > 40:
                    return
        await asyncio.sleep(0.02)


def test_webrtcbin_publishes_by_whip(monkeypatch: pytest.MonkeyPatch) -> None:
    offers: list[str] = []

    async def take_and_keep(connection: Any, sdp: str, kind: str) -> None:
        offers.append(sdp)
        await take_description(connection, sdp, kind)

    monkeypatch.setattr(peer, "take_description", take_and_keep)
    settings = settings_for(size=(128, 96))
    with live_server(settings, peers=make_peer_factory(settings)) as server:
        command = [
            SYSTEM_PYTHON,
            EXAMPLE,
            f"{server.url}/whip?prompt=red",
            "0",
            "videotestsrc is-live=true pattern=black",
        ]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        try:
            asyncio.run(asyncio.wait_for(painted_red(server, process), PATIENCE_S))
            process.send_signal(signal.SIGINT)
            said, _ = process.communicate(timeout=PATIENCE_S)
        finally:
            process.kill()
            process.communicate()
        assert "connected" in said
        assert process.returncode == 0, said
        assert "profile-level-id=4d" in offers[0], "Main"
        assert server.manager.snapshot().ended == {"client": 1}, "its DELETE ended the session"
