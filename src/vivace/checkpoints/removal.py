"""Removing a model's fetched files from this machine, but for those that another model needs that is here too."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from vivace.checkpoints.files import Lock, Places
from vivace.checkpoints.profile import FileSpec, Profile
from vivace.errors import CheckpointError


@dataclass(frozen=True, slots=True)
class Removal:
    """The files that a removal would delete, and those it would keep."""

    files: tuple[Path, ...]
    kept: dict[Path, str]
    """Files that stay, with the name of the model that needs them."""
    lock: Path

    @property
    def bytes(self) -> int:
        """Size of the files to delete, bytes."""
        return sum(path.stat().st_size for path in self.files)


def plan_removal(profile: Profile, others: Iterable[Profile], places: Places | None = None) -> Removal:
    """Return what can be removed of a model: all forms of its files, in all its styles, that were fetched.

    Args:
        profile: the model.
        others: models whose files are kept where all of theirs are here.
        places: this machine's by default.

    Raises:
        CheckpointError: a lock file is damaged.
    """
    places = places or Places.of_this_machine()
    needed = {
        path: other.name
        for other in others
        if other.name != profile.name and _is_complete(other, places)
        for path in _fetched(other, places)
    }
    found = list(dict.fromkeys(_fetched(profile, places)))
    return Removal(
        tuple(path for path in found if path not in needed),
        {path: needed[path] for path in found if path in needed},
        Lock.path(places.folder, profile),
    )


def remove(removal: Removal) -> None:
    """Delete the files of a removal, their record, and folders that are empty then.

    Raises:
        CheckpointError: a file cannot be deleted; those before it are gone.
    """
    for path in removal.files:
        try:
            _delete(path)
        except OSError as error:
            raise CheckpointError(f"{path} cannot be deleted ({error.strerror}); delete it by hand") from error
    if not removal.kept:
        removal.lock.unlink(missing_ok=True)


def _delete(path: Path) -> None:
    """Delete a file; in the hub's cache the link, and its blob unless another link leads there.

    A link of the user's own goes alone: what it leads to was not fetched.
    """
    target = path.resolve()
    is_blob = path.is_symlink() and target.parent.name == "blobs"
    path.unlink()
    if is_blob and not any(link.resolve() == target for link in _links_beside(target)):
        target.unlink(missing_ok=True)
    for folder in list(path.parents)[:3]:
        with suppress(OSError):  # not empty
            folder.rmdir()


def _links_beside(blob: Path) -> Iterator[Path]:
    """Yield the links of the repository in the hub's cache that a blob belongs to."""
    snapshots = blob.parents[1] / "snapshots"
    return (link for link in snapshots.rglob("*") if link.is_symlink())


def _files(profile: Profile) -> list[FileSpec]:
    return [*profile.files.values(), *(spec for style in profile.styles.values() for spec in style.files)]


def _fetched(profile: Profile, places: Places) -> Iterator[Path]:
    for spec in _files(profile):
        for source in spec.sources:
            if source.repo is not None:
                yield from (path for path in places.candidates(source, profile) if path.is_file())


def _is_complete(profile: Profile, places: Places) -> bool:
    """Tell whether a model could be loaded: all that it needs in its default style is here."""
    style = profile.style(None) if profile.styles else None
    found = [places.find(spec, profile) for spec in profile.needed(style)]
    return all(each is not None and each.source.size in (None, each.path.stat().st_size) for each in found)
