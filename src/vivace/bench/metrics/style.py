"""Presence and strength of the requested style, as judged by a small frozen classifier.

The classifier (docs/models/style-classifier.md) knows the embedded model's sixteen styles and `none`, and outputs the
share of each in a picture: a source blended with its painted version at strength s is that style by s and `none` by 1 -
s.

With a mask only the masked area is judged: its statistics are weighted by the mask, so that no crop, fill colour or new
edge can be taken for a style.
"""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict

import numpy as np
from numpy.typing import NDArray

from vivace.bench.metrics.footage import Footage, Frames, Metric, Series
from vivace.errors import UsageError
from vivace.media.convert import resize
from vivace.models.style.classifier import ALREADY, CLASSES, NONE, shipped_classifier, strength, working_size

LEAST_AREA = 0.2
"""Smallest mask that is judged, as a share of the picture: inside 3 % of it the style filters themselves are recognised
in one frame of ten."""
_KEPT = 4096
"""Cached judgements: frames are judged for two metrics, and a source for every system."""

_judged: OrderedDict[bytes, NDArray[np.float64]] = OrderedDict()
_lock = threading.Lock()


def classifier_version() -> str:
    """Return the version of the classifier; figures of different versions are not comparable."""
    return shipped_classifier().version


def shares(frames: Frames, masks: NDArray[np.bool_] | None = None) -> NDArray[np.float64]:
    """Return the share of each class in every frame, `[t classes]`, rows summing to 1.

    Args:
        frames: `uint8 [t h w 3]`.
        masks: area to judge, `[t h w]`; everywhere if not given. Rows with too small a mask are NaN.
    """
    return np.stack([_shares(frame, None if masks is None else masks[i]) for i, frame in enumerate(frames)])


def _shares(frame: NDArray[np.uint8], mask: NDArray[np.bool_] | None) -> NDArray[np.float64]:
    digest = hashlib.blake2b(np.ascontiguousarray(frame).data, digest_size=16)
    digest.update(repr(frame.shape).encode())
    if mask is not None:
        digest.update(np.packbits(mask).data)
    key = digest.digest()
    with _lock:
        if key in _judged:
            _judged.move_to_end(key)
            return _judged[key]
    size = working_size((frame.shape[1], frame.shape[0]))
    area = None
    if mask is not None:
        white = np.repeat(mask[..., None].astype(np.uint8) * 255, 3, axis=2)
        area = resize(white, size)[..., 0].astype(np.float32) / 255
    if area is not None and area.mean() < LEAST_AREA:
        found = np.full(len(CLASSES), np.nan)
    else:
        found = shipped_classifier().shares(resize(frame, size), area)
    with _lock:
        _judged[key] = found
        if len(_judged) > _KEPT:
            _judged.popitem(last=False)
    return found


def _asked(footage: Footage) -> int:
    if footage.style not in CLASSES[:NONE]:
        raise UsageError(f"the classifier knows no style {footage.style!r}; it knows {', '.join(CLASSES[:NONE])}")
    return CLASSES.index(footage.style)


def style_recognised(footage: Footage) -> Series:
    """Return 1 for frames whose most probable class is the requested style, 0 for others, `[t]`.

    Against `none`, that is a frame painted by more than half. NaN if the source itself is classified as the style, or
    the mask is too small to judge.
    """
    asked = _asked(footage)
    found = shares(footage.output, footage.mask)
    right = np.where(np.isnan(found[:, 0]), np.nan, np.nan_to_num(found).argmax(1) == asked)
    return np.where(_source_has(footage, asked) > ALREADY, np.nan, right)


def style_strength(footage: Footage) -> Series:
    """Return each frame's share of the way from its source to the full style, `[t]`: 0 the source, 1 all the way.

    Its formula is `strength`'s. NaN, too, if the mask is too small to judge.
    """
    asked = _asked(footage)
    found = shares(footage.output, footage.mask)[:, asked]
    return strength(found, _source_has(footage, asked))


def _source_has(footage: Footage, asked: int) -> Series:
    return np.asarray(shares(footage.source, footage.mask)[:, asked])


METRICS: tuple[Metric, ...] = (
    Metric(
        key="style_recognised",
        title="Style recognised",
        unit="",
        direction="higher",
        needs=("style",),
        source="ours: style classifier, docs/models/style-classifier.md",
        meaning="Share of frames a frozen classifier takes for the style that was asked for: 1 is every frame, an "
        "unpainted video gets 0. It looks at frames one by one, so a frozen picture in the right style gets 1.",
        measure=style_recognised,
        low=0.0,
        high=1.0,
    ),
    Metric(
        key="style_strength",
        title="Style strength",
        unit="",
        direction="higher",
        needs=("style",),
        source="ours: style classifier, docs/models/style-classifier.md",
        meaning="How far a frame is on the way from its source, 0, to the full style, 1. It says nothing of whether "
        "the content is still there: a frozen picture in the right style gets 1.",
        measure=style_strength,
        high=1.0,
    ),
)
