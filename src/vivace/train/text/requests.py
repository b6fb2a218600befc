"""Hand-written requests with what each means (`tests/golden/requests.toml`), and the score of whatever reads them."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from vivace.errors import CheckpointError
from vivace.models.base import Prompt
from vivace.models.mini.styles import STYLE_KEYS

ACTIONS = ("look", "recolour", "blur", "replace", "remove", "undo", "stronger", "weaker", "reset")
REFUSALS = ("cannot", "no_request", "policy")
"""Why it is not served: the model has no such edit, it is not about the picture, a house may not want to serve it."""
REGIONS = ("person", "background", "face", "hair", "clothes", "lips", "eyes", "hands", "subject", "sky")
"""Words for places; a colour stands for what has it."""
Amount = Literal["", "little", "much"]


@dataclass(frozen=True, slots=True)
class Edit:
    """One thing to do to the picture."""

    action: str
    """One of `ACTIONS`."""
    what: frozenset[str] = frozenset()
    """Looks, a colour, or what comes instead; nothing where the action says all."""
    on: frozenset[str] = frozenset()
    """Regions and colours of things; empty is everything."""
    keep: frozenset[str] = frozenset()
    """Regions that stay as they are."""
    amount: Amount = ""


@dataclass(frozen=True, slots=True)
class Reading:
    """What a request was taken to mean."""

    edits: tuple[Edit, ...] = ()
    """In order."""
    refusal: str | None = None
    """One of `REFUSALS`."""
    confidence: float = 1.0
    """0 to 1, that it is right."""

    def agrees(self, other: Reading) -> bool:
        """Return whether both mean the same, however sure."""
        return (self.edits, self.refusal) == (other.edits, other.refusal)


@dataclass(frozen=True, slots=True)
class RequestScore:
    """How the requests of one half went."""

    right: int
    total: int
    sure_and_wrong: int
    """Wrong though confidence was at least `SURE`."""
    calibration_error: float
    """Expected calibration error over ten bins of confidence, 0 to 1 (Naeini et al., 2015)."""
    misses: tuple[str, ...]


SURE = 0.8
LEAST_SHARE = 0.2
"""Of a mixture, from which on a style is meant."""


def read_requests(path: Path, half: str) -> dict[str, Reading]:
    """Return the requests of one half, `tuned` or `blind`, with what they mean.

    Raises:
        CheckpointError: an entry is of another form.
    """
    table: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8"))[half]["requests"]
    return {text: _reading(text, meant) for text, meant in table.items()}


def _reading(text: str, meant: list[dict[str, Any]] | dict[str, Any]) -> Reading:
    if isinstance(meant, dict):
        (refusal,) = meant
        if refusal not in REFUSALS:
            raise CheckpointError(f"{text!r}: {refusal!r} is no refusal; there are {', '.join(REFUSALS)}")
        return Reading(refusal=refusal)
    return Reading(tuple(_edit(text, entry) for entry in meant))


def _edit(text: str, entry: Mapping[str, Any]) -> Edit:
    rest = dict(entry)
    on, keep, amount = _names(rest.pop("on", [])), _names(rest.pop("keep", [])), rest.pop("amount", "")
    if len(rest) != 1 or not rest.keys() <= {*ACTIONS} or amount not in ("", "little", "much"):
        raise CheckpointError(f"{text!r}: one action ({', '.join(ACTIONS)}), not {', '.join(rest)}; amount {amount!r}")
    ((action, what),) = rest.items()
    return Edit(action, frozenset() if what is True else _names(what), on, keep, amount)


def _names(value: str | list[str]) -> frozenset[str]:
    return frozenset([value] if isinstance(value, str) else value)


def reading_of(prompt: Prompt) -> Reading:
    """Return what an encoder that knows styles alone reads: a look of the whole picture, or no request."""
    if not prompt.known:
        return Reading(refusal="no_request", confidence=prompt.confidence)
    shares = dict(zip(STYLE_KEYS, prompt.embeds.tolist(), strict=True))
    looks = frozenset(key for key, share in shares.items() if share >= LEAST_SHARE)
    return Reading((Edit("look", looks),), confidence=prompt.confidence)


def score_requests(read: Callable[[str], Reading], requests: Mapping[str, Reading]) -> RequestScore:
    """Score what reads requests."""
    answers = [(text, meant, read(text)) for text, meant in requests.items()]
    wrong = [(text, meant, got) for text, meant, got in answers if not got.agrees(meant)]
    return RequestScore(
        len(answers) - len(wrong),
        len(answers),
        sum(got.confidence >= SURE for _, _, got in wrong),
        _calibration_error((got.confidence, got.agrees(meant)) for _, meant, got in answers),
        tuple(f"{text!r}: {_words(meant)}, read as {_words(got)} ({got.confidence:.2f})" for text, meant, got in wrong),
    )


def _calibration_error(answers: Iterable[tuple[float, bool]], bins: int = 10) -> float:
    pairs = list(answers)
    binned: dict[int, list[tuple[float, bool]]] = {}
    for confidence, right in pairs:
        binned.setdefault(min(int(confidence * bins), bins - 1), []).append((confidence, right))
    return sum(abs(sum(c for c, _ in part) - sum(r for _, r in part)) for part in binned.values()) / max(1, len(pairs))


def _words(reading: Reading) -> str:
    if reading.refusal is not None:
        return reading.refusal
    return "; ".join(
        " ".join(
            (edit.action, *sorted(edit.what), *(("on", *sorted(edit.on)) if edit.on else ()))
            + (("keep", *sorted(edit.keep)) if edit.keep else ())
            + ((edit.amount,) if edit.amount else ())
        )
        for edit in reading.edits
    )
