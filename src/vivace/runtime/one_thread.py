"""One thread for all that torch does on a CPU.

OpenMP, with which torch spreads work over cores, keeps helpers for every thread that ever asked for some. As soon as
there are more of them than cores, they no longer wait actively and go to sleep between two operations, thousands of
times a frame. A model that is loaded in one thread, asked for prompts in another and stepped in a third then takes a
quarter longer for a step.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, Protocol, TypeVar

P = ParamSpec("P")
R = TypeVar("R")


class Caller(Protocol):
    """Runs a function somewhere, waits, and returns or raises what it does."""

    def __call__(self, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Run `function`."""


class OneThread:
    """Runs functions in a thread of its own, one after the other, for callers in any thread."""

    def __init__(self, name: str) -> None:
        """Name the thread, which begins with the first call."""
        self._local = threading.local()
        self._executor = ThreadPoolExecutor(1, name, initializer=setattr, initargs=(self._local, "here", True))

    def __call__(self, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Run `function` there, wait, and return or raise what it does; there already, it is simply called."""
        if getattr(self._local, "here", False):
            return function(*args, **kwargs)
        return self._executor.submit(function, *args, **kwargs).result()


def right_here(function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """Run `function` in the caller's thread."""
    return function(*args, **kwargs)


@functools.cache
def cpu_thread() -> OneThread:
    """Return the thread that all models on the CPU share, since they share its cores."""
    return OneThread("vivace-cpu")
