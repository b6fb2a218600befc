"""Verification of a model's files against its profile and its network."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from vivace.checkpoints.files import Found, Lock, Places
from vivace.checkpoints.hub import verify
from vivace.checkpoints.profile import Profile
from vivace.errors import CheckpointError
from vivace.models.family import family_of
from vivace.models.loading import LoadOptions


@dataclass(frozen=True, slots=True)
class Verdict:
    """Result for one file."""

    role: str
    state: Literal["ok", "absent", "wrong"]
    """State of the file; `absent` is a file that the model can run without."""
    words: str


class Inspector(Protocol):
    """Inspector of a family's files."""

    def inspect(self, role: str, path: Path) -> str:
        """Open a file and return a description of its contents.

        Raises:
            CheckpointError: it is not what the role requires.
        """


def check_files(profile: Profile, style: str | None = None, places: Places | None = None) -> Iterator[Verdict]:
    """Yield the result for every file of a model in a style: presence, size, sha256, and what the network expects.

    Raises:
        UsageError: no such style.
        BackendUnavailableError: the network's library is not installed.
    """
    places = places or Places.of_this_machine()
    chosen = profile.style(style) if profile.styles or style else None
    inspector = _inspector(profile)
    needed = {spec.role for spec in profile.needed(chosen)}
    specs = [*profile.files.values(), *(chosen.files if chosen else ())]
    for spec in specs:
        found = places.find(spec, profile)
        if found is None:
            absent = spec.role not in needed
            words = "not there, and not needed" if absent else f"missing: {spec.name}"
            yield Verdict(spec.role, "absent" if absent else "wrong", words)
        else:
            yield _check(found, profile, places, inspector)


def weights_of(profile: Profile, options: LoadOptions, places: Places | None = None) -> dict[str, str]:
    """Return the identity of a loaded model's files by role: `sha256:…` if recorded, else their name."""
    if options.random_weights:
        return {"all": f"random, seed {options.seed}"}
    places = places or Places.of_this_machine()
    style = profile.style(options.style) if profile.styles else None
    recorded = Lock.read(places.folder, profile).sha256
    used = {}
    for spec in profile.needed(style, given=frozenset(options.files)):
        source = spec.source()
        sha256 = source.sha256 or recorded.get(source.name)
        used[spec.role] = source.name if sha256 is None else f"sha256:{sha256}"
    given = {role: Path(path).name for role, path in options.files.items()}
    return used | given | {f"lora {Path(path).name}": f"{weight:g}" for path, weight in options.loras.items()}


def _check(found: Found, profile: Profile, places: Places, inspector: Inspector | None) -> Verdict:
    role, source, path = found.spec.role, found.source, found.path
    notes = []
    try:
        sha256 = source.sha256 or Lock.read(places.folder, profile).sha256.get(source.name)
        if source.size or sha256:
            try:
                verify(path, source.size, sha256)
            except CheckpointError as error:
                return Verdict(role, "wrong", f"{error}; remove it and pull again")
        if sha256:
            notes.append("sha256 matches")
        if inspector is not None:
            notes.append(inspector.inspect(role, path))
    except (CheckpointError, OSError) as error:
        return Verdict(role, "wrong", str(error))
    return Verdict(role, "ok", f"{path}: {', '.join(notes)}")


def _inspector(profile: Profile) -> Inspector | None:
    """Return the family's inspector, if it has one."""
    family = family_of(profile.family, profile.name)
    if family.inspector is None:
        return None
    inspector: Inspector = family.function(family.inspector)(profile)
    return inspector
