"""The text encoder of the embedded model: a prompt becomes a mixture of the styles it knows, or is said to be unknown.

A linear bag of hashed character n-grams and words gives every unit of the prompt some evidence for or against each
style; a clause holds a style when the summed evidence says so with enough probability. Rules over clauses then settle
shares and denials. Trained by `vivace.train.text`; needs NumPy only.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields
from importlib import resources
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open

from vivace.errors import CheckpointError, ControlError
from vivace.models.base import Prompt
from vivace.models.mini.styles import STYLE_COUNT, STYLE_KEYS, STYLES
from vivace.models.mini.text_clauses import Clause, split_clauses
from vivace.models.mini.text_features import BUCKETS, HASH_SEED, NGRAM_SIZES, Words, pair_feature, pairs, split_words, word_features

FORMAT = "vivace-mini-text-1"
AMBIENCE = frozenset({"night", "golden", "snow"})
"""Light and weather: they tint what is painted, so all that one clause names share a single part of the mixture."""

Evidence = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Convention:
    """Everything about the weights that would be silently wrong if guessed; travels with them as metadata."""

    format: str = FORMAT
    ngram_sizes: tuple[int, ...] = NGRAM_SIZES
    hash_seed: int = HASH_SEED
    buckets: int = BUCKETS
    styles: tuple[str, ...] = STYLE_KEYS
    shrink: float = 0.5
    """Evidence of one unit within ± this is noise and counts as none, so that long prompts do not add it up."""
    temperature: float = 1.0
    """Divides the logits; fitted on prompts held out from training."""
    threshold: float = 0.5
    """Least probability of the best style of a clause for it to be known."""
    also_threshold: float = 0.5
    """Least probability of each further style of the same clause."""

    def to_metadata(self) -> dict[str, str]:
        """Return the safetensors metadata, one JSON value a field."""
        return {name: json.dumps(value) for name, value in asdict(self).items()}

    @classmethod
    def from_metadata(cls, metadata: dict[str, str] | None, path: str) -> Self:
        """Read and check the metadata of `path`.

        Raises:
            CheckpointError: a field is missing, or differs from what this version was built for.
        """
        values: dict[str, Any] = {}
        for field in fields(cls):
            try:
                value = json.loads((metadata or {})[field.name])
            except (KeyError, json.JSONDecodeError):
                raise CheckpointError(
                    f"{path}: metadata field {field.name!r} is missing or damaged; write the file with `vivace train text`"
                ) from None
            values[field.name] = tuple(value) if isinstance(value, list) else value
        for name in ("format", "ngram_sizes", "hash_seed", "buckets", "styles"):
            expected = next(field.default for field in fields(cls) if field.name == name)
            if values[name] != expected:
                raise CheckpointError(
                    f"{path}: {name} is {values[name]!r}, this version needs {expected!r}; train it again with `vivace train text`"
                )
        return cls(**values)


def shrink(evidence: Evidence, amount: float) -> Evidence:
    """Move evidence towards 0 by `amount`, stopping at 0 (soft threshold)."""
    return np.sign(evidence) * np.maximum(np.abs(evidence) - np.float32(amount), np.float32(0))


class TextEncoder:
    """Weights of the encoder and their convention. Holds no state: one serves any number of sessions and threads."""

    def __init__(self, table: NDArray[np.floating[Any]], bias: NDArray[np.floating[Any]], convention: Convention) -> None:
        """Take `table [buckets, styles]` and `bias [styles]`.

        Raises:
            CheckpointError: shapes that do not fit the convention, or values that are not finite.
        """
        for name, array, shape in (("table", table, (BUCKETS, STYLE_COUNT)), ("bias", bias, (STYLE_COUNT,))):
            if array.shape != shape:
                raise CheckpointError(f"text encoder: {name} has shape {array.shape}, needs {shape}")
            if not np.isfinite(array).all():
                raise CheckpointError(f"text encoder: {name} holds values that are not finite")
        self._table: Evidence = np.asarray(table, np.float32)
        self._bias: Evidence = np.asarray(bias, np.float32)
        self.convention = convention

    @classmethod
    def load(cls, path: Path | None = None) -> Self:
        """Load the shipped weights, or those at `path`.

        Raises:
            CheckpointError: missing or damaged, or written for other styles or features.
        """
        if path is None:
            with resources.as_file(resources.files("vivace.models.mini") / "text.safetensors") as shipped:
                return cls.load(shipped)
        try:
            with safe_open(str(path), framework="numpy") as file:
                convention = Convention.from_metadata(file.metadata(), str(path))
                return cls(file.get_tensor("table"), file.get_tensor("bias"), convention)
        except FileNotFoundError:
            raise CheckpointError(f"{path}: no such file; write it with `vivace train text`") from None
        except (SafetensorError, OSError) as error:
            raise CheckpointError(f"{path}: cannot be read ({error}); write it again with `vivace train text`") from error

    def encode(self, text: str) -> Prompt:
        """Encode a prompt.

        `embeds` is the mixture over styles: non-negative, sums to 1, exactly one-hot for a prompt of one style. An
        unknown prompt gets its nearest style alone, `known` False and a message; whether to paint with it is the
        caller's choice. `matches` are style keys with their weights, or for an unknown prompt with the probabilities
        of the nearest few. Takes time linear in the length.

        Raises:
            ControlError: `text` is not a string.
        """
        if not isinstance(text, str):
            raise ControlError(f"a prompt must be a string, not {type(text).__name__} ({text!r:.40})")
        words = split_words(text)
        reader = _Reader(self._evidence(words), self._bias, self.convention)
        wanted, denied = _settle(reader, split_clauses(words))
        mixture, confidence = _mix(reader, wanted, denied)
        if confidence == 0.0:
            return self._unknown(text, words, reader, denied=bool(denied))
        order = [int(index) for index in np.argsort(-mixture, kind="stable") if mixture[index] > 0]
        return Prompt(
            text=text,
            embeds=mixture,
            known=True,
            confidence=confidence,
            matches=tuple((STYLE_KEYS[index], float(mixture[index])) for index in order),
            message=_describe(mixture, order, confidence),
        )

    def _unknown(self, text: str, words: Words, reader: _Reader, *, denied: bool) -> Prompt:
        probability = reader.probability(0, len(words.words))
        order = [int(index) for index in np.argsort(-probability, kind="stable")[:3]]
        best = order[0]
        embeds = np.zeros(STYLE_COUNT, np.float32)
        embeds[best] = 1.0
        shown = " ".join(text.split())
        shown = shown if len(shown) <= 60 else shown[:59] + "…"
        known = "Known styles: " + ", ".join(style.title for style in STYLES) + "."
        if not shown:
            message = f"The prompt is empty. {known}"
        elif denied:
            message = f"'{shown}' says what not to paint, but not how to paint. {known}"
        else:
            near = f"the nearest style I know is {STYLES[best].title} ({probability[best]:.2f})"
            message = f"I do not know how to paint '{shown}'; {near}. {known}"
        confidence = min(float(probability[best]), self.convention.threshold)
        matches = tuple((STYLE_KEYS[index], float(probability[index])) for index in order)
        return Prompt(text=text, embeds=embeds, known=False, confidence=confidence, matches=matches, message=message)

    def _evidence(self, words: Words) -> tuple[Evidence, Evidence, Evidence]:
        """Return the running sums of evidence of the words and of the pairs 1 and 2 apart, `[units + 1, styles]` each."""
        rows = [word_features(word) for word in words.words]
        per_word = np.zeros((len(rows), STYLE_COUNT), np.float32)
        if rows:
            starts = np.cumsum([0] + [len(row) for row in rows[:-1]])
            lengths = np.array([len(row) for row in rows], np.float32)
            gathered = self._table[[row for unit in rows for row in unit]]
            gathered *= feature_scale(np.repeat(lengths, lengths.astype(int)), starts)[:, None]
            per_word = np.add.reduceat(gathered, starts, axis=0)
        near, far = (
            self._table[[pair_feature(a, b, distance) for a, b in pairs(words.words, distance)]].reshape(-1, STYLE_COUNT)
            for distance in (1, 2)
        )
        return _running(per_word, self.convention), _running(near, self.convention), _running(far, self.convention)


def feature_scale(lengths: Evidence, starts: NDArray[np.intp]) -> Evidence:
    """Return each feature's weight within its unit: 1 for the unit itself (its first), else 1 / sqrt(n-grams)."""
    scale = 1 / np.sqrt(np.maximum(lengths - 1, 1))
    scale[starts] = 1
    return scale.astype(np.float32)


def _running(evidence: Evidence, convention: Convention) -> Evidence:
    sums = np.zeros((len(evidence) + 1, STYLE_COUNT), np.float32)
    np.cumsum(shrink(evidence, convention.shrink), axis=0, out=sums[1:])
    return sums


@dataclass(frozen=True, slots=True)
class _Reader:
    """Reads any stretch of one prompt in constant time."""

    sums: tuple[Evidence, Evidence, Evidence]
    bias: Evidence
    convention: Convention

    def probability(self, start: int, stop: int) -> Evidence:
        """Return the probability that words `start` to `stop` hold each style, `[styles]`."""
        logits = self.bias.copy()
        for distance, sums in enumerate(self.sums):
            if stop - start > distance:
                logits += sums[stop - distance] - sums[start]
        return 1 / (1 + np.exp(-np.clip(logits / self.convention.temperature, -30, 30)))

    def styles(self, start: int, stop: int) -> dict[int, float]:
        """Return the styles that words `start` to `stop` hold, with their probabilities; empty when none."""
        probability = self.probability(start, stop)
        if probability.max() < self.convention.threshold:
            return {}
        best = int(probability.argmax())
        present = [index for index, p in enumerate(probability) if index == best or p >= self.convention.also_threshold]
        return {index: float(probability[index]) for index in present}


def _settle(reader: _Reader, clauses: list[Clause]) -> tuple[list[Clause], set[int]]:
    """Return the clauses that ask for a style, joined where they only make sense together, and the styles denied."""
    wanted: list[Clause] = []
    refused: list[Clause] = []
    for clause in clauses:
        if clause.denied and reader.styles(clause.start, clause.stop):
            refused.append(clause)
        elif clause.denied:
            # "Without any colour" denies nothing that we know, so it is ordinary words.
            whole = Clause(wanted[-1].stop if wanted else 0, clause.stop)
            if reader.styles(whole.start, whole.stop):
                wanted.append(whole)
        elif wanted and clause.joined and clause.weight is None and _belong(reader, wanted[-1], clause):
            wanted[-1] = Clause(wanted[-1].start, clause.stop, weight=wanted[-1].weight)
        else:
            wanted.append(clause)
    wanted = [clause for clause in wanted if _holds(reader, clause)]
    if refused and not wanted:
        # "Not anime oil painting": the denial reaches as far as the first style and no further.
        for index, clause in enumerate(refused):
            cut = next(stop for stop in range(clause.start + 1, clause.stop + 1) if reader.styles(clause.start, stop))
            rest = Clause(cut, clause.stop)
            if rest.stop > rest.start and _holds(reader, rest):
                wanted.append(rest)
                refused[index] = Clause(clause.start, cut, denied=True)
    denied = {style for clause in refused for style in reader.styles(clause.start, clause.stop)}
    return wanted, denied


def _belong(reader: _Reader, first: Clause, second: Clause) -> bool:
    """Say whether two clauses are one: either says nothing on its own, or both say the same."""
    said = [set(reader.styles(clause.start, clause.stop)) for clause in (first, second)]
    return not all(said) or said[0] == said[1]


def _holds(reader: _Reader, clause: Clause) -> bool:
    return bool(reader.styles(clause.start, clause.stop))


def _mix(reader: _Reader, clauses: list[Clause], denied: set[int]) -> tuple[Evidence, float]:
    """Return the mixture that the clauses ask for and its confidence; 0 when they ask for nothing."""
    mixture = np.zeros(STYLE_COUNT, np.float64)
    confidence = 0.0
    for clause, weight in zip(clauses, _weights(clauses), strict=True):
        styles = reader.styles(clause.start, clause.stop)
        ambience = [style for style in styles if STYLE_KEYS[style] in AMBIENCE]
        parts = len(styles) - len(ambience) + bool(ambience)
        for style, probability in styles.items():
            share = weight / parts / (len(ambience) if style in ambience else 1)
            mixture[style] += share
            confidence += share * probability
    if not confidence:
        return mixture.astype(np.float32), 0.0
    confidence /= mixture.sum()
    if any(mixture[style] for style in range(STYLE_COUNT) if style not in denied):
        # "Anime but no outlines, oil paint" still wants some anime: a style both asked for and denied counts half.
        mixture[sorted(denied)] /= 2
    return (mixture / mixture.sum()).astype(np.float32), min(confidence, 1.0)


def _weights(clauses: list[Clause]) -> list[float]:
    """Return each clause's part: what it names, or an equal share of what the others leave."""
    named = [clause.weight for clause in clauses if clause.weight is not None]
    unnamed = len(clauses) - len(named)
    rest = max(1 - sum(named), 0.0) / unnamed if unnamed else 0.0
    if not rest and named:
        rest = min(named)
    return [clause.weight if clause.weight is not None else rest for clause in clauses]


def _describe(mixture: Evidence, order: list[int], confidence: float) -> str:
    if len(order) == 1:
        return f"{STYLES[order[0]].title} {confidence:.2f}"
    parts = " + ".join(f"{mixture[index]:.0%} {STYLES[index].title}" for index in order)
    return f"{parts} ({confidence:.2f})"
