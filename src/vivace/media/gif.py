"""Animated GIF, each frame with a palette of its own."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import av.filter

from vivace.errors import SinkWriteError
from vivace.media.convert import cover
from vivace.media.encode import FileOpener, WholeWrites, flush_packets, open_plain, write_failure
from vivace.media.frame import Frame
from vivace.media.paths import is_same_file
from vivace.media.sink import Sink, SinkOptions, check_place

TIME_BASE = Fraction(1, 100)
MIN_DELAY = 2
"""GIF counts hundredths; players slow anything under two of them down to ten."""


class GifSink(Sink):
    """An animated GIF that loops, at up to 50 frames a second (frames that come sooner are left out).

    Each frame is reduced to its own best 255 colours with ordered dithering, whose pattern stands still and compresses
    well. Frames are written as they come; a GIF cut off half-way plays up to there.
    """

    def __init__(self, path: Path, *, open_file: FileOpener | None = None):
        """Prepare writing to `path`; the first frame creates the file."""
        self.name = str(path)
        self._path = path
        self._open_file = open_file or open_plain
        self._file: WholeWrites | None = None
        self._start_s = 0.0
        self._end = 0
        self._last_pts: int | None = None
        self._failed = False
        self._closed = False

    def write(self, frame: Frame) -> None:
        """Write one frame, or leave it out when it comes less than 20 ms after the last."""
        if self._closed or self._failed:
            raise SinkWriteError(f"{self.name}: {'already closed' if self._closed else 'writing failed before'}")
        try:
            if self._file is None:
                self._start(frame)
            pts = round((frame.pts_s - self._start_s) / TIME_BASE)
            self._end = round(
                (frame.pts_s + float((frame.duration or 0) * frame.time_base) - self._start_s) / TIME_BASE
            )
            if self._last_pts is not None and pts - self._last_pts < MIN_DELAY:
                return
            self._last_pts = pts
            self._encode(frame, pts)
            assert self._file is not None
            self._file.check_place()
        except (av.FFmpegError, OSError) as error:
            self._failed = True
            raise write_failure(self, self._file, error) from error
        self.frames_written += 1

    def _start(self, frame: Frame) -> None:
        self._size = frame.size
        self._start_s = frame.pts_s
        self._file = WholeWrites(self._path, self._open_file(self._path))
        self._container = av.open(self._file, "w", format="gif", options={"loop": "0"})
        flush_packets(self._container)
        self._stream: Any = self._container.add_stream("gif", rate=100)
        self._stream.width, self._stream.height = frame.size
        self._stream.pix_fmt = "pal8"
        self._stream.codec_context.time_base = TIME_BASE
        self._graph = _palette_graph(frame.size)

    def _encode(self, frame: Frame, pts: int) -> None:
        picture = av.VideoFrame.from_numpy_buffer(cover(frame.rgb, self._size), "rgb24")
        picture.pts, picture.time_base = pts, TIME_BASE
        self._graph.push(picture)
        indexed: Any = self._graph.pull()
        indexed.pts, indexed.time_base = pts, TIME_BASE
        self._container.mux(self._stream.encode(indexed))

    def _set_delay(self, file: WholeWrites, offset: int) -> None:
        """Show the last picture, which was written from `offset` on, until its end; FFmpeg repeats the delay before."""
        assert self._last_pts is not None
        if self.frames_written > 1 and self._end > self._last_pts:
            # Of the graphic control extension, which is before every picture (GIF89a, 23).
            file.seek(offset + 4)
            file.write(min(self._end - self._last_pts, 0xFFFF).to_bytes(2, "little"))

    def replaces(self, path: Path) -> bool:
        """Tell whether `path` is the file that is written."""
        return is_same_file(self._path, path)

    def written(self) -> Mapping[Path, int]:
        """Return the file, once it is complete."""
        return {self._path: 0} if self._closed and not self._failed and self.frames_written else {}

    def close(self) -> None:
        """Finish the file."""
        if self._closed:
            return
        self._closed = True
        if self._file is None:
            return
        try:
            if not self._failed:
                self._container.mux(self._stream.encode(None))
                last = self._file.tell()
                self._container.close()
                self._set_delay(self._file, last)
                self._file.check_place()
        except (av.FFmpegError, OSError) as error:
            self._failed = True
            raise write_failure(self, self._file, error) from error
        finally:
            self._file.close()


def _palette_graph(size: tuple[int, int]) -> av.filter.Graph:
    graph = av.filter.Graph()
    source = graph.add_buffer(width=size[0], height=size[1], format=av.VideoFormat("rgb24"), time_base=TIME_BASE)
    split = graph.add("split", "2")
    palette = graph.add("palettegen", "stats_mode=single:reserve_transparent=0")
    use = graph.add("paletteuse", "new=1:dither=bayer:bayer_scale=4")
    sink = graph.add("buffersink")
    source.link_to(split)
    split.link_to(palette, 0, 0)
    split.link_to(use, 1, 0)
    palette.link_to(use, 0, 1)
    use.link_to(sink)
    graph.configure()
    return graph


def open_gif(path: Path, options: SinkOptions) -> GifSink:
    """Open an animated GIF as an output."""
    check_place(path, options.audio_from)
    return GifSink(path)
