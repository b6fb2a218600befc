"""Base of all sources of pictures."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from vivace.media.frame import Frame

if TYPE_CHECKING:
    from vivace.media.audio import Sound

STALL_TIMEOUT_S = 10.0
"""Cameras take up to some seconds to start and network cameras some more; beyond ten nothing is coming."""


@contextmanager
def on_error(undo: Callable[[], object]) -> Iterator[None]:
    """Undo what was done if the block fails: close what was opened, take back what was changed."""
    with ExitStack() as on_failure:
        on_failure.callback(undo)
        yield
        on_failure.pop_all()


class Warnings(list[str]):
    """Sentences for people about a source and its outputs, in order. Any thread appends to them."""

    def __init__(self) -> None:
        super().__init__()
        self._lock = threading.Lock()
        self._listener: Callable[[str], object] | None = None

    def append(self, text: str) -> None:
        """Add one, and tell it to who listens."""
        with self._lock:
            super().append(text)
            listener = self._listener
        if listener is not None:
            listener(text)

    def tell(self, listener: Callable[[str], object]) -> None:
        """Tell a listener those that are there, and then each as it comes, in the thread where it comes."""
        with self._lock:
            there, self._listener = list(self), listener
        for text in there:
            listener(text)


@dataclass(frozen=True, slots=True)
class SourceInfo:
    """Properties of a source, known before its frames are read."""

    name: str
    """For people: the file name, address, or device name."""
    size: tuple[int, int]
    """`(width, height)` of the frames delivered, px."""
    fps: float | None = None
    """Average frame rate; None where it is not known."""
    frames: int | None = None
    """Number of frames; None where it is not known or has no end."""
    duration_s: float | None = None
    """Length; None where it is not known or has no end."""
    live: bool = False
    """True when pictures exist only now: what is not taken in time is lost."""
    has_audio: bool = False
    """True when `open_audio()` will give a track."""
    rotation_deg: int = 0
    """Degrees counter-clockwise by which stored pictures are turned to stand upright (frames already are)."""
    codec: str = ""
    """FFmpeg's name of the video codec, empty where there is none."""
    path: Path | None = None
    """The file read, for file sources."""
    pixel_format: str = ""
    """FFmpeg's name of the stored pixel format, empty where there is none."""
    stills: bool = False
    """True where each frame is a picture file of its own, and no number in its name says that they are one video."""


class _Delivery(Iterator[Frame]):
    """A generator that one thread may close while another reads it."""

    def __init__(self, frames: Generator[Frame, None, None]) -> None:
        self._frames = frames
        self._running = threading.Lock()

    def __next__(self) -> Frame:
        # Waits while another thread closes, and then finds the end.
        with self._running:
            return next(self._frames)

    def close(self) -> bool:
        """End the frames; return False if one is being read, which only its reader can end."""
        if not self._running.acquire(blocking=False):
            return False
        try:
            self._frames.close()
        finally:
            self._running.release()
        return True


class Source(ABC):
    """Frames in order, once. A context manager; iterate it for `Frame`s.

    `close()` may be called from any thread and ends the iteration after the frame being read.
    """

    def __init__(self, info: SourceInfo) -> None:
        self.info = info
        self.warnings = Warnings()
        """Sentences for people about faults of the data that were survived; grows while reading."""
        self.ended = False
        """True once the source has delivered its last frame by itself."""
        self._stop = threading.Event()
        self._released = False
        self._iterator: _Delivery | None = None

    def __iter__(self) -> Iterator[Frame]:
        """Return the one iterator over the frames that are left.

        Raises:
            SourceStalledError: no frame within the time-out.
            SourceLostError: a live source vanished and did not come back.
            DecodeError: damaged beyond going on.
        """
        if self._iterator is None:
            self._iterator = _Delivery(self._deliver())
        return self._iterator

    def _deliver(self) -> Generator[Frame, None, None]:
        try:
            if self._stop.is_set():
                return
            with closing(self._read()) as frames:
                for frame in frames:
                    if self._stop.is_set():
                        return
                    yield frame
                    if self._stop.is_set():
                        return
            self.ended = True
        finally:
            self._release_once()

    @abstractmethod
    def _read(self) -> Generator[Frame, None, None]:
        """Yield the frames; runs in the thread that iterates."""

    def _release(self) -> None:  # noqa: B027 - nothing to let go of is a fine default
        """Let go of files and devices; called once, never while `_read` is running."""

    def _release_once(self) -> None:
        if not self._released:
            self._released = True
            self._release()

    def deliver_at(self, size: tuple[int, int] | None) -> None:  # noqa: B027 - delivering as before is a fine default
        """Be asked for frames of `(width, height)` px from the next one on, None for each at its own; any thread.

        A source that converts pictures anyway converts them to this size at once, covering it as `size` of
        `open_source` does. Others go on as before, so whoever asks scales what comes otherwise.
        """

    @property
    def files(self) -> Sequence[Path]:
        """The files that are read, which a sink must not replace; none for devices, addresses and scenes."""
        return [] if self.info.path is None else [self.info.path]

    def open_audio(self) -> Sound | None:
        """Open the audio that belongs to the pictures, to be read independently; None where there is none."""
        return None

    def close(self) -> None:
        """Stop; safe to call twice and from another thread."""
        self._stop.set()
        if self._iterator is not None and not self._iterator.close():
            return  # Running in another thread, which notices `_stop` after its frame and releases.
        self._release_once()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
