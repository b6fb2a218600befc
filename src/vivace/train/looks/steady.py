"""Steady targets from flickering teachers: a painted clip, averaged in time along the motion of its source."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

KEEP = 0.75
"""Weight of the warped past where the motion explains the source."""
_TOLERANCE = 14.0
"""Mismatch of the warped source, levels, from which the past fades out; at twice that it is gone."""

Rgb = NDArray[np.uint8]


def filter_along_motion(sources: list[Rgb], painted: list[NDArray[np.float32]]) -> list[NDArray[np.float32]]:
    """Return the painted frames `[h w 3]`, each blended with the filtered previous one, warped by optical flow.

    Where the warped previous source differs from the current one (a disocclusion, a cut), the frame stays as it is.
    """
    search = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    filtered = [painted[0]]
    for before, now, fresh in zip(sources, sources[1:], painted[1:], strict=False):
        greys = [np.asarray(cv2.cvtColor(x, cv2.COLOR_RGB2GRAY), np.uint8) for x in (now, before)]
        # Flow from now to before: the previous position of each px.
        flow = search.calc(greys[0], greys[1], None)  # type: ignore[call-overload]
        h, w = greys[0].shape
        x = flow[..., 0] + np.arange(w, dtype=np.float32)
        y = flow[..., 1] + np.arange(h, dtype=np.float32)[:, None]
        carried = cv2.remap(before, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        mismatch = cv2.blur(np.abs(carried.astype(np.float32) - now).mean(-1), (7, 7))
        inside = (x >= 0) & (x <= w - 1) & (y >= 0) & (y <= h - 1)
        keep = (KEEP * np.clip(2 - mismatch / _TOLERANCE, 0, 1) * inside)[..., None]
        past = cv2.remap(filtered[-1], x, y, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
        filtered.append(np.asarray(fresh + (past - fresh) * keep, np.float32))
    return filtered
