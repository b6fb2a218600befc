"""Fit of the confidence of the request reader.

The reader knows the words of its development data, but not those of the next user. So phrases of its lexicon are left
out at random while it reads that data, and the confidence is fitted to the mistakes that result.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import numpy as np

from vivace.models.mini.text_features import split_words
from vivace.models.mini2.text.confidence import evidence
from vivace.models.mini2.text.grammar import parse
from vivace.models.mini2.text.lexicon import GUESSED, Lexicon, lexicon
from vivace.models.mini2.text.reading import Reading
from vivace.train.logistic import fit_logistic

LEFT_OUT = (0.0, 0.1, 0.2)
"""Shares of the phrases that are left out, in turn: as much is then read right as of unseen requests with all
phrases."""
RIDGE = 1.0
"""Ridge penalty on the weights, in requests."""
ROUNDS = 6

Sample = tuple[dict[str, float], bool]


def calibrate(
    unseen: Mapping[str, Reading],
    worked_on: Mapping[str, Reading],
    to: Path,
    report: Callable[[str], None],
    *,
    rounds: int = ROUNDS,
) -> dict[str, float]:
    """Fit the weights of confidence and write them to a TOML file.

    Args:
        unseen: requests that nobody worked on while the reader was written.
        worked_on: others, which are read only with phrases left out.
        to: output file.
        report: receives the share that is right.
        rounds: draws of phrases to leave out, for each share.
    """
    samples: list[Sample] = []
    for share in LEFT_OUT:
        requests = dict(unseen) if not share else {**unseen, **worked_on}
        part = list(_samples(requests, share, rounds if share else 1))
        report(f"{share:.0%} of the phrases left out: {sum(right for _, right in part) / len(part):.1%} right")
        samples += part
    names = sorted({name for found, _ in samples for name in found})
    weights = dict(zip(names, _fit(names, samples), strict=True))
    lines = ["# Fitted by `python -m vivace.train.text --calibrate`, see vivace/train/text/calibrate.py."]
    to.write_text("\n".join(lines + [f'"{name}" = {value:.3f}' for name, value in weights.items()]) + "\n", "utf-8")
    return weights


def _samples(requests: Mapping[str, Reading], share: float, rounds: int) -> Iterator[Sample]:
    for seed in range(rounds):
        known = _without(share, seed)
        for text, meant in requests.items():
            found = parse(split_words(text), known)
            yield evidence(found), found.reading.agrees(meant)


def _without(share: float, seed: int) -> Lexicon:
    chance = random.Random(seed)
    dropped = GUESSED - {"filler"}  # the grammar's own words are all there are
    kept = {
        words: meant
        for words, meant in lexicon().meanings.items()
        if chance.random() >= share or meant[0] not in dropped
    }
    return Lexicon(kept)


def _fit(names: list[str], samples: list[Sample]) -> list[float]:
    """Return the weights of a logistic regression, by Newton's method."""
    x = np.array([[found.get(name, 0.0) for name in names] for found, _ in samples])
    y = np.array([right for _, right in samples], float)
    weights = fit_logistic(x, y, np.full(len(names), RIDGE))
    return [float(value) for value in weights]
