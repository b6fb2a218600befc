"""Showing source and result side by side."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Generator
from dataclasses import replace
from threading import Lock

from vivace.media.audio import AudioTrack
from vivace.media.draw import side_by_side
from vivace.media.frame import Frame, Rgb
from vivace.media.source import Source
from vivace.stream.fit import fit

KEPT_FRAMES = 16
"""A frame and its result are at most a few frames apart: one in each mailbox, one in each stage, a model's own lag."""


class Comparison:
    """Remembers the source's latest pictures and puts each beside the result that was made of it."""

    def __init__(self, source: Source) -> None:
        """Watch `source`; hand `self.source` to the stream in its place."""
        self._recent: OrderedDict[int, Rgb] = OrderedDict()
        self._lock = Lock()
        self.source: Source = _Watched(source, self._remember)

    def join(self, result: Frame) -> Frame:
        """Return the source's picture, scaled and cut as the stream does, left of the result.

        Raises:
            LookupError: the frame came from elsewhere, or long ago.
        """
        with self._lock:
            source_rgb = self._recent.get(result.index)
        if source_rgb is None:
            raise LookupError(f"frame {result.index} is not among the last {KEPT_FRAMES} of the source")
        return replace(result, rgb=side_by_side(fit(source_rgb, result.size), result.rgb))

    def _remember(self, frame: Frame) -> None:
        with self._lock:
            self._recent[frame.index] = frame.rgb
            if len(self._recent) > KEPT_FRAMES:
                self._recent.popitem(last=False)


class _Watched(Source):
    """Another source, whose frames are seen by somebody else too."""

    def __init__(self, source: Source, see: Callable[[Frame], None]) -> None:
        super().__init__(source.info)
        self.warnings = source.warnings
        self._source = source
        self._see = see

    def _read(self) -> Generator[Frame, None, None]:
        for frame in self._source:
            self._see(frame)
            yield frame

    def open_audio(self) -> AudioTrack | None:
        return self._source.open_audio()

    def close(self) -> None:
        super().close()
        self._source.close()
