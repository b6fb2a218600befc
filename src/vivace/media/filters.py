"""Chains of FFmpeg's filters that pictures go through."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import av
import av.filter


class FilterChain:
    """One filter after another, for pictures of the form (size and pixels) of the one it is made for."""

    def __init__(self, frame: av.VideoFrame, time_base: Fraction, *filters: tuple[str, str], threads: int = 0):
        """Set up `filters`, each a name and its arguments, for pictures like `frame` that count in `time_base`.

        They run in so many threads, 0 being one for each core.
        """
        self._form = _form(frame)
        self.graph = av.filter.Graph()
        self.graph.threads = threads
        end: Any = self.graph.add_buffer(
            width=frame.width, height=frame.height, format=frame.format, time_base=time_base
        )
        for name, arguments in (*filters, ("buffersink", "")):
            stage = self.graph.add(name, arguments or None)
            end.link_to(stage)
            end = stage
        self.graph.configure()

    def fits(self, frame: av.VideoFrame) -> bool:
        """Tell whether `frame` is of the form that the filters are set up for."""
        return self._form == _form(frame)

    def __call__(self, frame: av.VideoFrame) -> av.VideoFrame:
        """Return what the filters make of a picture, of filters that give one for one."""
        self.graph.vpush(frame)
        return self.graph.vpull()


def _form(frame: av.VideoFrame) -> tuple[int, int, str]:
    return frame.width, frame.height, frame.format.name
