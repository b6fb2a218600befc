"""Hand-written requests with their meaning (`tests/golden/requests.toml`), and the score of a reader."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vivace.errors import CheckpointError
from vivace.models.mini2.text.reading import ACTIONS, REFUSALS, Edit, Reading


@dataclass(frozen=True, slots=True)
class RequestScore:
    """Score of the requests of one half."""

    right: int
    total: int
    sure_and_wrong: int
    """Wrong with a confidence of at least `SURE`."""
    calibration_error: float
    """Expected calibration error over ten bins of confidence, 0 to 1 (Naeini et al., 2015)."""
    misses: tuple[str, ...]


SURE = 0.8


def read_requests(path: Path, half: str) -> dict[str, Reading]:
    """Return the requests of one half of a file, `tuned` or `blind` of the golden one, with their meaning.

    Raises:
        CheckpointError: an entry has another form.
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


def score_requests(read: Callable[[str], Reading], requests: Mapping[str, Reading]) -> RequestScore:
    """Score a reader of requests."""
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
