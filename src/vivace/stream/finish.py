"""The last thing that is done to a frame before it leaves its stream: a label, a watermark, a record of it.

Finishers run in order in the thread of the step, after blending and before anybody is shown the frame, be it by `run`,
`push`, `still` or the server. Without one, blending has the last word: strength 0 and the outside of a mask are the
source's bytes. What only arranges pictures for one viewer, as `--compare` does, is no finisher.
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
"""Takes an output frame, `painted` or not, with `source_rgb` what it was made of, and returns it with another picture
of the same size, or as it is. What it draws where `alpha` is 0 is seen only if it returns another `alpha`, too. The
arrays cannot be written to, since they may be the source's. It belongs to one stream and sees the frames of it in
order, so it may remember them."""


def check_finishers(finishers: object) -> tuple[Finisher, ...]:
    """Return finishers as a user gave them.

    Raises:
        ControlError: it is no list of functions.
    """
    if isinstance(finishers, str) or not isinstance(finishers, Iterable):
        raise ControlError(f"finish is {brief(finishers)}; give a list of functions from Frame to Frame")
    made = tuple(finishers)
    for finisher in made:
        if not callable(finisher):
            raise ControlError(f"finish holds {brief(finisher)}; give functions from Frame to Frame")
    return made


def finish(frame: Frame, finishers: Sequence[Finisher], time_s: Callable[[], float]) -> Frame:
    """Return a frame as its finishers leave it, with the mark `finish`.

    Raises:
        StepError: one of them failed, or returned something else than the frame with a picture of its size. There is
            nothing to show then: a frame must not leave without what they add.
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
