"""The fit: hashed features of grammar prompts, one linear layer with a soft threshold, cross-entropy, Adam.

Two fits run from one seed. The first leaves part of the grammar out: it gives the temperature, the thresholds and the
honest numbers. The second has the whole grammar and is what ships, under the first one's calibration.
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

STEPS = 1500
BATCH = 512
POOL = 40_000
"""Distinct prompts a fit draws its batches from."""
LEARNING_RATE = 0.05
WEIGHT_DECAY = 0.02
"""Decoupled, on the table only; keeps features seen once from being trusted."""
WORD_DROPOUT = 0.4
"""How often a word must be told by its n-grams alone; this is what makes unseen spellings work."""


@dataclass(frozen=True)
class Report:
    """What a training run measured on prompts that its first fit had not seen."""

    seen_entries: float
    """Share right where the lexicon entry was in training and the template and content were not."""
    unseen_entries: float
    """Share right where entry, template and content were all held out."""
    unseen_styles_said: float
    """Share of held-out prompts without a style of ours that are said to be unknown."""
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
                for pair in pairs(words, distance):
                    units.append(unit((*pair, distance), lambda p=pair, d=distance: [pair_feature(*p, d)]))
            prompts.append(np.array(units, np.intp))
        return cls(unit_rows, prompts, np.array([sample.target for sample in samples], np.float32))


def train(
    out: Path, seed: int = 0, steps: int = STEPS, *, report: Callable[[str], None] | None = None
) -> Report:
    """Train the text encoder and write its weights to `out` (float16 safetensors, about 1 MB).

    One core, about a minute at the default `steps`; the same file for the same seed. `report` receives progress lines.
    """
    say = report or (lambda line: None)
    grammar = Grammar.read()
    part, held_out = grammar.split(random.Random(seed))
    say(f"fit 1 of 2: {len(part.entries)} of {len(grammar.entries)} lexicon entries")
    table, bias = _fit(part, seed, steps, say)

    rng = random.Random(seed + 1)
    seen = _measured(replace(held_out, entries=part.entries, foreign=part.foreign), rng)
    unseen = _measured(held_out, rng)
    convention = _calibrate(table, bias, [*seen, *unseen])
    encoder = TextEncoder(table, bias, convention)
    result = Report(*_accuracies(encoder, seen, unseen), convention)
    say(
        f"held out: {result.seen_entries:.1%} right with known entries, {result.unseen_entries:.1%} with unknown ones, "
        f"{result.unseen_styles_said:.1%} of the prompts without a style said to be unknown"
    )
    say("fit 2 of 2: the whole lexicon")
    table, bias = _fit(grammar, seed, steps, say)
    out.parent.mkdir(parents=True, exist_ok=True)
    save_file({"table": table.astype(np.float16), "bias": bias.astype(np.float16)}, out, convention.to_metadata())
    say(f"wrote {out} ({out.stat().st_size / 1e6:.1f} MB)")
    return result


def _measured(grammar: Grammar, rng: random.Random, count: int = 3000) -> list[Sample]:
    return [grammar.sample(rng) for _ in range(count)]


def _fit(grammar: Grammar, seed: int, steps: int, say: Callable[[str], None]) -> tuple[Floats, Floats]:
    """Return the table and the bias."""
    draw = random.Random(seed + 2)
    corpus = _Corpus.of([grammar.sample(draw) for _ in range(POOL)])
    rng = np.random.default_rng(seed)
    amount = Convention().shrink
    table = np.zeros((BUCKETS, STYLE_COUNT), np.float32)
    bias = np.full(STYLE_COUNT, -4.0, np.float32)
    optimisers = _Adam(table), _Adam(bias)
    for step in range(steps):
        batch = rng.choice(POOL, BATCH, replace=False)
        units, inverse = np.unique(np.concatenate([corpus.prompts[i] for i in batch]), return_inverse=True)
        counts = np.zeros((BATCH, len(units)), np.float32)
        owner = np.repeat(np.arange(BATCH), [len(corpus.prompts[i]) for i in batch])
        np.add.at(counts, (owner, inverse), np.float32(1))

        lengths = np.array([len(corpus.unit_rows[u]) for u in units])
        starts = np.concatenate([[0], np.cumsum(lengths)[:-1]])
        rows = np.concatenate([corpus.unit_rows[u] for u in units])
        scale = feature_scale(np.repeat(lengths, lengths).astype(np.float32), starts)
        dropped = (lengths > 1) & (rng.random(len(units)) < WORD_DROPOUT)
        scale[starts[dropped]] = 0

        evidence = np.add.reduceat(table[rows] * scale[:, None], starts, axis=0)
        logits = bias + counts @ shrink(evidence, amount)
        d_logits = (1 / (1 + np.exp(-logits)) - corpus.targets[batch]) / BATCH
        # The soft threshold passes its gradient straight through, or nothing would ever leave its dead zone.
        d_rows = np.repeat(counts.T @ d_logits, lengths, axis=0) * scale[:, None]
        d_table = np.zeros_like(table)
        np.add.at(d_table, rows, d_rows)
        rate = LEARNING_RATE * (1 - step / steps)
        optimisers[0].step(table, d_table, rate)
        table *= 1 - rate * WEIGHT_DECAY
        optimisers[1].step(bias, d_logits.sum(axis=0), rate)
        if (step + 1) % 250 == 0 or step + 1 == steps:
            loss = float(np.mean(_cross_entropy(logits, corpus.targets[batch])))
            say(f"  step {step + 1} of {steps}: loss {loss:.4f}")
    return table, bias


class _Adam:
    def __init__(self, like: Floats, beta1: float = 0.9, beta2: float = 0.99) -> None:
        self._mean, self._square = np.zeros_like(like), np.zeros_like(like)
        self._beta1, self._beta2, self._count = beta1, beta2, 0

    def step(self, weights: Floats, gradient: Floats, rate: float) -> None:
        self._count += 1
        self._mean += (1 - self._beta1) * (gradient - self._mean)
        self._square += (1 - self._beta2) * (gradient * gradient - self._square)
        mean = self._mean / np.float32(1 - self._beta1**self._count)
        square = self._square / np.float32(1 - self._beta2**self._count)
        weights -= np.float32(rate) * mean / (np.sqrt(square) + np.float32(1e-6))


def _cross_entropy(logits: Floats, targets: Floats) -> Floats:
    return np.logaddexp(0, logits) - targets * logits


def _logits(table: Floats, bias: Floats, samples: Sequence[Sample]) -> Floats:
    corpus = _Corpus.of(samples)
    evidence = np.zeros((len(corpus.unit_rows), STYLE_COUNT), np.float32)
    for unit, rows in enumerate(corpus.unit_rows):
        scale = feature_scale(np.full(len(rows), len(rows), np.float32), np.array([0]))
        evidence[unit] = scale @ table[rows]
    evidence = shrink(evidence, Convention().shrink)
    return np.stack([bias + evidence[units].sum(axis=0) for units in corpus.prompts])


def _calibrate(table: Floats, bias: Floats, samples: Sequence[Sample]) -> Convention:
    """Fit the temperature to the held-out probabilities, then the thresholds to the held-out decisions."""
    logits = _logits(table, bias, samples)
    targets = np.array([sample.target for sample in samples], np.float32)
    asked = (targets > 0.5).astype(np.float32)
    temperatures = np.geomspace(0.5, 4, 43)
    temperature = min(temperatures, key=lambda t: float(_cross_entropy(logits / np.float32(t), asked).mean()))
    probability = 1 / (1 + np.exp(-logits / temperature))
    grid = [round(float(t), 2) for t in np.arange(0.2, 0.81, 0.02)]

    def right(threshold: float, also: float) -> float:
        known = probability.max(axis=1, keepdims=True) >= threshold
        best = probability == probability.max(axis=1, keepdims=True)
        return float((((best | (probability >= also)) & known) == (asked > 0)).all(axis=1).mean())

    threshold, also = max(((a, b) for a in grid for b in grid), key=lambda pair: right(*pair))
    return replace(Convention(), temperature=round(float(temperature), 4), threshold=threshold, also_threshold=also)


def _accuracies(encoder: TextEncoder, seen: Sequence[Sample], unseen: Sequence[Sample]) -> tuple[float, float, float]:
    """Return the shares right of the styled prompts of both lists, and of the style-less prompts of both together."""

    def right(sample: Sample) -> bool:
        prompt = encoder.encode(sample.text)
        asked = {index for index, target in enumerate(sample.target) if target > 0.5}
        return asked == (set(np.flatnonzero(prompt.embeds).tolist()) if prompt.known else set())

    def styled(sample: Sample) -> bool:
        return max(sample.target) > 0.5

    shares = [np.mean([right(sample) for sample in samples if styled(sample)]) for samples in (seen, unseen)]
    none = np.mean([right(sample) for sample in (*seen, *unseen) if not styled(sample)])
    return float(shares[0]), float(shares[1]), float(none)
