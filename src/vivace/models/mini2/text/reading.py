"""What a request is taken to mean: a chain of edits, or why it is not served; and that in a sentence."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from vivace.models.mini2.looks import LOOKS

ACTIONS = ("look", "recolour", "blur", "replace", "remove", "undo", "stronger", "weaker", "reset")
REFUSALS = ("cannot", "no_request", "policy")
"""Why it is not served: the model has no such edit, it is not about the picture, a house may not want to serve it."""
REGIONS = ("person", "background", "face", "hair", "clothes", "lips", "eyes", "hands", "subject", "sky")
"""Words for places; a colour stands for what has it."""
Amount = Literal["", "little", "much"]

_TITLES = {look.key: look.title for look in LOOKS}
_REFUSED = {
    "cannot": "an edit that the model does not have",
    "no_request": "nothing about the picture",
    "policy": "something that this house may not want to paint",
}
_AMOUNTS = {"": "", "little": ", a little", "much": ", strongly"}


@dataclass(frozen=True, slots=True)
class Edit:
    """One thing to do to the picture."""

    action: str
    """One of `ACTIONS`."""
    what: frozenset[str] = frozenset()
    """Keys of looks, a colour, or what comes instead; nothing where the action says all."""
    on: frozenset[str] = frozenset()
    """Regions and colours of things; empty is everything."""
    keep: frozenset[str] = frozenset()
    """Regions that stay as they are."""
    amount: Amount = ""

    @property
    def sentence(self) -> str:
        """The edit in words, for people."""
        on = f" {_listed(self.on)}" if self.on else ""
        what = _listed({_TITLES.get(each, each) for each in self.what}) if self.what else ""
        said = {
            "look": f"{what} on{on or ' everything'}",
            "recolour": f"colour{on or ' everything'} {what}",
            "blur": f"blur{on or ' everything'}",
            "replace": f"put {what} in place of{on or ' everything'}",
            "remove": f"remove{on or ' everything'}",
            "undo": "undo the last change",
            "stronger": f"stronger{on}",
            "weaker": f"weaker{on}",
            "reset": f"show{on or ' the picture'} as it is",
        }[self.action]
        return said + _AMOUNTS[self.amount] + (f", keep {_listed(self.keep)}" if self.keep else "")


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

    @property
    def sentence(self) -> str:
        """What was understood, for people."""
        if self.refusal is not None:
            return _REFUSED[self.refusal]
        return "; then ".join(edit.sentence for edit in self.edits)


def _listed(names: frozenset[str] | set[str]) -> str:
    *others, last = sorted(f"the {name}" if name in REGIONS else name for name in names)
    return f"{', '.join(others)} and {last}" if others else last
