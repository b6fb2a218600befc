"""Where two threads of a stream meet: a slot that keeps the newest, or a short hand-off that keeps everything.

Both have the same small interface, so the live loop and the every-frame loop are one loop:

* `put(item)` is the producer's, and returns False once the box is closed;
* iterating is the consumer's, and ends when the box is closed and empty, raising the error it was closed with;
* `close(error)` may be called by anybody, any number of times; the first call counts.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from threading import Condition
from typing import Generic, TypeVar

T = TypeVar("T")

WAKE_S = 0.5
"""A consumer looks up this often while nothing comes: on Windows, Ctrl-C does not interrupt a wait without end."""


class Mailbox(Generic[T]):
    """Base of both boxes: what waits, who is woken, and how it ends. Thread-safe."""

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
        """Whether `close` has been called."""
        with self._changed:
            return self._closed

    def __iter__(self) -> Iterator[T]:
        while True:
            with self._changed:
                while not self._items and not self._closed:
                    self._changed.wait(WAKE_S)
                if not self._items:
                    if self._error is not None:
                        raise self._error
                    return
                item = self._items.popleft()
                self._changed.notify_all()
            yield item


class Latest(Mailbox[T]):
    """One slot in which the newest item wins: a slow consumer skips items and never falls behind."""

    def __init__(self, on_drop: Callable[[T], None] | None = None) -> None:
        """`on_drop` is called, outside the lock and in the producer's thread, with every item that was overwritten."""
        super().__init__(1)
        self._on_drop = on_drop

    def put(self, item: T) -> bool:
        """Leave an item, replacing the one nobody took. Never waits. Returns False once the box is closed."""
        with self._changed:
            if self._closed:
                return False
            displaced = list(self._items)
            self._items.clear()
            self._items.append(item)
            self._changed.notify_all()
        if self._on_drop is not None:
            for old in displaced:
                self._on_drop(old)
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
