"""Fit of the text encoder: hashed features of prompts, a linear layer with a soft threshold, cross-entropy, Adam.

Two fits run from one seed. The first holds out a part of the grammar: it gives the temperature, the thresholds and the
honest scores. The second has the whole grammar and ships, with the first one's calibration.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save_file

from vivace.models.mini.styles import STYLE_COUNT
from vivace.models.mini.text import Convention, TextEncoder, feature_scale, shrink
from vivace.models.mini.text_features import BUCKETS, pair_feature, pairs, split_words, word_features
from vivace.train.text.grammar import Grammar, Sample

Floats = NDArray[np.float32]
Bools = NDArray[np.bool_]

STEPS = 2000
BATCH = 512
POOL = 60_000
"""Distinct prompts from which a fit draws its batches."""
EPS = 1e-6
LEAST_ALSO = 0.36
"""Floor of `also_threshold`: an unwanted second style is worse than one that must be asked for twice."""
MEASURED = 3000
"""Held-out prompts of each kind, for the calibration and the scores."""
LEARNING_RATE = 0.1
WEIGHT_DECAY = 0.05
"""Decoupled weight decay, of the table only; it keeps features seen once from being trusted."""
WHOLE_DROPOUT = 0.35
"""Share of words told by their n-grams alone, and of pairs by their words, on which unseen spellings rely."""


@dataclass(frozen=True)
class Report:
    """Results of a training run, on prompts that its first fit had not seen."""

    seen_entries: float
    """Share right where the lexicon entry was trained on and the template and content were not."""
    unseen_entries: float
    """Share right where entry, template and content were all held out."""
    unseen_styles_said: float
    """Share of the held-out prompts without a supported style that are reported as unknown."""
    calibration_error: float
    """Mean distance between the probability of the best style and how often it is right, over ten equal bins."""
    convention: Convention


@dataclass(frozen=True)
class _Corpus:
    """Prompts as bags of units, and units as bags of features."""

    unit_rows: list[NDArray[np.intp]]
    """Table rows of each unit; the first is the unit itself, the rest its n-grams."""
    prompts: list[NDArray[np.intp]]
    """Units of each prompt."""
    targets: Floats

    @classmethod
    def of(cls, samples: Sequence[Sample]) -> _Corpus:
        index: dict[object, int] = {}
        unit_rows: list[NDArray[np.intp]] = []

        def unit(key: object, rows: Callable[[], list[int]]) -> int:
            if key not in index:
                index[key] = len(unit_rows)
                unit_rows.append(np.array(rows(), np.intp))
            return index[key]

        prompts = []
        for sample in samples:
            words = split_words(sample.text).words
            units = [unit(word, lambda word=word: word_features(word)) for word in words]
            for distance in (1, 2):
                units += [
                    unit((first, second, distance), lambda a=first, b=second, d=distance: [pair_feature(a, b, d)])
                    for first, second in pairs(words, distance)
                ]
            prompts.append(np.array(units, np.intp))
        return cls(unit_rows, prompts, np.array([sample.target for sample in samples], np.float32))


def train(out: Path, seed: int = 0, steps: int = STEPS, *, report: Callable[[str], None] | None = None) -> Report:
    """Train the text encoder and write its weights to `out` (float16 safetensors, about 1 MB).

    One core, about a minute at the default `steps`; the same file for the same seed. `report` receives progress lines.
    """
    say = report or _say_nothing
    grammar = Grammar.read()
    part, held_out = grammar.split(random.Random(seed))
    say(f"fit 1 of 2: {len(part.entries)} of {len(grammar.entries)} lexicon entries")
    table, bias = _fit(part, seed, steps, say)

    rng = random.Random(seed + 1)
    count = min(MEASURED, 100 * steps)
    known = replace(held_out, entries=part.entries, foreign=part.foreign)
    samples = [source.sample(rng) for source in (known, held_out) for _ in range(count)]
    logits = _logits(TextEncoder(table, bias, Convention()), samples)
    asked = np.array([sample.target for sample in samples]) > 0.5
    result = _measure(logits, asked, np.arange(len(samples)) < count, _calibrate(logits, asked))
    say(
        f"held out: {result.seen_entries:.1%} right with known entries, {result.unseen_entries:.1%} with unknown ones; "
        f"{result.unseen_styles_said:.1%} of the prompts without a style said to be unknown; "
        f"calibration error {result.calibration_error:.3f}"
    )
    say("fit 2 of 2: the whole lexicon")
    table, bias = _fit(grammar, seed, steps, say)
    out.parent.mkdir(parents=True, exist_ok=True)
    save_file(
        {"table": table.astype(np.float16), "bias": bias.astype(np.float16)}, out, result.convention.to_metadata()
    )
    # safetensors writes for the owner alone; a package is read by everyone.
    out.chmod(0o644)
    say(f"wrote {out} ({out.stat().st_size / 1e6:.1f} MB)")
    return result


def _say_nothing(line: str) -> None:
    del line


def _fit(grammar: Grammar, seed: int, steps: int, say: Callable[[str], None]) -> tuple[Floats, Floats]:
    """Return the table and the bias."""
    draw = random.Random(seed + 2)
    pool = min(POOL, steps * BATCH)
    corpus = _Corpus.of([grammar.sample(draw) for _ in range(pool)])
    rng = np.random.default_rng(seed)
    convention = Convention()
    table = np.zeros((BUCKETS, STYLE_COUNT), np.float32)
    bias = np.full(STYLE_COUNT, -4.0, np.float32)
    optimisers = _Adam(table), _Adam(bias[None])
    for step in range(steps):
        batch = rng.integers(0, pool, BATCH)
        units, inverse = np.unique(np.concatenate([corpus.prompts[i] for i in batch]), return_inverse=True)
        counts = np.zeros((BATCH, len(units)), np.float32)
        owner = np.repeat(np.arange(BATCH), [len(corpus.prompts[i]) for i in batch])
        np.add.at(counts, (owner, inverse), np.float32(1))

        lengths = np.array([len(corpus.unit_rows[unit]) for unit in units])
        starts = np.cumsum(lengths) - lengths
        rows, row_of = np.unique(np.concatenate([corpus.unit_rows[unit] for unit in units]), return_inverse=True)
        scale = feature_scale(lengths)
        scale[starts[rng.random(len(units)) < WHOLE_DROPOUT]] = 0

        evidence = np.add.reduceat(table[rows][row_of] * scale[:, None], starts, axis=0)
        clear = shrink(evidence, convention.shrink)
        logits = bias + counts @ clear
        d_logits = (1 / (1 + np.exp(-logits)) - corpus.targets[batch]) / BATCH
        # The gradient passes straight through the soft threshold, or nothing would ever leave its dead zone.
        d_table = np.zeros((len(rows), STYLE_COUNT), np.float32)
        np.add.at(d_table, row_of, np.repeat(counts.T @ d_logits, lengths, axis=0) * scale[:, None])
        rate = LEARNING_RATE * (1 - step / steps)
        optimisers[0].step(rows, d_table, rate, decay=WEIGHT_DECAY)
        optimisers[1].step(np.zeros(1, np.intp), d_logits.sum(axis=0)[None], rate)
        if (step + 1) % 250 == 0 or step + 1 == steps:
            loss = float(np.mean(_cross_entropy(logits, corpus.targets[batch])))
            say(f"  step {step + 1} of {steps}: loss {loss:.4f}")
    return table, bias


class _Adam:
    """Adam on the rows that a batch touches; other rows keep their moments and weights."""

    def __init__(self, weights: Floats, beta1: float = 0.9, beta2: float = 0.99) -> None:
        self._weights = weights
        self._mean, self._square = np.zeros_like(weights), np.zeros_like(weights)
        self._beta1, self._beta2, self._count = beta1, beta2, 0

    def step(self, rows: NDArray[np.intp], gradient: Floats, rate: float, decay: float = 0.0) -> None:
        self._count += 1
        mean = self._beta1 * self._mean[rows] + (1 - self._beta1) * gradient
        square = self._beta2 * self._square[rows] + (1 - self._beta2) * gradient * gradient
        self._mean[rows], self._square[rows] = mean, square
        mean /= 1 - self._beta1**self._count
        square /= 1 - self._beta2**self._count
        self._weights[rows] -= rate * (mean / (np.sqrt(square) + 1e-6) + decay * self._weights[rows])


def _calibrate(logits: Floats, asked: Bools) -> Convention:
    """Fit shift and temperature so that the best style's probability is how often it is right, then the thresholds.

    For the thresholds, prompts with and without a style have the same total weight: doing the wrong thing and refusing
    the right one are equally bad.
    """
    best = logits.max(axis=1)
    right = asked[np.arange(len(asked)), logits.argmax(axis=1)]
    settings = ((shift, temperature) for shift in np.linspace(-3, 3, 25) for temperature in np.geomspace(0.5, 8, 33))
    shift, temperature = min(settings, key=lambda s: float(_cross_entropy((best + s[0]) / s[1], right).mean()))
    convention = replace(Convention(), shift=round(float(shift), 4), temperature=round(float(temperature), 4))
    styled = asked.any(axis=1)
    grid = [round(float(threshold), 2) for threshold in np.arange(0.2, 0.81, 0.02)]

    def worth(threshold: float, also: float) -> float:
        decided = replace(convention, threshold=threshold, also_threshold=also)
        same = (_decide(_probability(logits, convention), decided) == asked).all(axis=1)
        return float(same[styled].mean() + same[~styled].mean())

    threshold, also = max(((a, b) for a in grid for b in grid if b >= LEAST_ALSO), key=lambda pair: worth(*pair))
    return replace(convention, threshold=threshold, also_threshold=also)


def _measure(logits: Floats, asked: Bools, seen: Bools, convention: Convention) -> Report:
    """Measure a fit on held-out prompts; `seen` marks those whose lexicon entry was in training."""
    probability = _probability(logits, convention)
    same = (_decide(probability, convention) == asked).all(axis=1)
    styled = asked.any(axis=1)
    best = probability.max(axis=1)
    right = asked[np.arange(len(asked)), probability.argmax(axis=1)]
    bins = np.array_split(np.argsort(best, kind="stable"), 10)
    return Report(
        seen_entries=float(same[styled & seen].mean()),
        unseen_entries=float(same[styled & ~seen].mean()),
        unseen_styles_said=float(same[~styled].mean()),
        calibration_error=float(np.mean([abs(best[part].mean() - right[part].mean()) for part in bins])),
        convention=convention,
    )


def _logits(encoder: TextEncoder, samples: Sequence[Sample]) -> Floats:
    """Return the logits of prompts read as one clause; the encoder's shift is 0 and its temperature 1."""
    probability = np.stack([encoder.probability(sample.text) for sample in samples], dtype=np.float64)
    clipped = np.clip(probability, EPS, 1 - EPS)
    return (np.log(clipped) - np.log1p(-clipped)).astype(np.float32)


def _probability(logits: Floats, convention: Convention) -> Floats:
    return 1 / (1 + np.exp(-(logits + np.float32(convention.shift)) / np.float32(convention.temperature)))


def _decide(probability: Floats, convention: Convention) -> Bools:
    """Return the styles that each prompt is taken to name, by the encoder's rule."""
    best = probability.max(axis=1, keepdims=True)
    named = (probability == best) | (probability >= convention.also_threshold)
    return np.asarray(named & (best >= convention.threshold))


def _cross_entropy(logits: Floats, targets: Floats | Bools) -> Floats:
    return np.logaddexp(0, logits) - targets * logits
