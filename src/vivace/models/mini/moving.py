"""Texture inputs that follow the camera: periodic fields, so that any distance is a cyclic shift.

A shift is one copy of the original fields. For steady camera motion the next frame's shift is predicted and copied in
another thread while the present frame is painted and shown; otherwise it is copied when needed. The result is the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import Executor, Future
from contextlib import suppress
from typing import Any

import numpy as np
from numpy.typing import NDArray

Fields = dict[str, NDArray[np.float32]]
"""Texture inputs by name, `[1 c h w]`: `noise` and `textures` at the working size and half of it, `fine_strokes`."""

Steps = tuple[int, int]
"""Distance in working px, `(down, right)`."""


class Rest:
    """Unshifted texture inputs of one geometry and seed; read-only, shared by all streams that use them."""

    def __init__(self, fields: Fields, per_px: Mapping[str, tuple[float, float]]) -> None:
        """Take the fields, and by how many of its own px each moves per working px, `(down, right)`."""
        self.fields = fields
        self._per_px = per_px

    def lay(self, at: Steps, out: Fields) -> None:
        """Copy every field to `out`, shifted by `at`."""
        for name, field in self.fields.items():
            down, right = (round(px * per_px) for px, per_px in zip(at, self._per_px[name], strict=True))
            copy_shifted(field, down, right, out[name])

    @property
    def nbytes(self) -> int:
        """Size of the fields, bytes."""
        return sum(field.nbytes for field in self.fields.values())

    def empty(self) -> Fields:
        """Return uninitialised buffers of the fields' shapes."""
        return {name: np.empty_like(field) for name, field in self.fields.items()}


class MovingTextures:
    """Texture inputs of one stream at one effort level. Used by one thread at a time."""

    def __init__(self, rest: Rest, ahead: Executor) -> None:
        """Begin unshifted; `ahead` runs the predicted copies."""
        self._rest = rest
        self._ahead = ahead
        self._spare: Fields | None = None
        self._foreseen: Future[Steps] | None = None
        self._velocity: Steps = (0, 0)
        self.at: Steps = (0, 0)
        self.fields = rest.fields
        """Fields as shifted now; other arrays after `move` has returned true."""

    def move(self, to: Steps) -> bool:
        """Shift the fields to a distance from their origin; return whether they are other arrays than before."""
        at, self._velocity = self.at, (to[0] - self.at[0], to[1] - self.at[1])
        foreseen, self._foreseen = self._foreseen, None
        # A copy that has begun is at least as far as a new one would be; one that has not is cancelled.
        laid = None if foreseen is None or foreseen.cancel() else foreseen.result()
        if to == at:
            return False
        spare = self._take_spare()
        if laid != to:
            self._rest.lay(to, spare)
        if self.fields is not self._rest.fields:
            self._spare = self.fields
        self.fields, self.at = spare, to
        return True

    def look_ahead(self) -> None:
        """Start copying the next frame's textures, assuming that the camera keeps its velocity."""
        if self._velocity != (0, 0) and self._foreseen is None:
            to = self.at[0] + self._velocity[0], self.at[1] + self._velocity[1]
            self._spare = spare = self._take_spare()
            with suppress(RuntimeError):  # at interpreter shutdown no thread starts any more
                self._foreseen = self._ahead.submit(self._lay_ahead, to, spare)

    def _lay_ahead(self, to: Steps, spare: Fields) -> Steps:
        self._rest.lay(to, spare)
        return to

    def _take_spare(self) -> Fields:
        spare, self._spare = self._spare, None
        return self._rest.empty() if spare is None else spare

    @property
    def nbytes(self) -> int:
        """Size of all buffers, shared ones included, bytes."""
        moved = self.fields is not self._rest.fields
        return self._rest.nbytes * (1 + moved + (self._spare is not None))


def copy_shifted(field: NDArray[Any], down: int, right: int, out: NDArray[Any]) -> None:
    """Copy a periodic field `[… h w]` to `out`, shifted by `(down, right)` px: four blocks, each element once."""
    height, width = field.shape[-2:]
    y, x = down % height, right % width
    out[..., y:, x:] = field[..., : height - y, : width - x]
    out[..., y:, :x] = field[..., : height - y, width - x :]
    out[..., :y, x:] = field[..., height - y :, : width - x]
    out[..., :y, :x] = field[..., height - y :, width - x :]
