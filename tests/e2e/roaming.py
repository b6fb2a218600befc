"""A phone that changes its network: packets over the old one are neither carried nor refused any more."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Thread
from typing import Any

from e2e.studio import PHONE, Studio, browser_with_camera
from http_fakes import settings_for
from live_server import LiveServer, live_server
from patience import PATIENCE_S
from rtc_relay import BadLine
from vivace.serve.ports import PeerFactory, PeerPort
from vivace.serve.rtc import make_peer_factory

WATCH = """
window.pictures = 0;
window.told = [];
window.since = performance.now();
window.newest = 0;
if (!window.watched) {
  const after = document.getElementById("after");
  const count = (now) => { window.pictures += 1; window.newest = now; after.requestVideoFrameCallback(count); };
  after.requestVideoFrameCallback(count);
}
if (window.watched !== studio.session) {
  window.watched = studio.session;
  const note = ({ detail: { state, code } }) => window.told.push([state, code ?? "", performance.now()]);
  studio.session.addEventListener("state", note);
}
"""
"""Script that counts the pictures shown from now on, and notes the session's messages about itself."""


@dataclass
class _Network:
    up: bool = True
    lines: list[BadLine] = field(default_factory=list)


class Roaming:
    """Relay between clients and a server: TCP by `port`, UDP by the peers of `through`."""

    def __init__(self) -> None:
        self.port = 0
        self._server_port = 0
        self._network = _Network()
        self._loop = asyncio.new_event_loop()
        self._thread = Thread(target=self._loop.run_forever, name="roaming")
        self._writers: list[asyncio.StreamWriter] = []
        self._requests: list[asyncio.StreamWriter] = []
        """Connections that a browser keeps for requests, not WebSockets."""
        self._tasks: set[asyncio.Task[None]] = set()

    def __enter__(self) -> Roaming:
        self._thread.start()
        self._listening = self._wait(asyncio.start_server(self._carry, "127.0.0.1", 0))
        self.port = self._listening.sockets[0].getsockname()[1]
        return self

    def __exit__(self, *_: object) -> None:
        async def end() -> None:
            self._listening.close()
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
            for writer in self._writers:
                writer.close()
            await asyncio.gather(*(each.wait_closed() for each in self._writers), return_exceptions=True)

        self._wait(end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def leads_to(self, port: int) -> None:
        """Set the server's port."""
        self._server_port = port

    def through(self, factory: PeerFactory) -> PeerFactory:
        """Return a factory of peers whose packets pass the network that is current when they are made."""
        return lambda session, role, **more: _Roamer(self, factory(session, role, **more))

    def leave(self, *, udp_only: bool = False) -> None:
        """Leave the network; there is none until `join`. Or lose only the packets over UDP."""
        for line in self._network.lines:
            line.is_cut = True
        if not udp_only:
            self._network.up = False
            for writer in self._requests:  # a browser gives those up itself when the system reports a change
                self._loop.call_soon_threadsafe(writer.close)
            self._requests.clear()

    def join(self) -> None:
        """Join another network: connections of the previous one stay dead."""
        self._network = _Network()

    async def line(self) -> BadLine:
        """Return a path over the current network, on the calling loop."""
        line = await BadLine().__aenter__()
        line.is_cut = not self._network.up
        self._network.lines.append(line)
        return line

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        network = self._network
        self._writers.append(writer)
        there, back = await asyncio.open_connection("127.0.0.1", self._server_port)
        self._writers.append(back)
        head = await reader.read(65536)
        if b"upgrade: websocket" not in head.lower():
            self._requests.append(writer)
        if network.up:
            back.write(head)
        both = _pump(network, reader, back), _pump(network, there, writer)
        await asyncio.gather(*both, return_exceptions=True)
        if network.up:
            writer.close()
            back.close()

    def _wait(self, work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(PATIENCE_S)


async def _pump(network: _Network, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        if network.up:
            writer.write(data)
    if network.up:
        writer.write_eof()


class _Roamer:
    """Peer whose packets pass a path."""

    def __init__(self, roaming: Roaming, peer: PeerPort) -> None:
        self._roaming = roaming
        self._peer = peer
        self._line: BadLine | None = None

    @property
    def closed(self) -> bool:
        return self._peer.closed

    async def answer(self, offer_sdp: str) -> str:
        self._line = await self._roaming.line()
        return self._line.answer(await self._peer.answer(self._line.offer(offer_sdp)))

    async def close(self) -> None:
        await self._peer.close()
        if self._line is not None:
            line, self._line = self._line, None
            await line.__aexit__()


@dataclass
class Phone:
    """Studio on a phone, live, behind networks that it may leave."""

    studio: Studio
    server: LiveServer
    networks: Roaming

    def watch(self) -> None:
        """Begin to note events."""
        self.studio.page.evaluate(WATCH)

    def told(self) -> list[list[str]]:
        """Return the session's states since then, each with its code."""
        return [[state, code] for state, code, _ in self.studio.page.evaluate("window.told")]

    def wait_pictures(self) -> None:
        """Wait for pictures shown from now on."""
        shown = self.studio.page.evaluate("window.pictures")
        self.studio.wait_until(f"window.pictures > {shown} + 3", PATIENCE_S)

    def wait_back(self) -> None:
        """Wait until the session has noticed, and pictures are shown again."""
        self.studio.wait_until("window.told.length > 0", PATIENCE_S)
        self.studio.wait_state("live", PATIENCE_S)
        self.wait_pictures()


@contextmanager
def phone_on_networks(folder: Path) -> Iterator[Phone]:
    """Yield a phone whose camera is repainted over networks that it may leave."""
    settings = settings_for(size=(128, 96), heartbeat_s=PATIENCE_S, grace_s=PATIENCE_S)
    networks = Roaming()
    peers = networks.through(make_peer_factory(settings))
    with networks, live_server(settings, peers=peers) as server, browser_with_camera(folder) as browser:
        networks.leads_to(int(server.url.rpartition(":")[2]))
        with closing(Studio(browser, f"http://127.0.0.1:{networks.port}/", permissions=["camera"], **PHONE)) as studio:
            studio.page.set_default_timeout(1000 * PATIENCE_S)
            studio.page.goto(studio.url)
            studio.wait_state("idle", PATIENCE_S)
            studio.start_camera()
            studio.wait_state("live", PATIENCE_S)
            phone = Phone(studio, server, networks)
            phone.watch()
            phone.wait_pictures()
            yield phone
            assert studio.errors == []
