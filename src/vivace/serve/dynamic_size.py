"""The output size of a session whose client names none: the source's shape, and as large as there is time for.

Another size is got ready in a background thread while the stream goes on; the engine's thread changes over before its
next frame.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from threading import Lock

from vivace.errors import VivaceError
from vivace.media.size import Size
from vivace.serve.context import SessionContext
from vivace.serve.served_model import ServedModel
from vivace.serve.steering import SessionSteering
from vivace.stream.processor import FrameProcessor

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Change:
    """Another output that was got ready."""

    size: Size | None
    """None: it cannot be had."""
    area: float


class DynamicSize:
    """Has the sizes got ready that a session's source and its deadline controller want, and changes over to them.

    `follow_source` is called in any thread, `follow_deadline` and `change_over` in the engine's.
    """

    def __init__(
        self,
        session_id: str,
        processor: FrameProcessor,
        source: Size,
        served: ServedModel,
        steering: SessionSteering,
        context: SessionContext,
    ) -> None:
        """Begin with a processor that was opened for a source of `(width, height)` px."""
        self.area = 1.0
        """Area of the output, in that it begins with."""
        self.preparing = False
        """True while another size is being prepared."""
        self.stopped = False
        """Set at the session's end: nothing more is got ready."""
        self._session_id = session_id
        self._processor = processor
        self._source = source
        self._served = served
        self._steering = steering
        self._context = context
        self._prepared = 1.0
        """The area that was got ready last, for which there is room."""
        self._change: _Change | None = None
        """Change to make before the next frame."""
        self._lock = Lock()
        """Guards who has something got ready."""

    def follow_source(self, source: Size) -> None:
        """Take the size of the newest picture; have the output of another shape got ready."""
        with self._lock:
            if self.preparing or source == self._source:
                return
            self._source = source
            area = self.area
            size = self._served.natural_size(source, area)
            if self._steering.controls.size is not None or size == self._processor.size:
                return
            self.preparing = True
        self._context.in_background(lambda: self._prepare(source, area))

    def follow_deadline(self, frame_index: int) -> None:
        """Have the area got ready that the deadline controller wants; of one it wants no more, give the room back."""
        area = self._processor.deadline.area
        if area == self.area == self._prepared:
            return
        # A size of the user's has nothing to grow, and less effort is next.
        if self._steering.controls.size is not None:
            if area < self.area:
                self._set_area(area, frame_index)
            return
        with self._lock:
            if self.preparing:
                return
            self.preparing, source = True, self._source
        self._context.in_background(lambda: self._prepare(source, area))

    def change_over(self, frame_index: int) -> None:
        """Change to what was got ready, if it is still wanted."""
        change, self._change = self._change, None
        if change is None:
            return
        processor = self._processor
        if change.size is None:
            processor.deadline.area_refused(time_s=self._context.clock())
        elif change.area == self.area:
            if change.size != processor.size:  # another shape
                processor.begin(change.size, processor.policy)
        elif change.area == processor.deadline.area:
            processor.resize(change.size)
            self._set_area(change.area, frame_index)

    def _set_area(self, area: float, frame_index: int) -> None:
        self.area = area
        self._processor.deadline.area_set(area, time_s=self._context.clock(), frame_index=frame_index)

    def _prepare(self, source: Size, area: float) -> None:
        """Open the model for another shape or area; in a background thread."""
        try:
            with self._steering.lock:
                controls = self._steering.controls
                if controls.size is None and not self.stopped:
                    size = self._served.natural_size(source, area)
                    if area == 1.0:
                        self._served.sizes.allow(size)
                    if max(area, self._prepared) > 1.0:
                        self._context.grow(self._session_id, size)
                    self._prepared = area
                    self._processor.prepare(size, controls.seed)
                    self._change = _Change(size, area)
        except Exception as error:  # noqa: BLE001  (a model may fail in any way; the stream goes on as it is)
            # The picture is cut to the old shape instead, or stays as large as it is.
            known = isinstance(error, VivaceError)
            _log.warning("session %s keeps its size: %s", self._session_id, error, exc_info=not known)
            if area != self.area:
                self._change = _Change(None, area)
        finally:
            self.preparing = False
