"""A real coturn with the settings of `deploy/`: it gives a relay to users that expire, and to no others."""

from __future__ import annotations

import asyncio
import re
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from aiortc import RTCIceServer

from patience import PATIENCE_S
from vivace.rtc.connection import close_connection, open_connection, prepare_transports
from vivace.serve.settings import ServeSettings
from vivace.serve.turn import ice_servers

CONFIGURATION = Path(__file__).parents[3] / "deploy" / "turnserver.conf"


def free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="module")
def coturn(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """The port of a TURN server on loopback, whose secret is `north`."""
    program = shutil.which("turnserver")
    if program is None:
        pytest.skip("needs coturn (Debian: apt-get install coturn)")
    folder = tmp_path_factory.mktemp("coturn")
    port = free_port()
    text = CONFIGURATION.read_text("utf-8")
    for key, value in (("listening-port", port), ("static-auth-secret", "north"), ("min-port", 40_000)):
        text, count = re.subn(rf"^{key}=.*$", f"{key}={value}", text, flags=re.MULTILINE)
        assert count == 1, key
    (folder / "turnserver.conf").write_text(text)
    here = ["--listening-ip=127.0.0.1", "--relay-ip=127.0.0.1", "--log-file=stdout", f"--pidfile={folder / 'pid'}"]
    command = [program, "-c", str(folder / "turnserver.conf"), *here, f"--userdb={folder / 'db'}"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        until_s = time.monotonic() + PATIENCE_S
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                break
            except OSError:
                assert process.poll() is None, "coturn did not start"
                assert time.monotonic() < until_s
                time.sleep(0.05)
        yield port
    finally:
        process.terminate()
        process.wait(PATIENCE_S)


async def relays(port: int, secret: str, made_s: float) -> int:
    """Return how many relayed candidates a connection gets with a user that was made at a time."""
    settings = ServeSettings(
        ice_servers=[{"urls": f"turn:127.0.0.1:{port}?transport=udp"}], turn_secret=secret, turn_expires_s=60
    )
    (server,) = ice_servers(settings, made_s)
    assert server.credential is not None
    connection = open_connection([RTCIceServer(server.urls, server.username, server.credential.get_secret_value())])
    try:
        connection.addTransceiver("video")
        prepare_transports(connection)
        await connection.setLocalDescription()
        return str(connection.localDescription.sdp).count("typ relay")
    finally:
        await close_connection(connection, None)


def test_a_user_of_now_gets_a_relay_and_others_get_none(coturn: int) -> None:
    until_s = time.monotonic() + PATIENCE_S
    while asyncio.run(relays(coturn, "north", time.time())) == 0:  # an answer may take longer than is waited for it
        assert time.monotonic() < until_s
    assert asyncio.run(relays(coturn, "south", time.time())) == 0
    assert asyncio.run(relays(coturn, "north", time.time() - 3600)) == 0, "it has expired"
