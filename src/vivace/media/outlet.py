"""A sink in a thread of its own: a slow or broken one holds up neither a live stream nor another sink of it.

Where every frame counts, the slowest sets the pace. What waits for a network with Python's lock in its hands, as FFmpeg
does, needs more than a thread: see `vivace.media.transmit`.
"""

from __future__ import annotations

from collections.abc import Callable
from threading import Thread

from vivace.media.frame import Frame
from vivace.media.mailbox import Handoff, Latest, Mailbox
from vivace.media.sink import Sink


class Outlet:
    """Frames on their way to one sink. `put` belongs to one thread, all else may be called from any."""

    def __init__(
        self,
        open_sink: Callable[[], Sink],
        *,
        name: str,
        live: bool,
        slack: int = 1,
        on_drop: Callable[[], None] | None = None,
        enough: Callable[[], bool] | None = None,
        on_end: Callable[[BaseException | None], None] | None = None,
    ) -> None:
        """Begin; the sink is opened in the outlet's thread.

        Args:
            open_sink: opens what frames are written to.
            name: of the thread.
            live: the newest frame wins, so that a slow sink loses frames; otherwise `put` waits for it.
            slack: live, how many frames may wait: more than one for a file, whose frames are none the worse for being
                written a moment later, so that a busy moment costs none.
            on_drop: called, in the thread that puts, for each frame that is lost.
            enough: called after each frame that was written; True ends the outlet.
            on_end: called once, in the outlet's thread, when the sink is closed, with what went wrong, if anything.
        """
        self.frames_written = 0
        self.frames_dropped = 0
        self.error: BaseException | None = None
        """Error that ended the outlet; None while it runs, and where it ended well."""
        self._open_sink = open_sink
        self._on_drop = on_drop
        self._enough = enough or (lambda: False)
        self._on_end = on_end
        self._box: Mailbox[Frame] = Latest(lambda _frame: self._drop(), keep=slack) if live else Handoff()
        self._thread = Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def put(self, frame: Frame) -> bool:
        """Leave a frame; returns False, and takes nothing, once the outlet has ended."""
        return self._box.put(frame)

    def finish(self) -> None:
        """End after what was put. Any number of times."""
        self._box.close()

    def join(self, timeout_s: float | None = None) -> bool:
        """Wait until the sink is closed; return whether it is."""
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _drop(self) -> None:
        self.frames_dropped += 1
        if self._on_drop is not None:
            self._on_drop()

    def _run(self) -> None:
        error: BaseException | None = None
        try:
            with self._open_sink() as sink:
                for frame in self._box:
                    sink.write(frame)
                    self.frames_written += 1
                    if sink.finished or self._enough():
                        break
        except BaseException as failure:  # noqa: BLE001  (told to whoever owns the outlet; the stream goes on)
            error = failure
        self._box.close(discard=True)
        self.error = error
        if self._on_end is not None:
            self._on_end(error)
