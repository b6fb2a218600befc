"""Replay of a show: each update at the frame it held from."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence

from vivace.media.frame import Frame
from vivace.media.size import Size
from vivace.stream.automation import Change
from vivace.stream.controls import Controls


def close_masks(changes: Iterable[Change]) -> None:
    """Close the masks that were opened for changes."""
    for change in changes:
        mask = change.checked.get("mask")
        if mask is not None:
            mask.close()


def prepare_masks(changes: Iterable[Change], size: Size) -> None:
    """Have masks ready for an output of `(width, height)` px.

    Raises:
        ControlError: one lies outside.
    """
    for change in changes:
        mask = change.checked.get("mask")
        if mask is not None:
            mask.prepare(size)


class Replay:
    """Puts updates in force at the frames that their answers named."""

    def __init__(self, updates: Sequence[tuple[int, Change]]) -> None:
        """Take updates with the index of the first frame made with each, in order."""
        self._left = deque(updates)

    def prepare(self, size: Size) -> None:
        """Have masks ready, see `Automation`."""
        prepare_masks((change for _, change in self._left), size)

    def due(self, frame: Frame, time_s: float, controls: Callable[[], Controls]) -> Iterable[Change]:  # noqa: ARG002
        """Return what is in force from a frame on."""
        while self._left and self._left[0][0] <= frame.index:
            yield self._left.popleft()[1]

    def close(self) -> None:
        """Close what was never played."""
        close_masks(change for _, change in self._left)
        self._left.clear()
