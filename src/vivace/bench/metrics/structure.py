"""Preservation of scene structure: edges, occlusion boundaries and depth order, output against the truth."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from vivace.bench.metrics.boundary import occlusion_boundary
from vivace.bench.metrics.footage import Footage, Metric, Series
from vivace.bench.metrics.orientation import agreement, orientation
from vivace.bench.metrics.pixels import MIN_PIXELS, Plane, gradient, largest_channel, moving_pairs, nothing, smooth
from vivace.media.frame import Rgb

EDGE_SHARE = 0.25
"""Share of a picture's pixels, those nearest to its strongest edges, that count as edges."""
_FLOOR = 0.1
"""Offset of slopes before they are multiplied, levels per px."""
KINETIC_PX = 1.0
"""Smallest difference of two surfaces' motion, and smallest motion of the nearer, px per frame."""
INWARD_PX = 2
"""Distance inside the nearer surface at which its edge is sampled, px: right at the boundary it depends on the
background."""
_SCALES_PX = (1.0, 2.0, 4.0)
"""Blurs over which an edge must persist, px: outlines do, texture does not."""


def edge_agreement(footage: Footage) -> Series:
    """Return the agreement of the output's edges with the source's in place and direction, -1 to 1, higher is better.

    The cosine of the two pictures' orientation fields (see `orientation`): insensitive to contrast, brightness and to
    which side is brighter; missing and invented edges both lower it. 0 for a blank or unrelated picture. Ours, after
    Haber & Modersitzki 2006.
    """
    pairs = zip(footage.source, footage.output, strict=True)
    return np.array([agreement(orientation(source), orientation(output)) for source, output in pairs])


def boundary_recall(footage: Footage) -> Series:
    """Return the share of exact occlusion boundaries that are edges in the output, relative to chance, up to 1.

    A px is an edge if the strongest edge within 1 px is among the picture's upper `EDGE_SHARE`; an edge's strength is
    the product of the steepest channel's slopes at three blurs (edges that persist over scales, Rosenfeld 1971). With
    `r` the share of edges among boundary px and `c` among all px: `(r - c) / (1 - c)`. 0 is chance (a blank picture,
    noise), 1 is every boundary. A source whose objects look like their background does not reach 1 itself: compare with
    passthrough. NaN if there are no occlusions. Ours, after boundary recall (Martin et al. 2004).
    """
    assert footage.ids is not None
    assert footage.depth is not None
    recalls = nothing(len(footage.output))
    for index, output in enumerate(footage.output):
        near_y, near_x, far_y, far_x = occlusion_boundary(footage.ids[index], footage.depth[index])
        boundary = np.zeros(output.shape[:2], np.bool_)
        boundary[near_y, near_x] = boundary[far_y, far_x] = True
        if np.count_nonzero(boundary) < MIN_PIXELS:
            continue
        lasting = np.prod([_edges(output, blur_px) + _FLOOR for blur_px in _SCALES_PX], axis=0)
        strength = cv2.dilate(lasting, np.ones((3, 3), np.uint8))
        edge = strength > np.quantile(strength, 1 - EDGE_SHARE)
        chance = float(edge.mean())
        recalls[index] = (float(edge[boundary].mean()) - chance) / (1 - chance)
    return recalls


def depth_order(footage: Footage) -> Series:
    """Return how well edges at occlusion boundaries move with the nearer surface, -1 to 1, higher is better.

    The edge between two surfaces belongs to the nearer (kinetic depth order). At boundaries where the two move apart by
    more than `KINETIC_PX`, and the nearer by as much on the screen, the output's edge strength `S`, at the px p that
    are `INWARD_PX` on the nearer's side, is followed back in three ways: with the nearer surface, `n = Σ|S_i(p) -
    S_{i-1}(p + w_near)|`, with the farther, and not at all; the smaller of the last two is the rival `r`. The value is
    `(r - n) / max(r, n)`: 1 if edges follow the nearer surface, below 0 if they follow the farther or stay (frozen), 0
    if there are none. NaN without such boundaries. Ours; the cue is that of Yonas et al. 1987, "Sensitivity to kinetic
    depth".
    """
    assert footage.ids is not None
    assert footage.depth is not None
    orders = nothing(len(footage.output))
    edges = [_edges(output) for output in footage.output]
    for index, flow, visible in moving_pairs(footage):
        ids = footage.ids[index]
        near_y, near_x, far_y, far_x = occlusion_boundary(ids, footage.depth[index])
        y = np.clip(near_y + INWARD_PX * (near_y - far_y), 0, ids.shape[0] - 1)
        x = np.clip(near_x + INWARD_PX * (near_x - far_x), 0, ids.shape[1] - 1)
        near, far = flow[y, x], flow[far_y, far_x]
        telling = (np.hypot(*(near - far).T) > KINETIC_PX) & (np.hypot(*near.T) > KINETIC_PX)
        telling &= visible[y, x] & (ids[y, x] == ids[near_y, near_x])
        if np.count_nonzero(telling) < MIN_PIXELS:
            continue
        places = np.stack([x, y], axis=1)[telling].astype(np.float32)
        now, before = edges[index], edges[index - 1]
        seen = now[y[telling], x[telling]]
        moved = [np.abs(seen - _sample(before, places + way)).mean() for way in (near[telling], far[telling], 0)]
        with_near, rival = float(moved[0]), float(min(moved[1:]))
        most = max(with_near, rival)
        orders[index] = (rival - with_near) / most if most > 1e-3 else 0.0
    return orders


def _edges(rgb: Rgb, blur_px: float = 1.0) -> Plane:
    """Return the strength of edges `[h w]`: the steepest slope of any channel, levels per px."""
    x, y = gradient(smooth(rgb.astype(np.float32), blur_px))
    steepest: Plane = np.sqrt(largest_channel(x * x + y * y))
    return steepest


def _sample(plane: Plane, places: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the plane's values at `places`, `[n 2]` (x, y), bilinear."""
    x, y = places[:, None, 0], places[:, None, 1]
    # remap takes at most 32767 rows at a time
    parts = [
        cv2.remap(plane, x[i : i + 32000], y[i : i + 32000], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        for i in range(0, len(places), 32000)
    ]
    return np.asarray(np.concatenate(parts)[:, 0], np.float32)


METRICS = (
    Metric(
        key="edge_agreement",
        title="Edge agreement",
        unit="",
        direction="higher",
        needs=(),
        source="ours, after Haber & Modersitzki 2006 (normalised gradient fields)",
        meaning="1: edges lie and run as in the source, whatever their contrast; 0: a blank or unrelated picture.",
        measure=edge_agreement,
        low=-1.0,
        high=1.0,
    ),
    Metric(
        key="boundary_recall",
        title="Object boundaries kept",
        unit="",
        direction="higher",
        needs=("ids", "depth"),
        source="ours, after Martin et al. 2004 (boundary recall), relative to chance",
        meaning="1: every place where one object hides another is an edge in the output; 0: no more than by chance.",
        measure=boundary_recall,
        low=-EDGE_SHARE / (1 - EDGE_SHARE),
        high=1.0,
    ),
    Metric(
        key="depth_order",
        title="Depth order",
        unit="",
        direction="higher",
        needs=("motion", "ids", "depth"),
        source="ours (kinetic depth order)",
        meaning="1: edges move with the nearer surface, so it looks nearer; 0 or below: they stay, or move with the "
        "background.",
        measure=depth_order,
        low=-1.0,
        high=1.0,
    ),
)
