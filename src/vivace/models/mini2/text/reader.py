"""Reading of a text: a chain of edits with its confidence, and the mixture of looks to paint with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from itertools import pairwise

from vivace.models.mini.text_clauses import TOUCH, split_clauses
from vivace.models.mini.text_features import Words, split_words
from vivace.models.mini.text_mixture import mix, settle
from vivace.models.mini2.looks import LOOK_KEYS, LOOKS
from vivace.models.mini2.mixture import SOURCE, Mixture
from vivace.models.mini2.text.clauses import AMBIENCE
from vivace.models.mini2.text.confidence import confidence_of
from vivace.models.mini2.text.grammar import Parse, parse
from vivace.models.mini2.text.languages import to_english
from vivace.models.mini2.text.lexicon import lexicon
from vivace.models.mini2.text.reading import Edit, Reading

WORDS = 200
"""Most words read: a page of text is no request, and reading time grows with the words."""
_AMBIENCE = frozenset(LOOK_KEYS.index(key) for key in AMBIENCE)
_NEAR = 3


@dataclass(frozen=True, slots=True)
class Request:
    """Result of reading a text."""

    reading: Reading
    named: tuple[str, ...]
    """Words of the text without filler and places."""
    denied: frozenset[str]
    """Keys of denied looks."""
    mixture: Mixture | None
    """Mixture to paint the whole picture with; None if the request asks for more than that."""
    parts: Mapping[str, str] = field(default_factory=dict)
    """Nouns that stand for a place of which they are but a part: `{"clothes": "trousers"}`; things are of `subject`."""
    which: str = ""
    """Colour by which clothes are told from others: "red" of "make the red jacket blue"."""
    reason: str = ""
    """Name of the rule that decided, such as `place` for a request to be somewhere else."""

    def near(self) -> list[tuple[str, float]]:
        """Return the keys of the looks that can be painted instead, with their similarity, nearest first."""
        asked = {look: 1.0 for edit in self.reading.edits if edit.action == "look" for look in sorted(edit.what)}
        if self.reading.refusal == "cannot":
            asked = asked or lexicon().looks_near(self.named, _NEAR + len(self.denied))
        return [(key, near) for key, near in asked.items() if key not in self.denied][:_NEAR]


def read_request(text: str) -> Request:
    """Return the request in a text of any length and script."""
    words = split_words(text)
    words = to_english(Words(words.words[:WORDS], words.gaps[: WORDS + 1]))
    found = parse(words)
    reading = replace(found.reading, confidence=confidence_of(found))
    named = [item for item in found.items if item.kind not in ("filler", "region", "adding", "and")]
    said = tuple(word for item in named for word in words.words[item.start : item.stop])
    parts = {"subject" if item.kind == "thing" else item.value: item.part for item in found.items if item.part}
    return Request(reading, said, found.denied, _mixture(words, found), parts, _which(words, found), found.reason)


def _which(words: Words, found: Parse) -> str:
    """Return the colour right before clothes, if it is not what the request asks for."""
    asked = {colour for edit in found.reading.edits if edit.action == "recolour" for colour in edit.what}
    for colour, place in pairwise(found.items):
        is_of_clothes = (colour.kind, place.kind, place.value) == ("colour", "region", "clothes")
        if is_of_clothes and colour.value not in asked and not words.gaps[place.start].strip():
            return colour.value.rpartition(" ")[2]
    return ""


def _mixture(words: Words, found: Parse) -> Mixture | None:
    edits = found.reading.edits
    if edits == (Edit("reset"),):
        return Mixture({SOURCE: 1.0})
    if len(edits) != 1 or edits[0].action != "look" or edits[0].on or edits[0].keep:
        return None
    reader = _Named(found)
    clauses = [replace(clause, denied=False) for clause in split_clauses(words)]
    asking, _ = settle(reader, clauses)
    denied = {LOOK_KEYS.index(key) for key in found.denied}
    shares, _ = mix(reader, asking, denied, len(LOOKS), _AMBIENCE)
    named = [clause.weight for clause in asking if clause.weight is not None]
    # If every clause names a share, they may sum to less than the whole picture.
    strength = min(1.0, sum(named)) if len(named) == len(asking) else 1.0
    if edits[0].amount == "little" and not named:
        strength = TOUCH
    return Mixture({LOOK_KEYS[i]: float(share) * strength for i, share in enumerate(shares) if share > 0}).filled()


class _Named:
    """Looks named by ranges of one text."""

    def __init__(self, found: Parse) -> None:
        self._looks = [(item.start, LOOK_KEYS.index(item.value)) for item in found.looks]

    def styles(self, start: int, stop: int) -> dict[int, float]:
        """Return the looks named in words `start` to `stop`, with probability 1."""
        return {look: 1.0 for at, look in self._looks if start <= at < stop}
