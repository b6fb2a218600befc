"""CPU time that a process spends itself, outside the network and the codecs.

*Overhead* is the CPU time of every thread that runs Python, less what these threads spend inside two kinds of calls:

* the network: `InferRequest.infer` of OpenVINO;
* the codecs: `decode`, `encode`, `demux` and `mux` of PyAV.

Threads that those libraries start for themselves (the network's workers, an encoder's) never run Python and are not
counted. Everything that Vivace orders is: conversions and scaling, although swscale does them, copies, masks, textures,
cut detection, locks.

The calls are wrapped where the libraries define them, not where Vivace uses them, so the same ruler lies on any version
of Vivace. CPU time and not time that passes: other programs change it little, and threads that run beside each other
add up. A null network in the place of the real one would need no subtraction, but it would leave the caches warm: at
1280x720 the real one reads tens of MiB a step, and what comes after it pays for that.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import wraps
from types import TracebackType
from typing import Any, ParamSpec, Self, TypeVar

NETWORK_CALLS = (("openvino", "InferRequest", "infer"),)
"""Module, class, method."""
CODEC_CALLS = (
    ("av.codec.context", "CodecContext", "decode"),
    ("av.codec.context", "CodecContext", "encode"),
    ("av.video.stream", "VideoStream", "decode"),
    ("av.video.stream", "VideoStream", "encode"),
    ("av.container", "OutputContainer", "mux"),
)
CODEC_ITERATORS = (("av.container", "InputContainer", "demux"),)
"""Their work is done while somebody iterates."""

P = ParamSpec("P")
R = TypeVar("R")

_END = object()


def thread_cpu_s(thread: threading.Thread) -> float:
    """Return the CPU time that a running thread of this process has had, s.

    Raises:
        OSError: it has ended, or this is not Linux.
    """
    if sys.platform != "linux" or thread.native_id is None:
        raise OSError("the CPU time of another thread is read on Linux only")
    # The kernel's own number of a thread's CPU clock, what pthread_getcpuclockid computes. That function must not be
    # asked for a thread that has ended; the kernel may be.
    return time.clock_gettime((~thread.native_id << 3) | 6)


@dataclass(slots=True)
class _Account:
    """What a thread spent, s of its CPU time."""

    inside_s: float = 0.0
    """In calls that are over."""
    entered_s: float | None = None
    """When the call in progress began."""
    own_s: float = 0.0
    """Outside, when it was last looked at."""


class OverheadMeter:
    """Counts overhead while it is open, see the module. A context manager; may be read from any thread.

    Only libraries that are loaded when it is opened are wrapped.
    """

    def __init__(
        self,
        *,
        now_s: Callable[[], float] = time.thread_time,
        thread_s: Callable[[threading.Thread], float] = thread_cpu_s,
    ) -> None:
        """`now_s` is the CPU time of the calling thread, `thread_s` that of another one."""
        self.network_calls = 0
        """Calls of the network so far."""
        self._now_s = now_s
        self._thread_s = thread_s
        self._accounts: dict[threading.Thread, _Account] = {}
        self._wrapped: list[tuple[type, str, Any]] = []

    def __enter__(self) -> Self:
        for place in NETWORK_CALLS:
            self._wrap(place, self._timed_network)
        for place in CODEC_CALLS:
            self._wrap(place, self.timed)
        for place in CODEC_ITERATORS:
            self._wrap(place, self.timed_iterator)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        while self._wrapped:
            owner, name, before = self._wrapped.pop()
            setattr(owner, name, before)

    def read_ms(self) -> float:
        """Return the overhead of all threads so far, ms.

        A thread that ends takes its clock with it: of such a one, what it had when this was last called counts.
        """
        for thread in threading.enumerate():
            account = self._account(thread)
            try:
                at_s = self._thread_s(thread) if account.entered_s is None else account.entered_s
            except OSError:
                continue
            account.own_s = at_s - account.inside_s
        return 1e3 * sum(account.own_s for account in list(self._accounts.values()))

    def timed(self, call: Callable[P, R]) -> Callable[P, R]:
        """Return a function whose time is not counted."""

        @wraps(call)
        def timed(*args: P.args, **kwargs: P.kwargs) -> R:
            with self._inside():
                return call(*args, **kwargs)

        return timed

    def timed_iterator(self, call: Callable[..., Iterator[Any]]) -> Callable[..., Iterator[Any]]:
        """Return a generator function of which the time to each next item is not counted."""

        @wraps(call)
        def timed(*args: Any, **kwargs: Any) -> Iterator[Any]:
            items = call(*args, **kwargs)
            while True:
                with self._inside():
                    item = next(items, _END)
                if item is _END:
                    return
                yield item

        return timed

    def _timed_network(self, call: Callable[..., Any]) -> Callable[..., Any]:
        timed = self.timed(call)

        @wraps(call)
        def counted(*args: Any, **kwargs: Any) -> Any:
            self.network_calls += 1
            return timed(*args, **kwargs)

        return counted

    def _wrap(self, place: tuple[str, str, str], wrapper: Callable[[Any], Any]) -> None:
        module, class_name, name = place
        if module not in sys.modules:
            return
        owner = getattr(sys.modules[module], class_name)
        before = getattr(owner, name)
        setattr(owner, name, wrapper(before))
        self._wrapped.append((owner, name, before))

    @contextmanager
    def _inside(self) -> Iterator[None]:
        account = self._account(threading.current_thread())
        if account.entered_s is not None:  # a call within a call
            yield
            return
        account.entered_s = entered_s = self._now_s()
        try:
            yield
        finally:
            account.inside_s += self._now_s() - entered_s
            account.entered_s = None

    def _account(self, thread: threading.Thread) -> _Account:
        return self._accounts.setdefault(thread, _Account())
