"""What a sink of pictures is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from types import TracebackType
from typing import Self

from vivace.errors import SinkWriteError
from vivace.media.frame import Frame

PICTURE_FORMATS = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP"}


class Sink(ABC):
    """Takes frames in order. A context manager; `write` and `close` belong to one thread.

    After a `SinkWriteError` what was written stays playable, and `close()` is still to be called.
    """

    name: str = ""
    """For people: where the pictures go."""
    frames_written: int = 0
    stills: bool = False
    """True where each frame is a picture by itself that goes under a name of its own, by its index."""
    finished: bool = False
    """True once the receiver wants no more (the preview window was closed): end the stream, nothing has failed."""

    @abstractmethod
    def write(self, frame: Frame) -> None:
        """Write one frame.

        Raises:
            SinkWriteError: disk full, folder gone, peer vanished.
        """

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
