"""Both ends of a connection in one process, with a session that repaints nothing."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from patience import PATIENCE_S
from vivace.client.rtc import Received, RtcSession
from vivace.media.live_sound import SoundPacket
from vivace.media.mailbox import AsyncLatest
from vivace.messages import Ack, Controls, Live, ServerMessage
from vivace.serve.rtc import Peer, PeerFactory
from vivace.serve.settings import ServeSettings
from vivace.serve.sound import SessionSound


@dataclass(frozen=True)
class FakeOut:
    rgb: NDArray[np.uint8]
    index: int
    tag: int | None
    capture_time_s: float
    control_index: int = 0


class FakeSession:
    """Session that returns every picture unchanged, unless `hold` keeps it."""

    def __init__(self, name: str = "s") -> None:
        self.id = name
        self.state = "live"
        self.pushed: list[FakeOut] = []
        self.subscriptions: list[AsyncLatest[FakeOut]] = []
        self.attached = 0
        self.updates: list[Controls] = []
        self.network: list[Any] = []
        self.sent: list[FakeOut] = []
        self.presence = SimpleNamespace(touch=lambda: None)
        self.on_push: Callable[[FakeOut], None] = self.publish
        self.fails: Exception | None = None
        self.next_size: tuple[int, int] | None = None
        self.sound = SessionSound(name)
        self.heard: list[SoundPacket] = []

    def push(
        self,
        rgb: NDArray[np.uint8],
        capture_time_s: float | None = None,
        *,
        tag: int | None = None,
        source_size: tuple[int, int] | None = None,
    ) -> bool:
        if self.state == "ended":
            return False
        out = FakeOut(rgb, len(self.pushed), tag, capture_time_s or time.monotonic())
        self.pushed.append(out)
        self.on_push(out)
        return True

    def hear(self, packet: SoundPacket) -> None:
        self.heard.append(packet)
        self.sound.take(packet, 0.0)

    def publish(self, out: FakeOut) -> None:
        for subscription in self.subscriptions:
            subscription.put(out)

    def subscribe(self) -> AsyncLatest[FakeOut]:
        subscription: AsyncLatest[FakeOut] = AsyncLatest()
        self.subscriptions.append(subscription)
        return subscription

    def end(self, reason: str, message: str = "") -> None:
        self.state = "ended"
        for subscription in self.subscriptions:
            subscription.close()

    def attach(self) -> Callable[[float], None]:
        self.attached += 1

        def detach(heard_s: float) -> None:
            self.heard_s = heard_s
            self.attached -= 1

        return detach

    def report_network(self, report: Any) -> None:
        self.network.append(report)

    def report_sent(self, frame: FakeOut, sent_s: float | None = None) -> None:
        self.sent.append(frame)

    def report_presented(self, presented: Any) -> None: ...

    async def update(self, controls: Controls, request_id: str | None = None, by: Any = None) -> Ack:
        self.updates.append(controls)
        if self.fails is not None:
            raise self.fails
        index = len(self.updates)
        return Ack(id=request_id, accepted=True, frame_index=len(self.pushed), update_index=index, applied=["prompt"])

    def events(self) -> AsyncLatest[ServerMessage]:
        events: AsyncLatest[ServerMessage] = AsyncLatest()
        events.put(Live(session=self.id, model="fake", size=(64, 64)))
        return events


def run(test: Callable[[], Coroutine[Any, Any, None]], timeout_s: float = PATIENCE_S) -> None:
    """Run a test on its own loop, with a timeout."""

    async def limited() -> None:
        async with asyncio.timeout(timeout_s):
            await test()  # in this task, so that no other is left when all is closed

    asyncio.run(limited())


@dataclass
class Pair:
    session: FakeSession
    client: RtcSession
    peer: Peer
    factory: PeerFactory
    extra: list[Any] = field(default_factory=list)


def peer_factory() -> PeerFactory:
    return PeerFactory(ServeSettings())


@asynccontextmanager
async def connected(
    session: FakeSession | None = None,
    *,
    factory: PeerFactory | None = None,
    role: Any = "both",
    through: Callable[[str], str] = lambda sdp: sdp,
    back: Callable[[str], str] = lambda sdp: sdp,
    **client: Any,
) -> AsyncIterator[Pair]:
    """Connect a client to a peer of `session`; descriptions go `through` and `back`."""
    session = session or FakeSession()
    factory = factory or peer_factory()
    peer = factory(session, role)

    async def exchange(offer: str) -> str:
        return back(await peer.answer(through(offer)))

    try:
        async with RtcSession(exchange, **client) as rtc:
            yield Pair(session, rtc, peer, factory)
    finally:
        await peer.close()


async def next_picture(pictures: AsyncIterator[Received], timeout_s: float = PATIENCE_S) -> Received:
    async with asyncio.timeout(timeout_s):
        return await anext(pictures)


def plain(level: int, size: tuple[int, int] = (64, 48)) -> NDArray[np.uint8]:
    return np.full((size[1], size[0], 3), level, np.uint8)
