"""Fetching a model's files: from the Hugging Face hub, or from a mirror of it.

What comes from the hub goes into its own cache, where other programs find it too and an interrupted download goes on.
What comes from a mirror folder (`file:///…`, laid out as a folder of models) is copied into this machine's folder of
models: a mirror may be a stick or a share that is gone tomorrow, and the copy is what was checked.

Size and sha256 of every file fetched are held against the profile; where the profile knows none, against what the hub
says, and then written to a lock file in the folder of models, so that a later check has something to hold it against.
"""

from __future__ import annotations

import errno
import hashlib
import importlib.util
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlparse
from urllib.request import url2pathname

from vivace.checkpoints.files import Lock, Places
from vivace.checkpoints.profile import FileSpec, FileVariant, Profile
from vivace.errors import BackendUnavailableError, CapacityError, CheckpointError, UsageError, install_extra
from vivace.redaction import redact_error

if TYPE_CHECKING:
    from huggingface_hub import HfFileMetadata

Progress = Callable[[str, int, int], None]
"""Called with what is going on, bytes done and bytes in all."""
BLOCK = 8 * 2**20


@dataclass(frozen=True, slots=True)
class Mirror:
    """The place that files are fetched from instead of the hub."""

    folder: Path | None = None
    endpoint: str | None = None
    """Address of another hub."""

    @classmethod
    def parse(cls, text: str | None) -> Mirror:
        """Read `file:///folder`, a folder's path, or the `https://…` address of another hub; None is the hub itself.

        Raises:
            UsageError: another kind of address, or no such folder.
        """
        if text is None:
            return cls()
        url = urlparse(text)
        if url.scheme in ("http", "https"):
            return cls(endpoint=text.rstrip("/"))
        if url.scheme == "file" and url.netloc in ("", "localhost"):
            folder = Path(url2pathname(unquote(url.path)) if "%" in url.path else url.path)
        elif "://" in text:
            raise UsageError(f"a mirror is file:///folder or https://host, not {text!r}")
        else:
            folder = Path(text)
        if not folder.is_dir():
            raise UsageError(f"the mirror {text} is no folder")
        return cls(folder=folder)

    def path(self, source: FileVariant) -> Path | None:
        """Return where a mirror folder has a file, if it has it."""
        if self.folder is None:
            return None
        path = self.folder / source.repo / source.path if source.repo else self.folder / source.path
        return path if path.is_file() else None


@dataclass(frozen=True, slots=True)
class Item:
    """A file and what is to be done about it."""

    spec: FileSpec
    source: FileVariant
    present: Path | None
    """Path of the file, where it is here already."""
    fetchable: bool
    size: int | None
    """Bytes, where known."""

    @property
    def state(self) -> str:
        """State of the file, in words."""
        if self.present:
            return "there"
        if self.fetchable:
            return "to fetch"
        return (
            "not in the mirror" if self.source.repo else f"to get by hand: {self.spec.obtain or 'no source is known'}"
        )


@dataclass(frozen=True, slots=True)
class Plan:
    """The files that a pull would fetch."""

    profile: Profile
    items: tuple[Item, ...]
    mirror: Mirror
    places: Places

    @property
    def to_fetch(self) -> list[Item]:
        """Files that are not there and can be had."""
        return [item for item in self.items if item.present is None and item.fetchable]

    @property
    def out_of_reach(self) -> list[Item]:
        """Files that are not there and cannot be had: the mirror lacks them, or no program may fetch them."""
        return [item for item in self.items if item.present is None and not item.fetchable]

    @property
    def target(self) -> Path:
        """Folder that files are written to."""
        return self.places.folder if self.mirror.folder else self.places.cache

    @property
    def bytes(self) -> int:
        """Bytes to fetch, as far as sizes are known."""
        return sum(item.size or 0 for item in self.to_fetch)

    @property
    def free(self) -> int:
        """Bytes free where files go."""
        place = self.target
        while not place.exists():
            place = place.parent
        return shutil.disk_usage(place).free


def plan(
    profile: Profile,
    *,
    style: str | None = None,
    variant: str | None = None,
    optional: bool = False,
    mirror: str | None = None,
    places: Places | None = None,
) -> Plan:
    """Return the files that a model needs in a style, those that are here and those to fetch.

    Args:
        profile: the model.
        style: one of its styles; the default one if left out.
        variant: form of the files to get, where they have it, e.g. `fp16`.
        optional: also what the model runs without.
        mirror: see `Mirror.parse`.
        places: this machine's by default.

    Raises:
        UsageError: no such style, variant or mirror.
        CheckpointError: the hub cannot be asked how large a file is.
    """
    places = places or Places.of_this_machine()
    source_of_files = Mirror.parse(mirror)
    chosen = profile.style(style) if profile.styles or style else None
    specs = profile.needed(chosen) + [spec for spec in profile.files.values() if optional and spec.optional]
    known = {name for spec in specs for name, source in spec.variants.items() if source.repo}
    if variant is not None and variant not in known:
        raise UsageError(
            f"model {profile.name!r} has no variant {variant!r}; known: {', '.join(sorted(known)) or 'none'}"
        )
    items = []
    for spec in specs:
        source = spec.source(variant)
        found = _present(spec, source, profile, places)
        at = source_of_files.path(source)
        fetchable = at is not None if source_of_files.folder else source.repo is not None
        size = found.stat().st_size if found else source.size
        if size is None and fetchable:
            size = at.stat().st_size if at else _ask(source, profile, places, source_of_files.endpoint).size
        items.append(Item(spec, source, found, fetchable, size))
    return Plan(profile, tuple(items), source_of_files, places)


def _present(spec: FileSpec, source: FileVariant, profile: Profile, places: Places) -> Path | None:
    """Return where a file is, in the form asked for or any other; one of the wrong size is not there."""
    for one in (source, *spec.sources):
        for path in places.candidates(one, profile):
            if path.is_file() and one.size in (None, path.stat().st_size):
                return path
    return None


def pull(to_do: Plan, progress: Progress = lambda _what, _done, _of: None) -> list[Path]:
    """Fetch and verify what a plan says, one file after the other; return where they are.

    Raises:
        CapacityError: not enough room on the disk; nothing was fetched.
        CheckpointError: a file that cannot be had, or is not what it should be; a bad copy is removed.
        BackendUnavailableError: the hub's library is not installed.
    """
    need, free = to_do.bytes, to_do.free
    if need > free:
        raise CapacityError(
            f"{to_do.target} has {free / 1e9:.1f} GB free and {need / 1e9:.1f} GB are to come; free some, or set "
            "VIVACE_MODELS_DIR (mirrors) or HF_HOME (the hub) to a larger disk"
        )
    try:
        return [_fetch(item, to_do, progress) for item in to_do.to_fetch]
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise CapacityError(f"{to_do.target} is full; free some space and pull again, which goes on") from error
        raise


def _fetch(item: Item, to_do: Plan, progress: Progress) -> Path:
    source, folder = item.source, to_do.places.folder
    lock = Lock.read(folder, to_do.profile)
    recorded = lock.sha256.get(source.name)
    sha256 = source.sha256 or recorded
    if to_do.mirror.folder:
        path = _copy(item, to_do, progress)
    else:
        told = _ask(source, to_do.profile, to_do.places, to_do.mirror.endpoint)
        path = _download(source, told.commit_hash, to_do)
        if told.commit_hash is not None and source.repo not in to_do.profile.revisions:
            lock.revisions[str(source.repo)] = told.commit_hash
        if told.etag is not None and len(told.etag) == 64:  # small files have a git hash instead
            sha256 = sha256 or told.etag
    try:
        found = verify(path, source.size, sha256, progress)
    except CheckpointError as error:
        for copy in {path.resolve(), path}:  # in the hub's cache, a link and what it leads to
            copy.unlink(missing_ok=True)
        what = "its profile names"
        if source.sha256 is None and recorded is not None:
            what = f"that was pulled first; to take another, delete {Lock.path(folder, to_do.profile)}"
        raise CheckpointError(f"{source.name} is not the file {what}: {error}; the copy was removed") from error
    if source.sha256 is None:
        lock.sha256[source.name] = found
    if lock != Lock.read(folder, to_do.profile):
        lock.write(folder, to_do.profile)
    return path


def verify(
    path: Path, size: int | None, sha256: str | None, progress: Progress = lambda _what, _done, _of: None
) -> str:
    """Return the sha256 of a file, which has the size and the sha256 it should have, where they are known.

    Raises:
        CheckpointError: it has another.
    """
    digest, done, of = hashlib.sha256(), 0, path.stat().st_size
    if size not in (None, of):
        raise CheckpointError(f"{path} has {of} bytes, not {size}")
    with path.open("rb") as file:
        while block := file.read(BLOCK):
            digest.update(block)
            done += len(block)
            progress(f"checking {path.name}", done, of)
    found = digest.hexdigest()
    if sha256 not in (None, found):
        raise CheckpointError(f"{path} has sha256 {found[:12]}…, not {str(sha256)[:12]}…")
    return found


# -- mirrors -----------------------------------------------------------------------------------------------------------


def _copy(item: Item, to_do: Plan, progress: Progress) -> Path:
    origin = to_do.mirror.path(item.source)
    if origin is None:
        raise CheckpointError(f"{item.source.name} has vanished from the mirror {to_do.mirror.folder}")
    target = to_do.places.folder / (item.source.repo or "") / item.source.path
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f"{target.name}.part")
    done, size = 0, origin.stat().st_size
    with origin.open("rb") as reader, part.open("wb") as writer:
        while block := reader.read(BLOCK):
            writer.write(block)
            done += len(block)
            progress(f"copying {target.name}", done, size)
    return part.replace(target)


# -- the hub -----------------------------------------------------------------------------------------------------------


def _ask(source: FileVariant, profile: Profile, places: Places, endpoint: str | None) -> HfFileMetadata:
    """Return what the hub says of a file: commit, size and a tag, which is the sha256 of a large one."""
    with _explained(source):
        from huggingface_hub import get_hf_file_metadata, hf_hub_url

        repo = str(source.repo)
        url = hf_hub_url(repo, source.path, revision=places.revision(repo, profile), endpoint=endpoint)
        told: HfFileMetadata = get_hf_file_metadata(url, endpoint=endpoint)
    return told


def _download(source: FileVariant, revision: str | None, to_do: Plan) -> Path:
    """Download one file into the hub's cache."""
    cache, endpoint = to_do.places.cache, to_do.mirror.endpoint
    with _explained(source):
        from huggingface_hub import hf_hub_download

        path = hf_hub_download(str(source.repo), source.path, revision=revision, cache_dir=cache, endpoint=endpoint)
    return Path(path)


@contextmanager
def _explained(source: FileVariant) -> Iterator[None]:
    """Tell in words what keeps a file from being fetched; a full disk is left to `pull`."""
    try:
        from huggingface_hub import errors
    except ModuleNotFoundError as error:
        words = f"fetching from the hub needs {error.name}; {install_extra('gpu')}"
        raise BackendUnavailableError(words) from error
    try:
        yield
    except (OSError, errors.HTTPError) as error:  # type: ignore[attr-defined] # of whichever client it uses
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise
        offline = f"the hub cannot be reached for {source.name}; check the network and pull again, which goes on"
        known: dict[type[Exception], str] = {
            errors.GatedRepoError: f"{source.repo} is gated: accept its terms on its page on the hub, then log in with "
            "`hf auth login`, and pull again",
            errors.RepositoryNotFoundError: f"the hub has no repository {source.repo}, or it is private and needs "
            "`hf auth login`",
            errors.RevisionNotFoundError: f"the hub has {source.repo} no longer at the commit that the profile or its "
            "lock file names; change it there",
            errors.RemoteEntryNotFoundError: f"the hub has no file {source.path} in {source.repo} (404)",
            errors.LocalEntryNotFoundError: offline,
            OSError: f"{source.name} could not be fetched ({error}); pull again, which goes on where it stopped",
        }
        words = next((words for kind, words in known.items() if isinstance(error, kind)), offline)
        raise CheckpointError(words) from redact_error(error)


def quiet_downloads() -> None:
    """Keep the progress bars of downloads out of logs."""
    if importlib.util.find_spec("huggingface_hub") is not None:
        from huggingface_hub.utils.tqdm import disable_progress_bars

        disable_progress_bars()
