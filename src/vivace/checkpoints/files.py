"""Locations of a model's files on this machine.

A file is looked for under its role in what the user named, then in a folder of models, then in the cache of the
Hugging Face hub, which other programs share. A folder of models has the hub's layout, `owner/name/path`; what has no
repository lies at its path. Nothing is opened here and nothing is downloaded.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Self

from pydantic import BaseModel, ConfigDict

from vivace.checkpoints.profile import FileSpec, FileVariant, Profile, Style
from vivace.errors import CheckpointError, UsageError


def models_folder(environ: Mapping[str, str] = os.environ) -> Path:
    """Return the folder of models: `VIVACE_MODELS_DIR`, or one in the user's cache."""
    if chosen := environ.get("VIVACE_MODELS_DIR", "").strip():
        return Path(chosen).expanduser()
    return _user_cache(environ) / "vivace" / "models"


def hub_cache(environ: Mapping[str, str] = os.environ) -> Path:
    """Return the cache of the Hugging Face hub, by the same rules as its own library."""
    if chosen := environ.get("HF_HUB_CACHE", "").strip():
        return Path(chosen).expanduser()
    home = environ.get("HF_HOME", "").strip()
    return (Path(home).expanduser() if home else _user_cache(environ) / "huggingface") / "hub"


def _user_cache(environ: Mapping[str, str]) -> Path:
    return Path(environ.get("XDG_CACHE_HOME", "").strip() or Path.home() / ".cache")


class Lock(BaseModel):
    """Revisions and hashes that a profile leaves open, recorded when it is pulled: `NAME.lock.json` beside them."""

    model_config = ConfigDict(extra="forbid")

    revisions: dict[str, str] = {}
    """Commits, by repository."""
    sha256: dict[str, str] = {}
    """Hashes, by the file's published name."""

    @classmethod
    def read(cls, folder: Path, profile: Profile) -> Self:
        """Return the record, which may be empty.

        Raises:
            CheckpointError: the lock file is damaged.
        """
        path = cls.path(folder, profile)
        try:
            return cls.model_validate_json(path.read_bytes())
        except FileNotFoundError:
            return cls()
        except (OSError, ValueError) as error:
            raise CheckpointError(f"the lock file {path} is damaged; delete it and pull again") from error

    def write(self, folder: Path, profile: Profile) -> None:
        """Record it."""
        folder.mkdir(parents=True, exist_ok=True)
        self.path(folder, profile).write_text(self.model_dump_json(indent=2) + "\n", "utf-8")

    @staticmethod
    def path(folder: Path, profile: Profile) -> Path:
        """Return the path of the lock file."""
        return folder / f"{profile.name}.lock.json"


@dataclass(frozen=True, slots=True)
class Found:
    """A file that is there."""

    spec: FileSpec
    source: FileVariant
    """The form that was found."""
    path: Path


@dataclass(frozen=True, slots=True)
class Places:
    """Folders in which files are looked for."""

    folder: Path
    """Folder of models."""
    cache: Path
    """Cache of the hub."""

    @classmethod
    def of_this_machine(cls) -> Places:
        """Return the places the environment names."""
        return cls(models_folder(), hub_cache())

    def find(self, spec: FileSpec, profile: Profile) -> Found | None:
        """Return a file in the first of its forms that is there, the usual one before the others."""
        for source in spec.sources:
            for path in self.candidates(source, profile):
                if path.is_file():
                    return Found(spec, source, path)
        return None

    def candidates(self, source: FileVariant, profile: Profile) -> list[Path]:
        """Return the paths at which a form of a file would be found, best first."""
        if source.repo is None:
            return [Path(profile.path) / source.path, self.folder / source.path]
        at = self.folder / source.repo / source.path
        if at.is_file() or find_spec("huggingface_hub") is None:
            return [at]
        from huggingface_hub import try_to_load_from_cache

        cached = try_to_load_from_cache(source.repo, source.path, self.cache, self.revision(source.repo, profile))
        return [at, *([Path(cached)] if isinstance(cached, str) else [])]

    def revision(self, repo: str, profile: Profile) -> str | None:
        """Return the commit of a repository that files are taken from; None is the newest, as nothing was pulled yet.

        Raises:
            CheckpointError: the lock file is damaged.
        """
        return profile.revisions.get(repo) or Lock.read(self.folder, profile).revisions.get(repo)


def locate(
    profile: Profile,
    style: Style | None = None,
    *,
    given: Mapping[str, str] | None = None,
    also: Iterable[str] = (),
    places: Places | None = None,
) -> dict[str, Path]:
    """Return the path of every file a model needs in a style, by role.

    Args:
        profile: the model.
        style: one of its styles.
        given: paths by role that go before everything else.
        also: roles of optional files that are needed this time.
        places: where to look; this machine's places by default.

    Raises:
        CheckpointError: files are missing; the message names each, and how to get them.
        UsageError: a role in `given` that the model does not have.
    """
    places = places or Places.of_this_machine()
    given = given or {}
    known = {*profile.files, *(spec.role for spec in (style.files if style else ())), "base"}
    if unknown := given.keys() - known:
        raise UsageError(f"model {profile.name!r} has no file {min(unknown)!r}; known: {', '.join(sorted(known))}")
    paths = {role: Path(path) for role, path in given.items()}
    for role, path in paths.items():
        if not path.exists():
            raise CheckpointError(f"{path}, given as {role}, does not exist")
    missing = []
    wanted = [*profile.needed(style, given=frozenset(given))]
    wanted += [profile.files[role] for role in also if role not in given]
    for spec in wanted:
        found = places.find(spec, profile)
        if found is None:
            missing.append(spec)
        else:
            paths[spec.role] = found.path
    if missing:
        raise CheckpointError(_how_to_get(profile, style, missing, places))
    return paths


def _how_to_get(profile: Profile, style: Style | None, missing: list[FileSpec], places: Places) -> str:
    lines = [f"{len(missing)} files of model {profile.name!r} are missing:"]
    lines += [f"  {spec.role}: {spec.name}" + (f" ({spec.obtain})" if spec.obtain else "") for spec in missing]
    if any(spec.repo for spec in missing):
        more = "" if style is None or style is profile.style() else f" --style {style.name}"
        more += " --all" if any(spec.optional for spec in missing) else ""
        lines.append(f"fetch them with `vivace models pull {profile.called}{more}`")
    if any(not spec.repo for spec in missing):
        lines.append(f"what has no owner/name belongs into {places.folder}, under the path shown")
    return "\n".join(lines)
