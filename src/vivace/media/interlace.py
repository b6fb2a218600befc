"""Whole pictures from interlaced ones."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import av
import av.filter

from vivace.media.clock import exact
from vivace.media.filters import FilterChain
from vivace.media.picture import Warn, ignore

_MIN_SIDE_PX = 4
"""Smallest side, px, that bwdif can filter."""


class Deinterlacer:
    """Rebuilds the lines of pictures that are two fields taken one after the other, by FFmpeg's bwdif.

    Whether they are, each picture's own flag says; nothing is guessed from what it shows. Times, lengths and the number
    of pictures stay. From the first interlaced picture on, one is held back, since bwdif looks at the next.
    """

    def __init__(self, time_base: Fraction, warn: Warn | None = None):
        """Take pictures that count in `time_base`, and tell `warn` when the first interlaced one comes."""
        self._time_base = time_base
        self._warn = warn or ignore
        self._chain: FilterChain | None = None
        self._told = False

    def __call__(self, frame: av.VideoFrame) -> Iterator[av.VideoFrame]:
        """Yield the pictures that are ready once `frame` has come."""
        if self._chain is None:
            if not frame.interlaced_frame or min(frame.width, frame.height) < _MIN_SIDE_PX:
                yield frame
                return
            if not self._told:
                self._told = True
                self._warn("the video is interlaced; it is deinterlaced first (bwdif)")
        if self._chain is None or not self._chain.fits(frame):
            yield from self.finish()
            self._chain = FilterChain(frame, self._time_base, ("bwdif", "mode=send_frame:deint=interlaced"))
        frame.time_base = self._time_base
        self._chain.graph.vpush(frame)
        yield from self._ready(self._chain.graph)

    def finish(self) -> Iterator[av.VideoFrame]:
        """Yield what is held back."""
        chain, self._chain = self._chain, None
        if chain is not None:
            chain.graph.vpush(None)
            yield from self._ready(chain.graph)

    def _ready(self, graph: av.filter.Graph) -> Iterator[av.VideoFrame]:
        while True:
            try:
                picture: Any = graph.vpull()
            except (av.error.BlockingIOError, av.error.EOFError):
                return
            # bwdif counts in half units, since it could give a picture for each field.
            ratio = exact(picture.time_base) / self._time_base
            picture.pts, picture.duration = round(picture.pts * ratio), round((picture.duration or 0) * ratio)
            picture.time_base = self._time_base
            yield picture
