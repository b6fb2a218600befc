"""Interfaces for steering a stream frame by frame and for logging it: the basis of scripts, replays and show logs.

A user's update is asynchronous, and its answer says from which frame on it applies. A script, a replay or audio-driven
steering targets known frames, so it is asked at every frame boundary, in the thread that makes frames; by then its
values must be checked and encoded.
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
    """An update, both as given and as returned by `check_changes`."""

    given: Mapping[str, object]
    """Values by the names of `Controls`, as they are reported to a `Witness`."""
    checked: Mapping[str, Any]


class Automation(Protocol):
    """Source of control changes for one run.

    All methods but `prepare` and `close` run in the thread that makes frames.
    """

    def prepare(self, size: Size) -> None:
        """Check, before the first frame, that every change suits an output of `(width, height)` px.

        Raises:
            ControlError: a change does not suit it.
        """

    def due(self, frame: Frame, time_s: float, controls: Callable[[], Controls]) -> Iterable[Change]:
        """Return the changes that take effect with this frame, oldest first.

        Args:
            frame: the next frame, before it is painted. Indices may skip: a live run drops frames.
            time_s: stream time of this frame; 0 at the first frame of the run.
            controls: returns the controls in force, including changes returned earlier.
        """

    def close(self) -> None:
        """Release resources; called after the run, and also if it never began."""


class Witness:
    """Callbacks that report which update applies from which frame, and how each frame was made.

    This base class ignores them. They are called in order, in the threads where the events happen, and must return
    quickly.
    """

    def updated(self, update_index: int, frame_index: int, given: Mapping[str, object]) -> None:
        """Report an update and the first frame it applies to, as its `Ack` does."""

    def entered(self, frame: Frame, time_s: float, effort: float) -> None:
        """Report a frame that enters the model or bypasses it, with its stream time (s) and effort."""


@dataclass(frozen=True, slots=True)
class Course:
    """Record of an earlier live run, to be repeated: the frames it took, their times and their effort."""

    frames: Mapping[int, tuple[float, float]] = field(default_factory=dict)
    """Stream time (s) and effort by `Frame.index`; frames that are not listed are skipped."""
