"""From the engine's thread to any number of consumers on the event loop, without a queue of frames anywhere.

A frame is put into each subscriber's single slot, where the newest wins, and the event loop is woken once. A slow
viewer therefore skips frames and holds up neither the engine nor another viewer. Events about a session go the same
way, but are kept in order; only of the statistics is the newest enough.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable
from threading import Lock

from vivace import messages
from vivace.media.frame import Frame
from vivace.media.mailbox import AsyncLatest, AsyncMailbox

_log = logging.getLogger(__name__)

MAX_UNREAD_EVENTS = 256
"""A listener that leaves so many events unread has gone away without saying so."""


Subscription = AsyncLatest[Frame]
"""One viewer's slot: `async for frame in subscription`. The newest frame wins."""


class Listener(AsyncMailbox[messages.ServerMessage]):
    """Events of a session for one listener, in order: `async for message in listener`. Ends after `Ended`."""

    def __init__(self, on_close: Callable[[Listener], None]) -> None:
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

    def _discard(self) -> None:
        self._events.clear()


class Fanout:
    """All consumers of one session. Thread-safe."""

    def __init__(self) -> None:
        self._lock = Lock()
        # Replaced as a whole, never changed, so that the engine goes through it without a lock.
        self._subscriptions: tuple[Subscription, ...] = ()
        self._listeners: tuple[Listener, ...] = ()
        self._finished = False

    @property
    def listeners(self) -> int:
        """Number of listeners to events."""
        return len(self._listeners)

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

    def publish(self, frame: Frame) -> int:
        """Give a frame to all subscribers; return how many had not taken the one before."""
        unread = 0
        for subscription in self._subscriptions:
            before = subscription.dropped
            subscription.put(frame)
            unread += subscription.dropped - before
        return unread

    def tell(self, event: messages.ServerMessage, but: Listener | None = None) -> None:
        """Give an event to all listeners, or to all but one."""
        for listener in self._listeners:
            if listener is not but:
                listener.put(event)

    def finish(self) -> None:
        """End all iterations, once they have had what is inside."""
        with self._lock:
            self._finished = True
            subscriptions, self._subscriptions = self._subscriptions, ()
            listeners, self._listeners = self._listeners, ()
        for subscription in subscriptions:
            subscription.close()
        for listener in listeners:
            listener.close()

    def _forget(self, mailbox: Subscription | Listener) -> None:
        with self._lock:
            self._subscriptions = tuple(each for each in self._subscriptions if each is not mailbox)
            self._listeners = tuple(each for each in self._listeners if each is not mailbox)
