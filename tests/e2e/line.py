"""A busy 1280x720 picture between a real browser and a peer that returns it, over a path of given quality."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from threading import Thread
from typing import Any

from e2e.browsers import report_of
from patience import PATIENCE_S
from rtc_loopback import FakeSession, peer_factory
from rtc_relay import BadLine
from vivace.serve.rtc import Peer

_PAGE = Path(__file__).with_name("line.html")


def over_line(
    browser: str, profile: Path, *, frames: int, fps: float = 30.0, line: Callable[[], BadLine] = BadLine
) -> tuple[list[dict[str, Any]], BadLine]:
    """Return the browser's statistics of each second until it has sent `frames`, and the path."""
    ends = _Ends(line())
    page = _PAGE.read_text("utf-8").replace("FRAMES", str(frames)).replace("FPS", str(fps))
    try:
        samples = report_of(browser, page, {}, profile, answers={"offer": ends.answer})
        assert isinstance(samples, list), samples
        return samples, ends.line
    finally:
        ends.close()


class _Ends:
    """The server's end and the path, on their own loop."""

    def __init__(self, line: BadLine) -> None:
        self.line = line
        self._loop = asyncio.new_event_loop()
        self._thread = Thread(target=self._loop.run_forever, name="line")
        self._thread.start()
        self._peers: list[Peer] = []
        self._wait(line.__aenter__())

    def answer(self, offer: bytes) -> bytes:
        """Return the answer to a browser's offer."""
        return str(self._wait(self._answer(offer.decode()))).encode()

    async def _answer(self, offer: str) -> str:
        peer = peer_factory()(FakeSession(), "both")
        self._peers.append(peer)
        return self.line.answer(await peer.answer(self.line.offer(offer)))

    def close(self) -> None:
        """End the peer, the path and the loop."""
        for peer in self._peers:
            self._wait(peer.close())
        self._wait(self.line.__aexit__())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _wait(self, work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(PATIENCE_S)
