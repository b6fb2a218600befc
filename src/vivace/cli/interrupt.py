"""Ctrl-C as a request to finish: once closes the output properly, twice ends at once."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import Any

EXIT_INTERRUPTED = 130


class Interrupt:
    """Turn the first SIGINT or SIGTERM into `requested`, and the second into an immediate end of the process.

    A blocking wait placed inside `waiting()` is broken by KeyboardInterrupt; work outside it is never cut in half, so a
    frame that is being written is written whole. Use from the main thread, where Python delivers signals.
    """

    def __init__(self, *, before_exit: Callable[[], None] = lambda: None) -> None:
        """`before_exit` runs before an immediate end, e.g. to give the terminal back."""
        self.requested = False
        self._waiting = False
        self._before_exit = before_exit
        self._previous: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Interrupt:
        for number in (signal.SIGINT, signal.SIGTERM):
            self._previous[number] = signal.signal(number, self._handle)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Mark a wait that an interrupt may break."""
        self._waiting = True
        try:
            if self.requested:
                raise KeyboardInterrupt
            yield
        finally:
            self._waiting = False

    def _handle(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002  (what the signal module calls)
        if self.requested:
            self._before_exit()
            sys.stderr.write("\nvivace: ended at once; what was written so far is kept.\n")
            sys.stderr.flush()
            os._exit(EXIT_INTERRUPTED)
        self.requested = True
        if self._waiting:
            raise KeyboardInterrupt
