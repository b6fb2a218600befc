"""Live devices, read on a thread of their own: the newest picture wins."""

from __future__ import annotations

import threading
import time
from collections.abc import Generator
from typing import NamedTuple

import av

from vivace.errors import SourceLostError, SourceStalledError
from vivace.media.clock import Clock, Timeline
from vivace.media.frame import Frame
from vivace.media.mailbox import Latest
from vivace.media.picture import PictureConverter
from vivace.media.reader import Opener, VideoReader, open_error
from vivace.media.size import Size
from vivace.media.source import Source, SourceInfo, on_error


class _Arrival(NamedTuple):
    number: int
    pts: int
    time_s: float
    picture: av.VideoFrame


class DeviceSource(Source):
    """A live device. A thread reads it; iteration takes the newest picture, and those not taken in time are lost.

    `index` counts the lost ones too, and `capture_time_s` is when the picture arrived, however late it is taken.
    """

    def __init__(
        self,
        name: str,
        open_device: Opener,
        *,
        size: Size | None = None,
        stall_timeout_s: float,
        clock: Clock = time.monotonic,
    ):
        """Open the device and wait for its first picture.

        Args:
            name: for people.
            open_device: opens the container; raises what `av.open` raises.
            size: `(width, height)` to deliver, px; None: as captured.
            stall_timeout_s: longest wait for a picture.
            clock: stamps arrivals.

        Raises:
            SourceNotFoundError, SourceUnsupportedError: it cannot be opened.
            SourceStalledError: it gave no picture in time.
            SourceLostError: it vanished before its first picture.
        """
        super().__init__(SourceInfo(name=name, size=(0, 0), live=True))
        self._clock = clock
        self._stall_timeout_s = stall_timeout_s
        try:
            container = open_device()
        except (av.FFmpegError, OSError, ValueError) as error:
            raise open_error(name, error, stall_timeout_s=stall_timeout_s) from error
        self._reader = reader = VideoReader(container, name, live=True, warn=self.warnings.append)
        self._arrivals: Latest[_Arrival] = Latest()
        # A daemon: a driver that hangs in its read must not keep the process alive.
        self._thread = threading.Thread(target=self._capture, name=f"capture {name}", daemon=True)
        with on_error(reader.close):
            # Asked before the thread runs, which closes the container when the device breaks.
            self._time_base, fps, codec = reader.time_base, reader.fps, reader.stream.codec_context.name
            aspect = reader.stream.sample_aspect_ratio
            self._convert = PictureConverter(size=size, aspect=aspect, warn=self.warnings.append)
            self._thread.start()
        with on_error(self.close):
            self._first = self._take()
            if self._first is None:
                raise SourceLostError(f"{name}: vanished before its first picture")
            self._convert(self._first.picture)
        self.info = SourceInfo(
            name=name,
            size=self._convert.size or (0, 0),
            fps=fps,
            live=True,
            rotation_deg=self._convert.rotation_deg,
            codec=codec,
            pixel_format=self._first.picture.format.name,
        )

    def deliver_at(self, size: Size | None) -> None:
        """Convert to `(width, height)` px from the next frame on, None to what that one has."""
        self._convert.size = size

    def _capture(self) -> None:
        broken: BaseException = SourceLostError(f"{self.info.name}: stopped delivering; is it still plugged in?")
        try:
            timeline = Timeline(self._time_base, self._reader.step)
            for index, picture in enumerate(self._reader.frames()):
                arrival_s = self._clock()
                if not self._arrivals.put(_Arrival(index, timeline.place(picture.pts), arrival_s, picture)):
                    return
        except SourceLostError as error:
            broken = SourceLostError(f"{error}; is it still plugged in?")
        except BaseException as error:  # noqa: BLE001  (raised where the pictures are taken)
            broken = error
        finally:
            self._reader.close()
            self._arrivals.close(broken)

    def _take(self) -> _Arrival | None:
        """Wait for a picture newer than the last one taken; None when closed meanwhile."""
        try:
            return self._arrivals.take(self._stall_timeout_s)
        except TimeoutError as error:
            raise SourceStalledError(
                f"{self.info.name}: no picture for {self._stall_timeout_s:g} s; is another program using it?"
            ) from error

    def _read(self) -> Generator[Frame, None, None]:
        taken = self._first
        while taken is not None:
            yield Frame(self._convert(taken.picture).rgb, taken.number, taken.pts, self._time_base, taken.time_s)
            taken = self._take()

    def close(self) -> None:
        """Stop; a wait in progress ends at once, the device is let go after the picture being read."""
        self._arrivals.close(discard=True)
        super().close()
