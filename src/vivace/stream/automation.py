"""What steers a stream by itself, frame by frame, and who is told what is in force: shows are played and kept by these.

A user's update is asynchronous: it comes when it comes, and the answer says from which frame on it holds. A script, a
replay and a drive by sound know which frame they mean, so they are asked at every frame boundary, in the thread that
makes frames, with everything checked and encoded before.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from vivace.media.frame import Frame
from vivace.media.size import Size

if TYPE_CHECKING:
    from vivace.stream.controls import Controls


@dataclass(frozen=True, slots=True)
class Change:
    """An update as it was given and as `check_changes` returned it."""

    given: Mapping[str, object]
    """By the names of `Controls`, as a witness is told them."""
    checked: Mapping[str, Any]


class Automation(Protocol):
    """Steers one run of a stream. Called in the thread that makes frames, but for `prepare` and `close`."""

    def prepare(self, size: Size) -> None:
        """Check, before the first frame, that all fits an output of `(width, height)` px.

        Raises:
            ControlError: it does not.
        """

    def due(self, frame: Frame, time_s: float, controls: Callable[[], Controls]) -> Iterable[Change]:
        """Return what is in force from a frame on that has not been before, oldest first.

        Args:
            frame: the next one, before it is painted. Some may be missing: live, frames are dropped.
            time_s: of the stream at this frame, from 0 at the first one of the run.
            controls: returns those in force, what was returned before included.
        """

    def close(self) -> None:
        """The run has ended, or never began."""


class Witness:
    """Is told of a stream what is in force from which frame on, and under what each is made; this one does not listen.

    Called in the threads where it happens, so it must not take time, and in order.
    """

    def updated(self, update_index: int, frame_index: int, given: Mapping[str, object]) -> None:
        """An update is in force from a frame on, as its `Ack` says."""

    def entered(self, frame: Frame, time_s: float, effort: float) -> None:
        """A frame goes into the model, or past it: at which time of the stream, at which effort."""


@dataclass(frozen=True, slots=True)
class Course:
    """How an earlier run went, live: which frames it took, when, and with how much effort. Another run repeats it."""

    frames: Mapping[int, tuple[float, float]] = field(default_factory=dict)
    """Time of the stream, s, and effort, by `Frame.index`; frames that are not named are left out."""
