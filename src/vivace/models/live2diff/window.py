"""The window schedule: which slots of the KV ring a denoising row sees, at which positions, and which it writes.

A row has 16 slots: 8 anchors, filled by the warm-up frames and never given up, and 8 that roll. The first 8 streamed
frames fill the rolling slots in order. After that each frame overwrites the oldest, and positions turn instead of
slots: the written slot always has position 15, the one before it 14, and so on.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from vivace.memory.ring import Ring

ANCHORS = 8
"""Warm-up frames; the published weights are trained for them."""
ROLLING = 8
RING = Ring(ANCHORS, ROLLING)
SLOTS = RING.slots
IDLE_SLOT = SLOTS - 1
"""Where a row that has no frame yet may write: it is overwritten by the row's eighth frame, just before it is seen."""


RowWindow = tuple[list[bool], list[int], int]
"""Visible slots, positions of the slots, and the written slot of one row."""


class Window(NamedTuple):
    """What one call of the streaming network sees; rows of several streams may stand under each other."""

    visible: Tensor
    """`[r 16]` bool: slots the row may attend to, its own new one included."""
    positions: Tensor
    """`[r 16]` int64: position of each slot; the query has that of the written slot."""
    slots: Tensor
    """`[r]` int64: the slot the row writes before it attends."""


def row_window(frame: int) -> RowWindow:
    """Return the visible slots, positions and written slot of a row at its `frame`-th streamed frame, from 0.

    A negative frame means that the row has none yet: it sees the anchors alone and writes where nobody looks.
    """
    if frame < 0:
        return [slot < ANCHORS for slot in range(SLOTS)], list(range(SLOTS)), IDLE_SLOT
    return scene_window(ANCHORS + frame)


def scene_window(number: int | None) -> RowWindow:
    """Return the tables of a row at frame `number` of a scene, from 0, whose first frames become its anchors.

    So nothing need be known before the first frame: the window grows from one slot to sixteen. A row without a frame
    (`None`) sees nothing but the slot it writes, where nobody looks.
    """
    if number is None:
        return [slot == IDLE_SLOT for slot in range(SLOTS)], list(range(SLOTS)), IDLE_SLOT
    count = number + 1
    return [held >= 0 for held in RING.held(count)], RING.positions(count), RING.slot(number)


def rolling_slots(number: int) -> list[int]:
    """Return the eight slots that roll, oldest first, once frame `number` of a scene, at least 15, was written."""
    return [RING.slot(each) for each in range(number - ROLLING + 1, number + 1)]


def window_at(call: int, rows: int) -> Window:
    """Return the tables of all rows of one stream at its `call`-th call, from 0.

    Row r handles streamed frame `call - r`. Rows that have no frame yet are kept apart, so that what stood in the
    buffers before the first frame is never attended to.
    """
    if call < 0 or rows < 1:
        raise ValueError(f"a window needs a call from 0 and at least one row, not call {call} of {rows} rows")
    visible, positions, slots = zip(*(row_window(call - row) for row in range(rows)), strict=True)
    return Window(torch.tensor(visible), torch.tensor(positions), torch.tensor(slots))


def join_windows(windows: Sequence[Window]) -> Window:
    """Put the rows of several streams under each other, for one call of the network."""
    return Window(*(torch.cat(parts) for parts in zip(*windows, strict=True)))
