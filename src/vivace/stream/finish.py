"""Finishers: functions that alter a frame last, before it leaves its stream (a label, a watermark, a record of it).

They run in order in the step thread, after blending and before any consumer gets the frame, whether through `run`,
`push`, `still` or the server. Without finishers, blending has the last word: at strength 0 and outside a mask the
output equals the source byte for byte. Arranging pictures for one viewer, as `--compare` does, is not a finisher.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from vivace.checks import brief
from vivace.errors import ControlError, StepError, VivaceError
from vivace.media.frame import Frame

Finisher = Callable[[Frame], Frame]
"""Function that takes an output frame (with `painted` and `source_rgb` set) and returns it, possibly with another
picture of the same size. Drawing where `alpha` is 0 is visible only if the returned `alpha` is changed as well. The
arrays are read-only, since they may be the source's. A finisher belongs to one stream and gets its frames in order, so
it may keep state."""


def check_finishers(finishers: object) -> tuple[Finisher, ...]:
    """Return a user's finishers as a tuple.

    Raises:
        ControlError: not an iterable of functions.
    """
    if isinstance(finishers, str) or not isinstance(finishers, Iterable):
        raise ControlError(f"finish is {brief(finishers)}; give a list of functions from Frame to Frame")
    made = tuple(finishers)
    for finisher in made:
        if not callable(finisher):
            raise ControlError(f"finish holds {brief(finisher)}; give functions from Frame to Frame")
    return made


def finish(frame: Frame, finishers: Sequence[Finisher], time_s: Callable[[], float]) -> Frame:
    """Return a frame after its finishers, with the mark `finish`.

    Raises:
        StepError: a finisher failed, or returned something other than the frame with a picture of its size. The frame
            is then lost: none may leave without what the finishers add.
    """
    source = None if frame.source_rgb is None else _readonly(frame.source_rgb)
    alpha = None if frame.alpha is None else _readonly(frame.alpha)
    before = done = replace(frame, rgb=_readonly(frame.rgb), source_rgb=source, alpha=alpha)
    for finisher in finishers:
        name = getattr(finisher, "__name__", type(finisher).__name__)
        try:
            done = finisher(done)
        except Exception as error:
            reason = str(error) if isinstance(error, VivaceError) else f"{type(error).__name__}: {error}"
            raise StepError(f"frame {frame.index} cannot be finished by {name}: {reason}") from error
        if not isinstance(done, Frame):
            raise StepError(f"the finisher {name} returned {type(done).__name__} instead of a Frame")
        if done.rgb.dtype != np.uint8 or done.rgb.shape != frame.rgb.shape:
            wrong = f"{done.rgb.dtype} {done.rgb.shape}"
            raise StepError(f"the finisher {name} returned {wrong} instead of uint8 {frame.rgb.shape}")
        if done.alpha is not None and (done.alpha.dtype != np.uint8 or done.alpha.shape != frame.rgb.shape[:2]):
            wrong = f"{done.alpha.dtype} {done.alpha.shape}"
            raise StepError(f"the finisher {name} returned {wrong} as alpha instead of uint8 {frame.rgb.shape[:2]}")
    rgb = frame.rgb if done.rgb is before.rgb else done.rgb
    return replace(frame, rgb=rgb, alpha=done.alpha, marks={**done.marks, "finish": time_s()})


def _readonly(array: NDArray[np.uint8]) -> NDArray[np.uint8]:
    view = array.view()
    view.flags.writeable = False
    return view
