"""Model families: their descriptions, available without importing their code.

A family is a package that loads profiles of its kind. The built-in ones are listed here; another distribution adds one
by an entry point of the group `vivace.families`, named like the family, which refers to a `Family`:

    [project.entry-points."vivace.families"]
    toy = "toy_models.family:FAMILY"

Its profiles are found by name if it names the package that holds them, and by path in any case.
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
    """Model family. Functions are given as `module:name`, and imported when needed."""

    name: str
    """Name in profiles, `family = "…"`."""
    runtimes: tuple[str, ...]
    """Runtimes of its networks, the fastest first."""
    load: str
    """Function `load(profile, *, runtime, threads, options) -> StreamModel`."""
    inspector: str | None = None
    """Function `inspector(profile) -> Inspector` for its files; None if their sha256 suffices."""
    profile: str = "vivace.checkpoints.profile:Profile"
    """Class of its profiles; a subclass if they have extra keys."""
    profiles: str | None = None
    """Package that holds its profiles as `NAME.toml`."""
    files: str | None = None
    """Package that holds those files of its profiles that have no repository."""
    controls: tuple[ControlSpec, ...] = ()
    """Controls of its models, including those fixed at loading; a loaded model lists the others in `spec.options`."""
    heavy: bool = True
    """True if a frame needs a GPU to be fast; benchmarks then use few frames."""
    install: str = ""
    """Remedy for people if an import is missing."""

    def __post_init__(self) -> None:
        """Check that controls have unique names; raises ValueError."""
        by_name(self.controls, f"the family {self.name!r}")

    @property
    def loading(self) -> tuple[ControlSpec, ...]:
        """Controls that are fixed when a model is loaded."""
        return tuple(control for control in self.controls if control.scope == "model")

    def settle(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Return a value for each control of `loading`: the given one, else its default.

        Raises:
            ControlError: a control that the family lacks, or an invalid value.
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
        """Return the function named by `what`; errors as for `plugins.function`."""
        return function(what, f"the model family {self.name!r}", self.install)


@cache
def families() -> Mapping[str, Family]:
    """Return all families by name, built-in ones first; one that cannot be imported is logged and skipped."""
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
        CheckpointError: it is not installed.
    """
    known = families()
    if name not in known:
        raise CheckpointError(
            f"profile {profile!r} is of family {name!r}, which is not installed here; known: {', '.join(known)}"
        )
    return known[name]
