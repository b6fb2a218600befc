"""A device that a model computes on, and the turn at it.

What must not overlap on a device, as steps of the streams of one model, is done in its turn: by one at a time, in
whatever threads they are. The turn is for the time of one step; it is not held while something is compiled or
allocated, which may take minutes and touches nothing that a step uses.

A device may have a thread of its own in which all of its work is done. torch on a CPU needs that: OpenMP, with which it
spreads work over cores, keeps helpers for every thread that ever asked for some. As soon as there are more of them than
cores, they no longer wait actively and go to sleep between two operations, thousands of times a frame. A model that is
loaded in one thread, asked for prompts in another and stepped in a third then takes a quarter longer for a step.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")


class Device:
    """Where models compute. Those that have the same `Device` take turns at it; others do not wait for each other.

    Any thread may ask, also from within what is being done here.
    """

    def __init__(self, name: str, *, thread: str | None = None) -> None:
        """Name the device for people, e.g. `CPU: AMD EPYC …`; `thread` is the name of its own thread, if it has one."""
        self.name = name
        self._turn = threading.RLock()
        self._local = threading.local()
        begin = (self._local, "here", True)
        self._thread = None if thread is None else ThreadPoolExecutor(1, thread, initializer=setattr, initargs=begin)

    def call(self, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Run `function` where work of this device is done, wait, and return or raise what it does.

        That is its thread, or the caller's. In the latter case others may use the device at the same time.
        """
        if self._thread is None or getattr(self._local, "here", False):
            return function(*args, **kwargs)
        return self._thread.submit(function, *args, **kwargs).result()

    def in_turn(self, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Do what `call` does while nothing else is done in the turn of this device."""

        def alone() -> R:
            with self._turn:
                return function(*args, **kwargs)

        return self.call(alone)

    def free_bytes(self) -> int | None:
        """Return how much memory of the device's own is free; None if it uses the machine's."""
        return None
