"""From the clauses of a prompt to a mixture of styles, given a reader that recognises styles in word ranges.

Styles are plain numbers here.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from vivace.models.mini.text_clauses import Clause

WINDOW = 16
"""Words read at once. Training prompts are hardly longer, and unrelated text must not drown one mention."""


class Reader(Protocol):
    """Reader of word ranges of one prompt."""

    def styles(self, start: int, stop: int) -> dict[int, float]:
        """Return the styles that words `start` to `stop` name, with their probabilities; empty if none."""


def settle(reader: Reader, clauses: list[Clause]) -> tuple[list[Clause], set[int]]:
    """Return the clauses that ask for a style, merged where they only make sense together, and the styles denied."""
    wanted: list[tuple[Clause, set[int]]] = []
    refused: list[tuple[Clause, set[int]]] = []
    for clause in clauses:
        said = set(reader.styles(clause.start, clause.stop))
        last, last_said = wanted[-1] if wanted else (Clause(0, 0), set())
        if clause.denied and said:
            refused.append((clause, said))
        elif clause.denied:
            # "Without any colour" denies no known style, so it is ordinary words.
            wanted.append((Clause(last.stop, clause.stop), set(reader.styles(last.stop, clause.stop))))
        elif wanted and clause.joined and clause.weight is None and (not said or not last_said or said == last_said):
            # One of the two names nothing on its own, or both name the same: they are one clause.
            together = said | last_said or set(reader.styles(max(last.start, clause.start - WINDOW), clause.stop))
            wanted[-1] = (Clause(last.start, clause.stop, weight=last.weight), together)
        else:
            wanted.append((clause, said))
    asking = [clause for clause, said in wanted if said]
    if not asking:
        asking = _after_first_denied(reader, refused)
    return asking, {style for _, said in refused for style in said}


def _after_first_denied(reader: Reader, refused: list[tuple[Clause, set[int]]]) -> list[Clause]:
    """Return the clauses left over from denials such as "not anime oil painting", which end after their first style.

    Shortens the clauses in `refused`.
    """
    asking: list[Clause] = []
    for index, (clause, _) in enumerate(refused):
        for cut in range(clause.start + 1, clause.stop):
            said = set(reader.styles(max(clause.start, cut - WINDOW), cut))
            if said and reader.styles(cut, clause.stop):
                asking.append(Clause(cut, clause.stop))
                refused[index] = (Clause(clause.start, cut, denied=True), said)
            if said:
                break
    return asking


def mix(
    reader: Reader, clauses: list[Clause], denied: set[int], count: int, ambience_of: frozenset[int]
) -> tuple[NDArray[np.float32], float]:
    """Return the mixture of `count` styles that the clauses ask for and its confidence; 0 if they ask for nothing.

    The styles in `ambience_of` are light and weather: they tint the picture, so all that one clause names share a
    single part of the mixture.
    """
    mixture = np.zeros(count, np.float64)
    confidence = 0.0
    for clause, weight in zip(clauses, weights_of(clauses), strict=True):
        styles = reader.styles(clause.start, clause.stop)
        ambience = [style for style in styles if style in ambience_of]
        parts = len(styles) - len(ambience) + bool(ambience)
        for style, probability in styles.items():
            share = weight / parts / (len(ambience) if style in ambience else 1)
            mixture[style] += share
            confidence += share * probability
    if not confidence:
        return mixture.astype(np.float32), 0.0
    confidence /= mixture.sum()
    if any(mixture[style] for style in range(count) if style not in denied):
        # "Anime but no outlines, oil paint" still asks for some anime: a style both requested and denied counts half.
        mixture[sorted(denied)] /= 2
    return (mixture / mixture.sum()).astype(np.float32), min(float(confidence), 1.0)


def weights_of(clauses: list[Clause]) -> list[float]:
    """Return each clause's share: the one it names, or an equal part of what the others leave."""
    named = [clause.weight for clause in clauses if clause.weight is not None]
    unnamed = len(clauses) - len(named)
    rest = max(1 - sum(named), 0.0) / unnamed if unnamed else 0.0
    if not rest and named:
        rest = min(named)
    return [clause.weight if clause.weight is not None else rest for clause in clauses]
