"""Compute devices, and exclusive turns on them.

Work that must not overlap on a device, such as the steps of one model's streams, is done in its turn: one at a time,
whichever threads they run in. The turn lasts for one step; it is not held during compilation or allocation, which may
take minutes and touch nothing that a step uses.

A device may have a thread of its own for all of its work. torch on a CPU needs that: OpenMP, which spreads work over
cores, keeps helper threads for every thread that ever used it. Once they outnumber the cores, they stop busy-waiting
and sleep between operations, thousands of times per frame. If a model is loaded in one thread, encodes prompts in
another and steps in a third, a step takes a quarter longer.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")


class Device:
    """Device that models compute on.

    Users of the same `Device` take turns; different devices do not wait for each other. Thread-safe and reentrant.
    """

    def __init__(self, name: str, *, thread: str | None = None) -> None:
        """Create a device named for people, e.g. `CPU: AMD EPYC …`; `thread` names its own thread, if it has one."""
        self.name = name
        self._turn = threading.RLock()
        self._local = threading.local()
        begin = (self._local, "here", True)
        self._thread = None if thread is None else ThreadPoolExecutor(1, thread, initializer=setattr, initargs=begin)

    def call(self, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Return (or raise) the outcome of `function`, run in the device's thread if it has one, else in the caller's.

        In the latter case others may use the device at the same time.
        """
        if self._thread is None or getattr(self._local, "here", False):
            return function(*args, **kwargs)
        return self._thread.submit(function, *args, **kwargs).result()

    def in_turn(self, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Return `call` of the function, run while holding the device's turn."""

        def alone() -> R:
            with self._turn:
                return function(*args, **kwargs)

        return self.call(alone)

    def free_bytes(self) -> int | None:
        """Return the free memory of the device itself, bytes; None if it uses the machine's."""
        return None
