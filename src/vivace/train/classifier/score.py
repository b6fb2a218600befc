"""Score of the style classifier: on held-out clips, painted by teachers and by the model, and unpainted."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vivace.media.convert import cover, resize
from vivace.media.frame import Rgb
from vivace.models.base import Chunk
from vivace.models.mini.styles import STYLE_COUNT, STYLE_KEYS
from vivace.models.style.classifier import CLASSES, NONE, StyleClassifier, working_size
from vivace.train.classic import ClassicFilter
from vivace.train.clips import list_videos, read_evenly
from vivace.train.shipped import shipped_painter
from vivace.worlds import SCENES, make_scene

SIZE = (256, 256)
LARGE = (512, 512)
FRAMES_PER_CLIP = 4
STRENGTHS = tuple(round(0.1 * k, 1) for k in range(11))
Areas = NDArray[np.float32]


@dataclass(slots=True)
class Tally:
    """Confusion counts of the classes."""

    counts: NDArray[np.int64] = field(default_factory=lambda: np.zeros((len(CLASSES), len(CLASSES)), np.int64))
    """`[true, judged]`"""
    own_share: list[float] = field(default_factory=list)
    """Share given to the true class, per picture."""

    def add(self, true: int, shares: NDArray[np.float64]) -> None:
        """Count one picture."""
        self.counts[true, int(shares.argmax())] += 1
        self.own_share.append(float(shares[true]))

    def document(self) -> dict[str, Any]:
        """Return accuracy overall and per class, the mean share of the true class, and the confusions."""
        seen = self.counts.sum(1)
        right = self.counts.diagonal()
        wrong = self.counts - np.diag(right)
        confused = sorted(((int(wrong[a, b]), CLASSES[a], CLASSES[b]) for a, b in np.argwhere(wrong)), reverse=True)
        return {
            "pictures": int(seen.sum()),
            "accuracy": float(right.sum() / max(1, seen.sum())),
            "own_share": float(np.mean(self.own_share)),
            "by_class": {CLASSES[k]: round(float(right[k] / seen[k]), 4) for k in range(len(CLASSES)) if seen[k]},
            "confused": [f"{a} as {b}: {n} of {int(seen[CLASSES.index(a)])}" for n, a, b in confused],
        }


class Judge:
    """Classifier for pictures of any size."""

    def __init__(self, classifier: StyleClassifier) -> None:
        self._classifier = classifier

    def __call__(self, rgb: Rgb, area: Areas | None = None) -> NDArray[np.float64]:
        """Return the share of each class in `rgb`, inside `area [h w]` of the working size."""
        return self._classifier.shares(resize(rgb, working_size((rgb.shape[1], rgb.shape[0]))), area)


def score(folder: Path, classifier: StyleClassifier, report: Callable[[str], None]) -> dict[str, Any]:
    """Judge the clips of a folder, none of which the classifier was trained on.

    Raises:
        SourceNotFoundError: no video in the folder.
    """
    judge = Judge(classifier)
    clips = {path.stem: read_evenly(path, FRAMES_PER_CLIP) for path in list_videos(folder)}
    small = {name: [cover(f, SIZE) for f in frames] for name, frames in clips.items()}
    report("unpainted clips and scenes")
    document: dict[str, Any] = {"version": classifier.version, "clips": sorted(clips), "size": list(SIZE)}
    document["unpainted clips"] = unpainted(judge, [f for frames in clips.values() for f in frames]).document()
    scenes = [make_scene(name, SIZE, seed=5) for name in SCENES]
    moments = [[scene.render(time_s) for time_s in (2.0, 7.0)] for scene in scenes]
    document["unpainted scenes"] = unpainted(judge, [f for frames in moments for f in frames]).document()
    report("scenes painted by the teachers")
    document["teachers on scenes"] = painted(judge, [frames[0] for frames in moments], SIZE).document()
    report("pictures painted by the teachers")
    pictures = [f for frames in small.values() for f in frames]
    document["teachers"] = painted(judge, pictures, SIZE).document()
    report("large pictures painted by the teachers")
    document["teachers at 512x512"] = painted(judge, [cover(f[1], LARGE) for f in clips.values()], LARGE).document()
    report("strength")
    document["strength"] = strengths(judge, [frames[1] for frames in small.values()])
    report("inside a mask")
    document["masked"] = masked(judge, [frames[2] for frames in small.values()])
    report("the model's own pictures")
    document["mini"] = repainted(judge, [f[-1:] * 4 for f in small.values()]).document()
    return document


def unpainted(judge: Judge, pictures: Sequence[Rgb]) -> Tally:
    """Judge unpainted pictures."""
    tally = Tally()
    for rgb in pictures:
        tally.add(NONE, judge(rgb))
    return tally


def painted(judge: Judge, pictures: Sequence[Rgb], size: tuple[int, int]) -> Tally:
    """Judge pictures painted by the teachers, each in every style."""
    tally = Tally()
    filters = [ClassicFilter(size, seed=900 + k) for k in range(3)]
    for number, rgb in enumerate(pictures):
        for k, key in enumerate(STYLE_KEYS):
            tally.add(k, judge(filters[number % len(filters)].paint(key, rgb)))
    return tally


def repainted(judge: Judge, clips: Sequence[Sequence[Rgb]]) -> Tally:
    """Judge clips painted by the embedded model in every style, after its first two frames."""
    model = shipped_painter(threads=1)
    tally = Tally()
    for frames in clips:
        for k in range(STYLE_COUNT):
            state = model.open((frames[0].shape[1], frames[0].shape[0]), seed=0)
            embeds = np.eye(STYLE_COUNT, dtype=np.float32)[k]
            made = [model.step([state], [Chunk(f[None], embeds)])[0].rgb[0] for f in frames]
            for rgb in made[2:]:
                tally.add(k, judge(rgb))
    return tally


def strengths(judge: Judge, pictures: Sequence[Rgb]) -> dict[str, Any]:
    """Judge blends of pictures with their painted versions; the answer should be the strength of the blend."""
    found = np.zeros((STYLE_COUNT, len(pictures), len(STRENGTHS)))
    painter = ClassicFilter(SIZE, seed=910)
    for p, rgb in enumerate(pictures):
        for k, key in enumerate(STYLE_KEYS):
            full = painter.paint(key, rgb).astype(np.float32)
            for s, strength in enumerate(STRENGTHS):
                blend = rgb + (full - rgb) * strength + 0.5
                found[k, p, s] = judge(blend.astype(np.uint8))[k]
    steps = np.diff(found, axis=2)
    true = np.array(STRENGTHS)
    return {
        "strengths": list(STRENGTHS),
        "judged": [round(float(v), 3) for v in found.mean((0, 1))],
        "mean absolute error": float(np.abs(found - true).mean()),
        "rank correlation": float(np.mean([spearman(true, row) for row in found.reshape(-1, len(STRENGTHS))])),
        "falls": float((steps < -0.02).mean()),
        "by style": {key: [round(float(v), 2) for v in found[k].mean(0)] for k, key in enumerate(STYLE_KEYS)},
    }


def spearman(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    """Return the rank correlation of two series without ties."""
    first, second = (np.argsort(np.argsort(x)).astype(np.float64) for x in (a, b))
    return float(np.corrcoef(first, second)[0, 1])


def masked(judge: Judge, pictures: Sequence[Rgb]) -> dict[str, Any]:
    """Judge pictures painted only inside an ellipse: inside it the style, outside it `none`."""
    y, x = np.mgrid[-1 : 1 : SIZE[1] * 1j, -1 : 1 : SIZE[0] * 1j]
    inside = (((y - 0.2) / 0.5) ** 2 + ((x + 0.1) / 0.35) ** 2 < 1).astype(np.float32)
    painter = ClassicFilter(SIZE, seed=911)
    within, without = Tally(), Tally()
    for rgb in pictures:
        for k, key in enumerate(STYLE_KEYS):
            mixed = np.where(inside[..., None] > 0, painter.paint(key, rgb), rgb)
            within.add(k, judge(mixed, inside))
            without.add(NONE, judge(mixed, 1 - inside))
    return {"area": float(inside.mean()), "inside": within.document(), "outside": without.document()}
