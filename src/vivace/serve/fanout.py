"""From the engine's thread to any number of consumers on the event loop, without a queue of frames anywhere.

A frame is put into each subscriber's single slot, where the newest wins, and the event loop is woken once. A slow
viewer therefore skips frames and holds up neither the engine nor another viewer. Events about a session go the same
way, but are kept in order; only of the statistics is the newest enough.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from threading import Lock
from typing import Generic, TypeVar

from vivace import messages
from vivace.media.frame import Rgb

_log = logging.getLogger(__name__)

T = TypeVar("T")

MAX_UNREAD_EVENTS = 256
"""A listener that leaves so many events unread has gone away without saying so."""


@dataclass(frozen=True, slots=True)
class OutFrame:
    """A frame that the engine has made. Shared by all subscribers, so nobody changes its pixels."""

    rgb: Rgb
    """`uint8 [h w 3]`, RGB."""
    index: int
    """Counts the frames pushed into the session from 0, dropped ones included."""
    tag: int | None
    """What the frame was pushed with."""
    capture_time_s: float
    """Monotonic."""
    marks: Mapping[str, float] = field(default_factory=dict)
    """Monotonic time at which it left `receive, wait, prepare, denoise, refine`."""
    control_index: int = 0
    """Number of the update it was made with."""


class _Inbox(Generic[T]):
    """Takes items from any thread and gives them to one consumer on the event loop it was made on."""

    def __init__(self, on_close: Callable[[_Inbox[T]], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._ready = asyncio.Event()
        self._lock = Lock()
        self._closed = False
        self._on_close = on_close

    def _take(self) -> T | None:
        """Return the next item, if there is one; called with the lock held."""
        raise NotImplementedError

    def _wake(self) -> None:
        try:
            self._loop.call_soon_threadsafe(self._ready.set)
        except RuntimeError:  # the loop was closed with the consumer on it, which is a way of leaving
            self._closed = True

    @property
    def closed(self) -> bool:
        """Whether nothing more is taken."""
        return self._closed

    def finish(self) -> None:
        """Take no more; what is inside is still delivered. Any thread."""
        with self._lock:
            self._closed = True
        self._wake()

    def close(self) -> None:
        """Leave: iteration ends, and the sender forgets this consumer. Any number of times."""
        self.finish()
        self._on_close(self)

    def __aiter__(self) -> AsyncIterator[T]:
        return self

    async def __anext__(self) -> T:
        while True:
            with self._lock:
                item, closed = self._take(), self._closed
            if item is not None:
                return item
            if closed:
                raise StopAsyncIteration
            await self._ready.wait()
            self._ready.clear()


class Subscription(_Inbox[OutFrame]):
    """One viewer's slot: `async for frame in subscription`. The newest frame wins."""

    def __init__(self, on_close: Callable[[_Inbox[OutFrame]], None]) -> None:
        super().__init__(on_close)
        self._frame: OutFrame | None = None
        self.dropped = 0
        """Frames replaced by newer ones before they were taken."""

    def put(self, frame: OutFrame) -> bool:
        """Leave a frame, from any thread; return whether it replaced one that nobody took."""
        with self._lock:
            if self._closed:
                return False
            displaced, self._frame = self._frame is not None, frame
            self.dropped += displaced
        if not displaced:  # otherwise the consumer has been woken already
            self._wake()
        return displaced

    def _take(self) -> OutFrame | None:
        frame, self._frame = self._frame, None
        return frame


class Listener(_Inbox[messages.ServerMessage]):
    """Events of a session for one listener, in order: `async for message in listener`. Ends after `Ended`."""

    def __init__(self, on_close: Callable[[_Inbox[messages.ServerMessage]], None]) -> None:
        super().__init__(on_close)
        self._events: deque[messages.ServerMessage] = deque()

    def put(self, event: messages.ServerMessage) -> None:
        """Leave an event, from any thread; statistics nobody has read are replaced by newer ones."""
        with self._lock:
            if self._closed:
                return
            if isinstance(event, (messages.Stats, messages.Waiting)):
                kept = [e for e in self._events if type(e) is not type(event)]
                self._events = deque(kept)
            self._events.append(event)
            if isinstance(event, messages.Ended) or len(self._events) > MAX_UNREAD_EVENTS:
                self._closed = True
        self._wake()

    def _take(self) -> messages.ServerMessage | None:
        return self._events.popleft() if self._events else None


class Fanout:
    """All consumers of one session. Thread-safe."""

    def __init__(self) -> None:
        self._lock = Lock()
        # Replaced as a whole, never changed, so that the engine goes through it without a lock.
        self._subscriptions: tuple[Subscription, ...] = ()
        self._listeners: tuple[Listener, ...] = ()
        self._finished = False

    @property
    def viewers(self) -> int:
        """How many subscriptions there are."""
        return len(self._subscriptions)

    def subscribe(self) -> Subscription:
        """Return a new slot for frames, on the running event loop."""
        subscription = Subscription(self._forget)
        with self._lock:
            finished = self._finished
            self._subscriptions = (*self._subscriptions, subscription)
        if finished:
            subscription.close()
        return subscription

    def listen(self, *first: messages.ServerMessage) -> Listener:
        """Return a new listener, on the running event loop, that begins with the events given."""
        listener = Listener(self._forget)
        for event in first:
            listener.put(event)
        with self._lock:
            finished = self._finished
            self._listeners = (*self._listeners, listener)
        if finished:
            listener.close()
        return listener

    def publish(self, frame: OutFrame) -> int:
        """Give a frame to all subscribers; return how many had not taken the one before."""
        return sum(subscription.put(frame) for subscription in self._subscriptions)

    def tell(self, event: messages.ServerMessage) -> None:
        """Give an event to all listeners."""
        for listener in self._listeners:
            listener.put(event)

    def finish(self) -> None:
        """End all iterations, once they have had what is inside."""
        with self._lock:
            self._finished = True
            subscriptions, self._subscriptions = self._subscriptions, ()
            listeners, self._listeners = self._listeners, ()
        for subscription in subscriptions:
            subscription.finish()
        for listener in listeners:
            listener.finish()

    def _forget(self, inbox: _Inbox[OutFrame] | _Inbox[messages.ServerMessage]) -> None:
        with self._lock:
            self._subscriptions = tuple(each for each in self._subscriptions if each is not inbox)
            self._listeners = tuple(each for each in self._listeners if each is not inbox)
