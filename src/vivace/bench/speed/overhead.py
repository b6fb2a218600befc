"""CPU time that a process spends outside the network and the codecs.

*Overhead* is the CPU time of every thread that runs Python, minus the time these threads spend inside two kinds of
calls:

* the network: `InferRequest.infer` of OpenVINO;
* the codecs: `decode`, `encode`, `demux` and `mux` of PyAV.

Threads that those libraries start themselves (the network's workers, an encoder's) never run Python and are not
counted. Everything that Vivace requests is: conversions and scaling, although swscale does them, copies, masks,
textures, cut detection, locks.

The calls are wrapped where the libraries define them, not where Vivace uses them, so that any version of Vivace is
measured alike. It is CPU time rather than elapsed time: other programs change it little, and parallel threads add up. A
null network in place of the real one would need no subtraction, but would leave the caches warm: at 1280x720 the real
one reads tens of MiB per step, which slows down whatever follows.
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
"""Wrapped calls as module, class, method."""
CODEC_CALLS = (
    ("av.codec.context", "CodecContext", "decode"),
    ("av.codec.context", "CodecContext", "encode"),
    ("av.video.stream", "VideoStream", "decode"),
    ("av.video.stream", "VideoStream", "encode"),
    ("av.container", "OutputContainer", "mux"),
)
CODEC_ITERATORS = (("av.container", "InputContainer", "demux"),)
"""Wrapped calls whose work is done during iteration."""

P = ParamSpec("P")
R = TypeVar("R")

_END = object()


def thread_cpu_s(thread: threading.Thread) -> float:
    """Return the CPU time of a running thread of this process, s.

    Raises:
        OSError: the thread has ended, or this is not Linux.
    """
    if sys.platform != "linux" or thread.native_id is None:
        raise OSError("the CPU time of another thread is read on Linux only")
    # The kernel's id of a thread's CPU clock, as computed by pthread_getcpuclockid. That function must not be called
    # for an ended thread; the system call may.
    return time.clock_gettime((~thread.native_id << 3) | 6)


@dataclass(slots=True)
class _Account:
    """CPU time of a thread, s."""

    inside_s: float = 0.0
    """Time in completed calls."""
    entered_s: float | None = None
    """Start of the call in progress."""
    own_s: float = 0.0
    """Time outside calls at the last reading."""


class OverheadMeter:
    """Meter of overhead while entered, see the module. A context manager; may be read from any thread.

    Only libraries loaded before it is entered are wrapped.
    """

    def __init__(
        self,
        *,
        now_s: Callable[[], float] = time.thread_time,
        thread_s: Callable[[threading.Thread], float] = thread_cpu_s,
    ) -> None:
        """`now_s` is the CPU time of the calling thread, `thread_s` that of another one."""
        self.network_calls = 0
        """Number of network calls so far."""
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

        A thread's clock ends with it: ended threads count with their value at the last call.
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
        """Return a function whose time is excluded."""

        @wraps(call)
        def timed(*args: P.args, **kwargs: P.kwargs) -> R:
            with self._inside():
                return call(*args, **kwargs)

        return timed

    def timed_iterator(self, call: Callable[..., Iterator[Any]]) -> Callable[..., Iterator[Any]]:
        """Return a generator function whose time to each next item is excluded."""

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
        if account.entered_s is not None:  # a nested call
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
