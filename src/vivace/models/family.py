"""Families of models: what each brings, known without importing any of it.

A family is a package that loads profiles of its kind. Ours are listed here; another distribution brings one by an entry
point of the group `vivace.families`, named like the family, which leads to a `Family`:

    [project.entry-points."vivace.families"]
    toy = "toy_models.family:FAMILY"

Its profiles are found by name where it says which package they lie in, and by path in any case.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from typing import Any

from vivace.errors import CheckpointError
from vivace.models.controls import ControlSpec, by_name, unknown
from vivace.plugins import function, plugins

ENTRY_POINTS = "vivace.families"
BUILT_IN = (
    "vivace.models.mini.family:FAMILY",
    "vivace.models.mini2.family:FAMILY",
    "vivace.models.live2diff.family:FAMILY",
    "vivace.models.wan.family:FAMILY",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """A family of models. Functions are named as `module:name`, and imported when they are needed."""

    name: str
    """What profiles call it, `family = "…"`."""
    runtimes: tuple[str, ...]
    """How its networks can be run, the fastest first."""
    load: str
    """`load(profile, *, runtime, threads, options) -> StreamModel`."""
    inspector: str | None = None
    """`inspector(profile) -> Inspector`, which looks into its files; None where their sha256 says all."""
    profile: str = "vivace.checkpoints.profile:Profile"
    """Class of its profiles; one of its own where they have keys that others have not."""
    profiles: str | None = None
    """Package in which its profiles lie as `NAME.toml`."""
    files: str | None = None
    """Package in which files of these profiles lie that have no repository."""
    controls: tuple[ControlSpec, ...] = ()
    """What its models may be steered by, those that are settled when one is loaded among them; what a loaded model has
    of the others is its `spec.options`."""
    heavy: bool = True
    """Whether a frame takes a GPU's time: a benchmark then makes do with few frames."""
    install: str = ""
    """What to install when something that it imports is missing, for people."""

    def __post_init__(self) -> None:
        """Check that controls can be told apart; raises ValueError."""
        by_name(self.controls, f"the family {self.name!r}")

    @property
    def loading(self) -> tuple[ControlSpec, ...]:
        """The controls that are settled when a model is loaded."""
        return tuple(control for control in self.controls if control.scope == "model")

    def settle(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Return a value for each control of `loading`: what is given, else its default.

        Raises:
            ControlError: one that the family does not have, or a value that it cannot take.
        """
        known = {control.name: control for control in self.loading}
        for name in values:
            if name not in known:
                raise unknown(name, f"the family {self.name!r}", known)
        return {
            name: control.default if values.get(name) is None else control.check(values[name])
            for name, control in known.items()
        }

    def function(self, what: str) -> Any:
        """Return the function that `what` names; errors are those of `plugins.function`."""
        return function(what, f"the model family {self.name!r}", self.install)


@cache
def families() -> Mapping[str, Family]:
    """Return all families by name, ours first; one that cannot be imported is left out, with a warning in the log."""
    found: dict[str, Family] = {}
    for reference in BUILT_IN:
        module, _, name = reference.partition(":")
        family: Family = getattr(import_module(module), name)
        found[family.name] = family
    for family in plugins(ENTRY_POINTS, Family, "model family", found):
        found[family.name] = family
    return found


def family_of(name: str, profile: str) -> Family:
    """Return the family that a profile names.

    Raises:
        CheckpointError: it is not here.
    """
    known = families()
    if name not in known:
        raise CheckpointError(
            f"profile {profile!r} is of family {name!r}, which is not installed here; known: {', '.join(known)}"
        )
    return known[name]
