"""The sound of one session: from who publishes to everybody who watches, and into recordings."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Literal

from vivace.media.live_sound import LiveSound, SoundPacket
from vivace.rtc.sound import Delay, SoundFeed

State = Literal["none", "on", "muted"]


class SessionSound:
    """Passes packets on, each for the time of its pictures. Used on the event loop, but for `delay` and `recorded`."""

    def __init__(self, name: str) -> None:
        self.delay = Delay()
        """Time that pictures take from their arrival until they are sent."""
        self.recorded = LiveSound(name)
        """The same packets in the presentation time of the session's pictures, for recordings."""
        self._feeds: tuple[SoundFeed, ...] = ()

    @property
    def state(self) -> State:
        """State of the sound: none, passed on, or muted."""
        if not self.recorded.heard:
            return "none"
        return "muted" if self.recorded.muted else "on"

    def mute(self, muted: bool) -> None:
        """Pass nothing on, or go on; what is left out stays silent in recordings."""
        self.recorded.muted = muted

    def take(self, packet: SoundPacket, began_s: float | None) -> None:
        """Pass a packet on. Presentation time 0 was at `began_s`, None before the first picture."""
        if not self.recorded.muted:
            for feed in self._feeds:
                feed.put(packet)
        if began_s is not None:
            self.recorded.put(SoundPacket(packet.data, packet.time_s - began_s))

    def feed(self, clock: Callable[[], float] = time.monotonic) -> SoundFeed:
        """Return a new feed, to be ended by `forget`."""
        feed = SoundFeed(lambda: self.delay.value_s, clock=clock)
        self._feeds = (*self._feeds, feed)
        return feed

    def forget(self, feed: SoundFeed) -> None:
        """End a feed; safe to call twice."""
        feed.stop()
        self._feeds = tuple(each for each in self._feeds if each is not feed)
