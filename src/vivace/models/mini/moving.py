"""Texture inputs that follow the camera: periodic fields, so that any distance is a cyclic shift.

A shift is one copy from the fields at rest. Where the camera moves evenly the next frame's shift is foreseen and copied
in another thread while the present frame is painted and shown; what was not foreseen is copied when it is needed. The
numbers are the same either way.
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
    """The texture inputs of one geometry and seed where they begin; never written, shared by all streams of these."""

    def __init__(self, fields: Fields, per_px: Mapping[str, tuple[float, float]]) -> None:
        """Take the fields, and how many of its own px a field moves for a working px, `(down, right)`."""
        self.fields = fields
        self._per_px = per_px

    def lay(self, at: Steps, out: Fields) -> None:
        """Copy every field, moved by `at`, to `out`."""
        for name, field in self.fields.items():
            down, right = (round(px * per_px) for px, per_px in zip(at, self._per_px[name], strict=True))
            copy_shifted(field, down, right, out[name])

    @property
    def nbytes(self) -> int:
        """Bytes of the fields."""
        return sum(field.nbytes for field in self.fields.values())

    def empty(self) -> Fields:
        """Return buffers of the fields' shapes."""
        return {name: np.empty_like(field) for name, field in self.fields.items()}


class MovingTextures:
    """The texture inputs of one stream at one effort level. Used by one thread at a time."""

    def __init__(self, rest: Rest, ahead: Executor) -> None:
        """Begin at rest; `ahead` copies what is foreseen."""
        self._rest = rest
        self._ahead = ahead
        self._spare: Fields | None = None
        self._foreseen: Future[Steps] | None = None
        self._velocity: Steps = (0, 0)
        self.at: Steps = (0, 0)
        self.fields = rest.fields
        """As they lie now; other arrays after `move` has returned True."""

    def move(self, to: Steps) -> bool:
        """Lay the fields at a distance from rest; return whether they are other arrays than before."""
        at, self._velocity = self.at, (to[0] - self.at[0], to[1] - self.at[1])
        foreseen, self._foreseen = self._foreseen, None
        # The copy that has begun is as far as one begun now would be; one that has not begun is not waited for.
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
        """Have the next frame's textures laid meanwhile, if the camera goes on as it did."""
        if self._velocity != (0, 0) and self._foreseen is None:
            to = self.at[0] + self._velocity[0], self.at[1] + self._velocity[1]
            self._spare = spare = self._take_spare()
            with suppress(RuntimeError):  # the interpreter ends, and no thread begins any more
                self._foreseen = self._ahead.submit(self._lay_ahead, to, spare)

    def _lay_ahead(self, to: Steps, spare: Fields) -> Steps:
        self._rest.lay(to, spare)
        return to

    def _take_spare(self) -> Fields:
        spare, self._spare = self._spare, None
        return self._rest.empty() if spare is None else spare

    @property
    def nbytes(self) -> int:
        """Bytes of all buffers, the shared ones included."""
        moved = self.fields is not self._rest.fields
        return self._rest.nbytes * (1 + moved + (self._spare is not None))


def copy_shifted(field: NDArray[Any], down: int, right: int, out: NDArray[Any]) -> None:
    """Copy a periodic field `[… h w]` to `out`, moved by `(down, right)` px: four blocks, each element once."""
    height, width = field.shape[-2:]
    y, x = down % height, right % width
    out[..., y:, x:] = field[..., : height - y, : width - x]
    out[..., y:, :x] = field[..., : height - y, width - x :]
    out[..., :y, x:] = field[..., height - y :, : width - x]
    out[..., :y, :x] = field[..., height - y :, width - x :]
