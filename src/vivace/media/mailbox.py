"""Mailboxes between a producer and a consumer: a slot that keeps the newest item, or a short queue that keeps all.

All have the same small interface, so that the live loop and the every-frame loop are one loop:

* `put(item)` is the producer's, from any thread, and returns False once the box is closed;
* iterating is the consumer's, and ends when the box is closed and empty, raising the error it was closed with;
* `close()` may be called by anybody, any number of times; the first call counts.

| | newest wins | keeps everything |
|---|---|---|
| consumer is a thread | `Latest` | `Handoff`, with back-pressure |
| consumer is on an event loop | `AsyncLatest` | its own subclass of `AsyncMailbox` |
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from threading import Condition, Lock
from typing import Any, Generic, TypeVar

T = TypeVar("T")

WAKE_S = 0.5
"""A consumer looks up this often while nothing comes: on Windows, Ctrl-C does not interrupt a wait without end."""


class Mailbox(Generic[T]):
    """Base of both boxes between threads: what waits, who is woken, and how it ends. Thread-safe."""

    def __init__(self, capacity: int) -> None:
        if capacity < 1:
            raise ValueError(f"a mailbox holds at least 1 item, not {capacity}")
        self._capacity = capacity
        self._items: deque[T] = deque()
        self._changed = Condition()
        self._closed = False
        self._error: BaseException | None = None

    def put(self, item: T) -> bool:
        """Leave an item. Returns False, and takes nothing, once the box is closed."""
        raise NotImplementedError

    def close(self, error: BaseException | None = None, *, discard: bool = False) -> None:
        """End the traffic and wake everybody who waits.

        What is already in the box is still delivered, then `error` is raised, so that frames from before a failure are
        shown. With `discard` the consumer is the one who leaves, and what is in the box is let go.
        """
        with self._changed:
            if not self._closed:
                self._closed = True
                self._error = error
            if discard:
                self._items.clear()
                self._error = None
            self._changed.notify_all()

    @property
    def closed(self) -> bool:
        """True once `close` has been called."""
        with self._changed:
            return self._closed

    @property
    def waiting(self) -> int:
        """Number of items that wait to be taken."""
        with self._changed:
            return len(self._items)

    def __iter__(self) -> Iterator[T]:
        while True:
            with self._changed:
                while not self._items and not self._closed:
                    self._changed.wait(WAKE_S)
                if not self._items:
                    if self._error is not None:
                        raise self._error
                    return
                item = self._pop()
            yield item

    def take(self, timeout_s: float) -> T | None:
        """Take the next item; None once the box is closed and empty.

        Raises:
            TimeoutError: none came in time.
            BaseException: what the box was closed with, once it is empty.
        """
        with self._changed:
            if not self._changed.wait_for(lambda: self._items or self._closed, timeout_s):
                raise TimeoutError(f"nothing came within {timeout_s:g} s")
            if self._items:
                return self._pop()
            if self._error is not None:
                raise self._error
            return None

    def _pop(self) -> T:
        item = self._items.popleft()
        self._changed.notify_all()
        return item


class Latest(Mailbox[T]):
    """A slot in which the newest item wins, or a few: a slow consumer skips items and never falls behind."""

    def __init__(self, on_drop: Callable[[T], None] | None = None, *, keep: int = 1) -> None:
        """Hold as many of the newest items as one turn of the consumer takes.

        Args:
            on_drop: called, outside the lock and in the producer's thread, with every item that was overwritten.
            keep: how many items may wait.
        """
        super().__init__(keep)
        self._on_drop = on_drop

    def put(self, item: T) -> bool:
        """Leave an item, in place of the oldest where the box is full. Never waits. Returns False once it is closed."""
        with self._changed:
            if self._closed:
                return False
            displaced = self._items.popleft() if len(self._items) == self._capacity else None
            self._items.append(item)
            self._changed.notify_all()
        if displaced is not None and self._on_drop is not None:
            self._on_drop(displaced)
        return True


class Handoff(Mailbox[T]):
    """A short queue with back-pressure: a fast producer waits, and nothing is dropped."""

    def __init__(self, capacity: int = 2) -> None:
        super().__init__(capacity)

    def put(self, item: T) -> bool:
        """Leave an item, waiting while the box is full. Returns False once the box is closed."""
        with self._changed:
            while len(self._items) >= self._capacity and not self._closed:
                self._changed.wait()
            if self._closed:
                return False
            self._items.append(item)
            self._changed.notify_all()
        return True


class AsyncMailbox(Generic[T]):
    """Items from any thread for one consumer, `async for item in mailbox`, on the event loop it was made on."""

    def __init__(self, on_close: Callable[[Any], None] | None = None) -> None:
        """`on_close` is called with the mailbox whenever it is closed."""
        self._loop = asyncio.get_running_loop()
        self._ready = asyncio.Event()
        self._lock = Lock()
        self._closed = False
        self._on_close = on_close

    def _take(self) -> T | None:
        """Return the next item, if there is one; called with the lock held."""
        raise NotImplementedError

    def _discard(self) -> None:
        """Let go of what is inside; called with the lock held."""
        raise NotImplementedError

    def _wake(self) -> None:
        try:
            self._loop.call_soon_threadsafe(self._ready.set)
        except RuntimeError:  # the loop was closed with the consumer on it, which is a way of leaving
            self._closed = True

    @property
    def closed(self) -> bool:
        """True once nothing more is taken."""
        return self._closed

    def close(self, *, discard: bool = False) -> None:
        """Take no more; what is inside is still delivered, unless it shall be discarded. Any thread."""
        with self._lock:
            self._closed = True
            if discard:
                self._discard()
        self._wake()
        if self._on_close is not None:
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


class AsyncLatest(AsyncMailbox[T]):
    """One slot in which the newest item wins, between any thread and a consumer on an event loop."""

    def __init__(self, on_close: Callable[[Any], None] | None = None) -> None:
        super().__init__(on_close)
        self._item: T | None = None
        self.dropped = 0
        """Items replaced by newer ones before they were taken."""

    def put(self, item: T) -> bool:
        """Leave an item, replacing the one nobody took. Never waits. Returns False once the mailbox is closed."""
        with self._lock:
            if self._closed:
                return False
            displaced, self._item = self._item is not None, item
            self.dropped += displaced
        if not displaced:  # otherwise the consumer has been woken already
            self._wake()
        return True

    def _take(self) -> T | None:
        item, self._item = self._item, None
        return item

    def _discard(self) -> None:
        self._item = None
