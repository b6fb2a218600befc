"""Interpretation of a request: a chain of edits, or the reason for refusing it, each also as a sentence."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from vivace.models.mini2.looks import LOOKS

ACTIONS = ("look", "recolour", "blur", "replace", "remove", "undo", "stronger", "weaker", "reset")
REFUSALS = ("cannot", "no_request", "policy")
"""Reasons for refusing a request: the model has no such edit, it is not about the picture, it is against the policy."""
REGIONS = ("person", "background", "face", "hair", "clothes", "lips", "eyes", "hands", "subject", "sky")
"""Words for places; a colour stands for the things that have it."""
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
    """One change to the picture."""

    action: str
    """Action, one of `ACTIONS`."""
    what: frozenset[str] = frozenset()
    """Keys of looks, a colour, or the replacement; empty if the action needs none."""
    on: frozenset[str] = frozenset()
    """Regions, or colours of things, to change; empty is everything."""
    keep: frozenset[str] = frozenset()
    """Regions to leave unchanged."""
    amount: Amount = ""

    @property
    def sentence(self) -> str:
        """Description of the edit for people."""
        on = f" {_listed(self.on)}" if self.on else ""
        what = _listed({_TITLES.get(each, each) for each in self.what}) if self.what else ""
        said = {
            "look": f"{what} on{on or ' everything'}",
            "recolour": f"colour{on or ' everything'} {what}",
            "blur": f"blur{on or ' everything'}",
            "replace": f"put {what} in place of{on or ' everything'}",
            "remove": f"remove{on or ' everything'}",
            "undo": "undo the last change",
            "stronger": f"stronger{on and ' on'}{on}",
            "weaker": f"weaker{on and ' on'}{on}",
            "reset": f"show{on or ' the picture'} as it is",
        }[self.action]
        return said + _AMOUNTS[self.amount] + (f", keep {_listed(self.keep)}" if self.keep else "")


@dataclass(frozen=True, slots=True)
class Reading:
    """Interpretation of a request."""

    edits: tuple[Edit, ...] = ()
    """Edits in order."""
    refusal: str | None = None
    """Reason for refusing, one of `REFUSALS`; None if not refused."""
    confidence: float = 1.0
    """Probability that the interpretation is right, 0 to 1."""

    def agrees(self, other: Reading) -> bool:
        """Return whether both mean the same, whatever their confidence."""
        return (self.edits, self.refusal) == (other.edits, other.refusal)

    @property
    def sentence(self) -> str:
        """Description of the interpretation for people."""
        if self.refusal is not None:
            return _REFUSED[self.refusal]
        return "; then ".join(edit.sentence for edit in self.edits)


def _listed(names: frozenset[str] | set[str]) -> str:
    *others, last = sorted(f"the {name}" if name in REGIONS else name for name in names)
    return f"{', '.join(others)} and {last}" if others else last
