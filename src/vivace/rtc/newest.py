"""A slot between any thread and one consumer on an event loop: the newest item wins."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from threading import Lock
from typing import Generic, TypeVar

T = TypeVar("T")


class Newest(Generic[T]):
    """`async for item in newest` gets what was put last. Make it on the event loop that consumes it."""

    def __init__(self) -> None:
        self.dropped = 0
        """Items replaced before they were taken."""
        self._loop = asyncio.get_running_loop()
        self._changed = asyncio.Event()
        self._lock = Lock()
        self._item: T | None = None
        self._closed = False

    def put(self, item: T) -> bool:
        """Leave an item; returns at once, and False when nobody takes it any more. Any thread."""
        with self._lock:
            if self._closed:
                return False
            displaced, self._item = self._item is not None, item
            self.dropped += displaced
            if not displaced:  # otherwise the consumer has been woken already
                self._loop.call_soon_threadsafe(self._changed.set)
        return True

    def close(self) -> None:
        """End the iteration, on the event loop; what is inside is let go. Safe to call twice."""
        with self._lock:
            self._closed, self._item = True, None
        self._changed.set()

    def __aiter__(self) -> AsyncIterator[T]:
        return self

    async def __anext__(self) -> T:
        while True:
            with self._lock:
                item, self._item, closed = self._item, None, self._closed
            if closed:
                raise StopAsyncIteration
            if item is not None:
                return item
            self._changed.clear()
            await self._changed.wait()
