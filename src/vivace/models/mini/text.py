"""Text encoder of the embedded model: turns a prompt into a mixture of the known styles, or reports it as unknown.

A linear model on hashed character n-grams and words gives each unit of the prompt evidence for or against each style; a
clause names a style if the probability of the summed evidence is high enough. Rules over clauses then determine shares
and negations. Trained by `vivace.train.text`; needs NumPy only.
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
from vivace.models.mini.text_clauses import split_clauses
from vivace.models.mini.text_features import (
    BUCKETS,
    HASH_SEED,
    NGRAM_SIZES,
    Words,
    pair_feature,
    pairs,
    split_words,
    word_features,
)
from vivace.models.mini.text_mixture import WINDOW, mix, settle
from vivace.models.prompt_syntax import read_syntax

FORMAT = "vivace-mini-text-1"
REMEDY = "install vivace again, or write the file with `python -m vivace.train.text`"
AMBIENCE = frozenset({"night", "golden", "snow"})
"""Styles that are light and weather, see `text_mixture.mix`."""
_AMBIENCE = frozenset(STYLE_KEYS.index(key) for key in AMBIENCE)

Evidence = NDArray[np.float32]
Sums = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Convention:
    """Conventions that the weights depend on and that fail silently if guessed; stored in their metadata."""

    format: str = FORMAT
    ngram_sizes: tuple[int, ...] = NGRAM_SIZES
    hash_seed: int = HASH_SEED
    buckets: int = BUCKETS
    styles: tuple[str, ...] = STYLE_KEYS
    shrink: float = 1.25
    """Soft threshold on the evidence of one unit: values within ± this count as 0, so that noise does not add up in
    long prompts."""
    shift: float = 0.0
    """Offset of the logits, added before the temperature; both are fitted on held-out prompts."""
    temperature: float = 1.0
    """Divisor of the logits."""
    threshold: float = 0.5
    """Smallest probability of a clause's best style for it to be known."""
    also_threshold: float = 0.5
    """Smallest probability of each further style of the same clause."""

    def to_metadata(self) -> dict[str, str]:
        """Return the safetensors metadata: one JSON document, since the order of several entries would vary."""
        return {"convention": json.dumps(asdict(self))}

    @classmethod
    def from_metadata(cls, metadata: dict[str, str] | None, path: str) -> Self:
        """Return the convention in the metadata of `path`, after checking it.

        Raises:
            CheckpointError: a field is missing, or differs from what this version supports.
        """
        try:
            values: dict[str, Any] = json.loads((metadata or {})["convention"])
            values = {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}
        except (KeyError, AttributeError, json.JSONDecodeError):
            raise CheckpointError(f"{path}: its metadata holds no convention; {REMEDY}") from None
        for field in fields(cls):
            if field.name not in values:
                raise CheckpointError(f"{path}: its convention lacks {field.name}; {REMEDY}")
            fixed = field.name not in ("shift", "temperature", "threshold", "also_threshold")
            if fixed and values[field.name] != field.default:
                raise CheckpointError(
                    f"{path}: {field.name} is {values[field.name]!r}, this version needs {field.default!r}; {REMEDY}"
                )
        return cls(**{field.name: values[field.name] for field in fields(cls)})


def shrink(evidence: Evidence, amount: float) -> Evidence:
    """Return evidence moved towards 0 by `amount`, stopping at 0 (soft threshold)."""
    return np.sign(evidence) * np.maximum(np.abs(evidence) - np.float32(amount), np.float32(0))


class TextEncoder:
    """Weights of the encoder and their convention. Stateless: one serves any number of sessions and threads."""

    def __init__(
        self, table: NDArray[np.floating[Any]], bias: NDArray[np.floating[Any]], convention: Convention
    ) -> None:
        """Take `table [buckets, styles]` and `bias [styles]`.

        Raises:
            CheckpointError: shapes that differ from the convention, or values that are not finite.
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
            raise CheckpointError(f"{path}: no such file; {REMEDY}") from None
        except (SafetensorError, OSError) as error:
            raise CheckpointError(f"{path}: cannot be read ({error}); {REMEDY}") from error

    def encode(self, text: str) -> Prompt:
        """Return an encoded prompt.

        `embeds` is the mixture over styles: non-negative, sums to 1, exactly one-hot for a prompt of one style. An
        unknown prompt gets its nearest style alone, `known` false and a message; the caller decides whether to paint
        with it. `matches` are style keys with their weights, or for an unknown prompt with the probabilities of the
        nearest few. Takes time linear in the length.

        Raises:
            ControlError: `text` is not a string.
        """
        if not isinstance(text, str):
            raise ControlError(f"a prompt must be a string, not {type(text).__name__} ({text!r:.40})")
        words = split_words(text)
        reader = _Reader(self._evidence(words), self._bias, self.convention)
        wanted, denied = settle(reader, split_clauses(words))
        mixture, confidence = mix(reader, wanted, denied, STYLE_COUNT, _AMBIENCE)
        if confidence == 0.0:
            return self._unknown(text, words, reader, denied)
        order = [int(index) for index in np.argsort(-mixture, kind="stable") if mixture[index] > 0]
        return Prompt(
            text=text,
            embeds=mixture,
            known=True,
            confidence=confidence,
            matches=tuple((STYLE_KEYS[index], float(mixture[index])) for index in order),
            message="; ".join([_describe(mixture, order, confidence), *_not_read(text)]),
        )

    def probability(self, text: str) -> Evidence:
        """Return the probability that the text, read as one clause, names each style, `[styles]`."""
        words = split_words(text)
        return _Reader(self._evidence(words), self._bias, self.convention).probability(0, len(words.words))

    def _unknown(self, text: str, words: Words, reader: _Reader, denied: set[int]) -> Prompt:
        probability = reader.probability(0, len(words.words))
        ranked = [int(index) for index in np.argsort(-probability, kind="stable")]
        # A denied style is not offered as near.
        order = [index for index in ranked if index not in denied][:3]
        best = (order or ranked)[0]
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
        message = " ".join([message, *(f"{note[0].upper()}{note[1:]}." for note in _not_read(text))])
        confidence = min(float(probability[best]), self.convention.threshold)
        matches = tuple((STYLE_KEYS[index], float(probability[index])) for index in order)
        return Prompt(text=text, embeds=embeds, known=False, confidence=confidence, matches=matches, message=message)

    def _evidence(self, words: Words) -> tuple[Sums, Sums, Sums]:
        """Return running sums of the evidence of words and of pairs at distances 1 and 2."""
        rows = [word_features(word) for word in words.words]
        per_word = np.zeros((len(rows), STYLE_COUNT), np.float32)
        if rows:
            lengths = np.array([len(row) for row in rows])
            weighted = self._table[[row for unit in rows for row in unit]] * feature_scale(lengths)[:, None]
            per_word = np.add.reduceat(weighted, np.cumsum(lengths) - lengths, axis=0)
        near, far = (
            [pair_feature(first, second, distance) for first, second in pairs(words.words, distance)]
            for distance in (1, 2)
        )
        per_unit = (per_word, *(self._table[np.array(pair, np.intp)] for pair in (near, far)))
        per_words, per_near, per_far = (_running(evidence, self.convention) for evidence in per_unit)
        return per_words, per_near, per_far


def feature_scale(lengths: NDArray[np.intp]) -> Evidence:
    """Return the weight of each feature of units of these lengths, `[sum of lengths]`.

    It is 1 for the unit itself, which comes first, and 1 / sqrt(n-grams) for each n-gram.
    """
    scale = np.repeat(1 / np.sqrt(np.maximum(lengths - 1, 1)), lengths)
    scale[np.cumsum(lengths) - lengths] = 1
    return scale.astype(np.float32)


def _running(evidence: Evidence, convention: Convention) -> Sums:
    """Return running sums of the evidence, `[units + 1, styles]`."""
    sums = np.zeros((len(evidence) + 1, STYLE_COUNT), np.float64)
    np.cumsum(shrink(evidence, convention.shrink), axis=0, out=sums[1:])
    return sums


@dataclass(frozen=True, slots=True)
class _Reader:
    """Reader of word ranges of one prompt."""

    sums: tuple[Sums, Sums, Sums]
    bias: Evidence
    convention: Convention

    def probability(self, start: int, stop: int) -> Evidence:
        """Return the probability that words `start` to `stop` name each style, `[styles]`, by the best window.

        More windows mean more chances for a false positive; the prior of each is lowered accordingly.
        """
        width = min(stop - start, WINDOW)
        begins = np.arange(start, stop - width + 1)
        logits = np.tile(self.bias.astype(np.float64), (len(begins), 1))
        for distance, sums in enumerate(self.sums):
            if width > distance:
                logits += sums[begins + width - distance] - sums[begins]
        best = logits.max(axis=0) - np.log(max(stop - start, 1) / max(width, 1))
        scaled = (best + self.convention.shift) / self.convention.temperature
        return np.asarray(1 / (1 + np.exp(-np.clip(scaled, -30, 30))), np.float32)

    def styles(self, start: int, stop: int) -> dict[int, float]:
        """Return the styles that words `start` to `stop` name, with their probabilities; empty if none."""
        probability = self.probability(start, stop)
        if probability.max() < self.convention.threshold:
            return {}
        best = int(probability.argmax())
        present = [index for index, p in enumerate(probability) if index == best or p >= self.convention.also_threshold]
        return {index: float(probability[index]) for index in present}


def _not_read(text: str) -> list[str]:
    """Return notes on syntax that other models read and this one ignores."""
    syntax = read_syntax(text)
    said = ["weights such as (ink:1.3) are not read here; say 'mostly ink' or 'a touch of ink'"] * syntax.numbered
    return said + [f"<lora:{name}> loads nothing: this model has no LoRAs" for name in syntax.files]


def _describe(mixture: Evidence, order: list[int], confidence: float) -> str:
    if len(order) == 1:
        return f"{STYLES[order[0]].title} {confidence:.2f}"
    parts = " + ".join(f"{mixture[index]:.0%} {STYLES[index].title}" for index in order)
    return f"{parts} ({confidence:.2f})"
