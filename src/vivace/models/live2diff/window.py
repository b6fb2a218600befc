"""Window schedule: for each denoising row, the visible slots of the KV ring, their positions, and the slot it writes.

A row has 16 slots: 8 permanent anchors, filled by the warm-up frames, and 8 rolling ones. The first 8 streamed frames
fill the rolling slots in order. After that each frame overwrites the oldest, and positions rotate instead of slots: the
written slot always has position 15, the one before it 14, and so on.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from vivace.memory.ring import Ring

ANCHORS = 8
"""Number of warm-up frames, for which the published weights are trained."""
ROLLING = 8
RING = Ring(ANCHORS, ROLLING)
SLOTS = RING.slots
IDLE_SLOT = SLOTS - 1
"""Slot written by a row without a frame: the row's eighth frame overwrites it just before it becomes visible."""


RowWindow = tuple[list[bool], list[int], int]
"""Visible slots, positions of the slots, and written slot of one row."""


class Window(NamedTuple):
    """Tables for one call of the streaming network; rows of several streams may be stacked."""

    visible: Tensor
    """Visible slots `[r 16]` bool, including the row's own new one."""
    positions: Tensor
    """Position of each slot, `[r 16]` int64; the query has that of the written slot."""
    slots: Tensor
    """Slot that each row writes before it attends, `[r]` int64."""


def row_window(frame: int) -> RowWindow:
    """Return the visible slots, positions and written slot of a row at its `frame`-th streamed frame, from 0.

    A negative frame means that the row has none yet: it sees the anchors alone and writes to an invisible slot.
    """
    if frame < 0:
        return [slot < ANCHORS for slot in range(SLOTS)], list(range(SLOTS)), IDLE_SLOT
    return scene_window(ANCHORS + frame)


def scene_window(number: int | None) -> RowWindow:
    """Return the tables of a row at frame `number` of a scene, from 0, whose first frames become its anchors.

    The window grows from one slot to sixteen, so that no warm-up is needed. A row without a frame (`None`) sees only
    the invisible slot it writes.
    """
    if number is None:
        return [slot == IDLE_SLOT for slot in range(SLOTS)], list(range(SLOTS)), IDLE_SLOT
    count = number + 1
    return [held >= 0 for held in RING.held(count)], RING.positions(count), RING.slot(number)


def rolling_slots(number: int) -> list[int]:
    """Return the eight rolling slots, oldest first, once frame `number` of a scene, at least 15, was written."""
    return [RING.slot(each) for each in range(number - ROLLING + 1, number + 1)]


def window_at(call: int, rows: int) -> Window:
    """Return the tables of all rows of one stream at its `call`-th call, from 0.

    Row r handles streamed frame `call - r`. Rows without a frame are isolated, so that the initial contents of the
    buffers are never attended to.
    """
    if call < 0 or rows < 1:
        raise ValueError(f"a window needs a call from 0 and at least one row, not call {call} of {rows} rows")
    visible, positions, slots = zip(*(row_window(call - row) for row in range(rows)), strict=True)
    return Window(torch.tensor(visible), torch.tensor(positions), torch.tensor(slots))


def join_windows(windows: Sequence[Window]) -> Window:
    """Return the stacked rows of several streams, for one call of the network."""
    return Window(*(torch.cat(parts) for parts in zip(*windows, strict=True)))
