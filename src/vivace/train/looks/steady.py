"""Steady targets from flickering teachers: a painted clip, averaged in time along the motion of its source."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vivace.models.keyframes.motion import carry, find, grey, search, trust

KEEP = 0.75
"""Weight of the warped past where the motion explains the source."""

Rgb = NDArray[np.uint8]


def filter_along_motion(sources: list[Rgb], painted: list[NDArray[np.float32]]) -> list[NDArray[np.float32]]:
    """Return the painted frames `[h w 3]`, each blended with the filtered previous one, warped by optical flow.

    Where the warped previous source differs from the current one (a disocclusion, a cut), the frame stays as it is.
    """
    flow = search()
    filtered = [painted[0]]
    for before, now, fresh in zip(sources, sources[1:], painted[1:], strict=False):
        motion = find(flow, grey(now), grey(before), None)
        keep = KEEP * trust(motion, now, before)[..., None]
        filtered.append(np.asarray(fresh + (carry(motion, filtered[-1]) - fresh) * keep, np.float32))
    return filtered
