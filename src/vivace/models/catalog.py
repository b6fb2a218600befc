"""Catalogue of models: profiles of installed families and of users."""

from __future__ import annotations

import logging
from importlib import resources
from pathlib import Path

from vivace.checkpoints.profile import Profile, read_profile
from vivace.checks import nearest
from vivace.errors import UnknownModelError
from vivace.models.family import families

_log = logging.getLogger(__name__)


def list_models() -> list[Profile]:
    """Return the profiles of all installed families, built-in ones first, by name."""
    found: dict[str, Profile] = {}
    for package in dict.fromkeys(family.profiles for family in families().values() if family.profiles is not None):
        for profile in _shipped(package):
            if profile.name in found:
                _log.warning(
                    "the model %s is there already; the one of the package %s is left out", profile.name, package
                )
            else:
                found[profile.name] = profile
    return list(found.values())


def _shipped(package: str) -> list[Profile]:
    """Return the profiles in a package; unreadable ones of other distributions are skipped."""
    try:
        folder = resources.files(package)
        entries = sorted((entry for entry in folder.iterdir() if entry.name.endswith(".toml")), key=lambda e: e.name)
        profiles = [read_profile(entry.read_text("utf-8"), entry.name, _class_of) for entry in entries]
        # An entry is a path; for a folder that is not a package, `files` would not be one.
        return [
            profile.model_copy(
                update={"path": _home(profile, str(Path(str(entry)).parent)), "called": Path(entry.name).stem}
            )
            for profile, entry in zip(profiles, entries, strict=True)
        ]
    except Exception as error:  # a third-party package may fail in any way; skip it
        if package.partition(".")[0] == "vivace":
            raise
        _log.warning("the profiles of %s cannot be read: %s", package, error)
        return []


def _class_of(name: object) -> type[Profile]:
    """Return the profile class of a family; for one not installed, the base class with the common keys."""
    family = families().get(name) if isinstance(name, str) else None
    found: type[Profile] = family.function(family.profile) if family else Profile
    return found


def _home(profile: Profile, folder: str) -> str:
    """Return the location of a profile's files that have no repository: in a package, or beside the profile."""
    family = families().get(profile.family)
    return folder if family is None or family.files is None else str(resources.files(family.files))


def describe(name: str) -> Profile:
    """Return the profile of a model, by name or from a profile's `.toml` file.

    Raises:
        UnknownModelError: there is none; the message names the nearest.
        UsageError: the file is not a profile; the message says where.
    """
    if name.endswith(".toml"):
        try:
            profile = read_profile(Path(name).read_text("utf-8"), name, _class_of)
            return profile.model_copy(update={"path": str(Path(name).parent), "called": name})
        except (OSError, UnicodeDecodeError) as error:
            raise UnknownModelError(f"the profile {name} cannot be read ({error})") from error
    profiles = {profile.name: profile for profile in list_models()}
    if name not in profiles:
        raise UnknownModelError(f"no model {name[:80]!r}; {nearest(name, profiles)} (see `vivace models list`)")
    return profiles[name]
