"""Base of all sinks of pictures, and the sink that goes nowhere."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from vivace.errors import SinkUnsupportedError, SinkWriteError
from vivace.media.encoders import X264, Encoder
from vivace.media.frame import Frame
from vivace.media.picture import Warn, ignore
from vivace.media.registry import PICTURE_FORMATS
from vivace.media.size import Size

if TYPE_CHECKING:
    from vivace.media.audio import SoundSource
    from vivace.media.statement import Statement


@dataclass(slots=True)
class SinkOptions:
    """Arguments of `open_sink`, as openers get them."""

    size: Size | None = None
    fps: float | Fraction | None = None
    time_base: Fraction | None = None
    audio_from: SoundSource | None = None
    pictures: Sequence[Path] = ()
    statement: Statement | None = None
    encoder: Encoder = X264
    """Encoder of H.264."""
    warn: Warn = ignore
    """Called with a sentence for people where something is done otherwise than asked for."""
    endless: bool = False
    """True where pictures have no known end, so that only the newest of what is written can be kept."""
    folder: bool = False
    """True where the text names a folder."""


FILE_SLACK = 30
"""Frames that may wait for a file in a live run, about a second of them."""


class Sink(ABC):
    """Takes frames in order. A context manager; `write` and `close` belong to one thread.

    After a `SinkWriteError` what was written stays playable, and `close()` is still to be called.
    """

    name: str = ""
    """For people: where the pictures go."""
    frames_written: int = 0
    stills: bool = False
    """True where each frame is a picture by itself that goes under a name of its own, by its index."""
    live: bool = False
    """True where frames are shown as they are written: by a window, or by whoever receives a network stream."""
    finished: bool = False
    """True once the receiver wants no more (the preview window was closed): end the stream, nothing has failed."""

    @abstractmethod
    def write(self, frame: Frame) -> None:
        """Write one frame.

        Raises:
            SinkWriteError: disk full, folder gone, peer vanished.
        """

    def written(self) -> Mapping[Path, int]:
        """Return the files that are complete, each with the index of a frame in it: of a photograph, that of its."""
        return {}

    def replaces(self, path: Path) -> bool:  # noqa: ARG002
        """Tell whether writing would replace the file at `path`."""
        return False

    @abstractmethod
    def close(self) -> None:
        """Finish what has been written; safe to call twice. Raises SinkWriteError when finishing fails."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.close()
        except SinkWriteError:
            if error is None:
                raise
            # The error on its way out is the cause; what follows from it would hide it.


def check_place(path: Path, audio_from: SoundSource | None = None) -> None:
    """Refuse a place that cannot be written before any work is done. The file itself is created by the first frame.

    Raises:
        SinkWriteError: no such folder, or no permission.
        SinkUnsupportedError: it is the source of the sound itself.
    """
    if not path.parent.is_dir():
        raise SinkWriteError(f"{path}: there is no folder {path.parent}; create it first")
    if not os.access(path if path.exists() else path.parent, os.W_OK):
        raise SinkWriteError(f"{path}: no permission to write there")
    sources = audio_from.files if audio_from is not None else ()
    if path.exists() and any(path.samefile(source) for source in sources):
        raise SinkUnsupportedError(f"{path}: is the source itself; name another file")


def written_name(picture: Path) -> str:
    """Return the name under which what is made of a picture file is written: its own, or that of a PNG."""
    return picture.name if picture.suffix.lower() in PICTURE_FORMATS else f"{picture.stem}.png"


class NullSink(Sink):
    """Counts frames and forgets them."""

    name = "null"

    def write(self, frame: Frame) -> None:  # noqa: ARG002
        """Count the frame."""
        self.frames_written += 1

    def close(self) -> None:
        """Do nothing."""


def open_null(_rest: str, _options: SinkOptions) -> NullSink:
    """Open the output that goes nowhere."""
    return NullSink()
