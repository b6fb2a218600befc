"""Weights that tell a sky from a ceiling, fitted to photographs: a logistic regression."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Set
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vivace.errors import SourceUnsupportedError
from vivace.regions.picture import Picture
from vivace.regions.sky import EVIDENCE, evidence
from vivace.train.logistic import fit_logistic, logistic
from vivace.train.regions.hand import read_frame

_INDOORS = frozenset("office room portrait webcam face food interior object".split())
_FOLDS = 5


def fit_sky(
    photographs: Path, out: Path, has_sky: Mapping[str, bool], left_out: Set[str] = frozenset()
) -> tuple[float, float]:
    """Fit to the photographs of a folder with `MANIFEST.csv` (columns `split`, `file`, `tags`) and write the weights.

    Files in `has_sky` have one or none, those tagged as indoors have none; others, and the files `left_out`, do not
    count. Both kinds have the same total weight.

    Returns:
        Two shares of photographs that were not fitted to (five folds): of those with a sky, in which it is found, and
        of those without one, in which one is found.

    Raises:
        SourceUnsupportedError: too few photographs of one kind.
    """
    values, truths = [], []
    with (photographs / "MANIFEST.csv").open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            known = row["file"] in has_sky or bool(_INDOORS & {*row["tags"].split(";")})
            if row["split"] != "photo" or not known or row["file"] in left_out:
                continue
            found = evidence(Picture.of(read_frame(photographs, row["file"], 0)))
            if found is not None:
                values.append(found[1])
                truths.append(has_sky.get(row["file"], False))
    x, y = np.array(values, np.float64), np.array(truths, np.float64)
    if min(y.sum(), (1 - y).sum()) < 2 * _FOLDS:
        raise SourceUnsupportedError(
            f"{photographs} has {int(y.sum())} photographs with a sky and {int((1 - y).sum())} without; "
            f"{2 * _FOLDS} of each are needed"
        )
    fold = np.random.default_rng(0).permutation(len(x)) % _FOLDS
    sure = np.zeros(len(x))
    for each in range(_FOLDS):
        weights, bias = _fit(x[fold != each], y[fold != each])
        sure[fold == each] = logistic(x[fold == each] @ weights + bias)
    weights, bias = _fit(x, y)
    lines = "".join(f"{name} = {value:.5g}\n" for name, value in zip(EVIDENCE, weights, strict=True))
    out.write_text(
        "# What speaks for a sky, by vivace.train.regions.sky; the probability is the logistic function of the sum.\n"
        f"bias = {bias:.5g}\n\n[weights]\n{lines}"
    )
    return float((sure[y > 0] > 0.35).mean()), float((sure[y == 0] > 0.35).mean())


def _fit(x: NDArray[np.float64], y: NDArray[np.float64]) -> tuple[NDArray[np.float64], float]:
    """Return weights and bias by Newton's method, with a penalty of 1 on weights of values of unit variance."""
    middle, scale = x.mean(axis=0), x.std(axis=0) + 1e-6
    z = np.column_stack(((x - middle) / scale, np.ones(len(x))))
    each = np.where(y > 0, 0.5 / y.sum(), 0.5 / (1 - y).sum()) * len(y)
    w = fit_logistic(z, y, np.array([*np.ones(x.shape[1]), 0.0]), each)
    weights = w[:-1] / scale
    return weights, float(w[-1] - weights @ middle)
