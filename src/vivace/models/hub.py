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
import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlparse
from urllib.request import url2pathname

from vivace.errors import BackendUnavailableError, CapacityError, CheckpointError, UsageError, install_extra
from vivace.models.files import Places
from vivace.models.profile import FileSpec, Profile, Source
from vivace.redaction import redact_error

Progress = Callable[[str, int, int], None]
"""Called with what is going on, bytes done and bytes in all."""
BLOCK = 8 * 2**20


@dataclass(frozen=True, slots=True)
class Mirror:
    """Where files are fetched from in place of the hub itself."""

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

    def path(self, source: Source) -> Path | None:
        """Return where a mirror folder has a file, if it has it."""
        if self.folder is None:
            return None
        path = self.folder / source.repo / source.path if source.repo else self.folder / source.path
        return path if path.is_file() else None


@dataclass(frozen=True, slots=True)
class Item:
    """A file and what is to be done about it."""

    spec: FileSpec
    source: Source
    present: Path | None
    """Where it is already."""
    fetchable: bool
    size: int | None
    """Bytes, where known."""

    @property
    def state(self) -> str:
        """What people are told of it."""
        if self.present:
            return "there"
        if self.fetchable:
            return "to fetch"
        return (
            "not in the mirror" if self.source.repo else f"to get by hand: {self.spec.obtain or 'no source is known'}"
        )


@dataclass(frozen=True, slots=True)
class Plan:
    """What a pull would do."""

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
        """Where files go."""
        return self.places.folder if self.mirror.folder else self.places.cache

    @property
    def bytes(self) -> int:
        """What there is to fetch, as far as sizes are known."""
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
    """Look at what is there and what is missing of a model in a style.

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
        size = source.size
        if size is None and found is None and fetchable:
            size = at.stat().st_size if at else _ask(source, source_of_files.endpoint).size
        items.append(Item(spec, source, found, fetchable, size))
    return Plan(profile, tuple(items), source_of_files, places)


def _present(spec: FileSpec, source: Source, profile: Profile, places: Places) -> Path | None:
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
    expected = Expected(item.source.size, item.source.sha256)
    if to_do.mirror.folder:
        path = _copy(item, to_do, progress)
    else:
        told = _ask(item.source, to_do.mirror.endpoint)
        expected = Expected(expected.size or told.size, expected.sha256 or told.sha256)
        path = _download(item.source, to_do)
    found = verify(path, expected, item.source.name, progress)
    if item.source.sha256 is None:
        _lock(to_do.places.folder, to_do.profile, item.source, found)
    return path


# -- verifying ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Expected:
    """What is known of a file's content."""

    size: int | None = None
    sha256: str | None = None


def sha256_of(path: Path, progress: Progress = lambda _what, _done, _of: None) -> str:
    """Return the sha256 of a file."""
    digest, done, size = hashlib.sha256(), 0, path.stat().st_size
    with path.open("rb") as file:
        while block := file.read(BLOCK):
            digest.update(block)
            done += len(block)
            progress(f"checking {path.name}", done, size)
    return digest.hexdigest()


def verify(path: Path, expected: Expected, name: str, progress: Progress) -> Expected:
    """Return what a fetched file is, or remove it.

    Raises:
        CheckpointError: it is not what was expected.
    """
    size = path.stat().st_size
    problem = ""
    found = Expected(size)
    if expected.size is not None and size != expected.size:
        problem = f"{size} bytes, not {expected.size}"
    else:
        found = Expected(size, sha256_of(path, progress))
        if expected.sha256 is not None and found.sha256 != expected.sha256:
            problem = f"sha256 {str(found.sha256)[:12]}…, not {expected.sha256[:12]}…"
    if not problem:
        return found
    for copy in {path.resolve(), path}:  # in the hub's cache, a link and what it leads to
        copy.unlink(missing_ok=True)
    raise CheckpointError(f"{name} is not the file its profile names ({problem}); the copy at {path} was removed")


def lock_path(folder: Path, profile: Profile) -> Path:
    """Return the lock file of a profile: what was fetched of files that the profile has no sha256 of."""
    return folder / f"{profile.name}.lock.json"


def locked(folder: Path, profile: Profile, source: Source) -> Expected:
    """Return what is known of a file's content: from the profile, else from the lock file.

    Raises:
        CheckpointError: the lock file is damaged.
    """
    if source.sha256 is not None:
        return Expected(source.size, source.sha256)
    entry = _read_lock(lock_path(folder, profile)).get(source.name, {})
    return Expected(source.size or entry.get("size"), entry.get("sha256"))


def _read_lock(path: Path) -> dict[str, dict[str, Any]]:
    try:
        content: dict[str, dict[str, Any]] = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise CheckpointError(f"the lock file {path} is damaged ({error}); delete it and pull again") from error
    return content


def _lock(folder: Path, profile: Profile, source: Source, found: Expected) -> None:
    path = lock_path(folder, profile)
    content = {**_read_lock(path), source.name: {"size": found.size, "sha256": found.sha256}}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=2, sort_keys=True) + "\n", "utf-8")


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


def _ask(source: Source, endpoint: str | None) -> Expected:
    """Return what the hub says of a file."""
    try:
        from huggingface_hub import errors, get_hf_file_metadata, hf_hub_url
    except ModuleNotFoundError as error:
        raise _without_library(error) from error
    url = hf_hub_url(str(source.repo), source.path, endpoint=endpoint)
    try:
        metadata = get_hf_file_metadata(url, endpoint=endpoint)
    except (OSError, errors.HTTPError) as error:  # type: ignore[attr-defined] # of whichever client it uses
        raise _explain(error, source) from redact_error(error)
    etag = metadata.etag or ""
    return Expected(metadata.size, etag if len(etag) == 64 else None)  # small files have a git hash instead


def _download(source: Source, to_do: Plan) -> Path:
    """Download one file into the hub's cache."""
    from huggingface_hub import errors, hf_hub_download

    endpoint = to_do.mirror.endpoint
    try:
        path = hf_hub_download(str(source.repo), source.path, cache_dir=to_do.places.cache, endpoint=endpoint)
    except (OSError, errors.HTTPError) as error:  # type: ignore[attr-defined] # of whichever client it uses
        raise _explain(error, source) from redact_error(error)
    return Path(path)


def _without_library(error: ModuleNotFoundError) -> BackendUnavailableError:
    return BackendUnavailableError(f"fetching from the hub needs {error.name}; {install_extra('gpu')}")


def _explain(error: Exception, source: Source) -> Exception:
    from huggingface_hub import errors

    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return error
    if isinstance(error, errors.GatedRepoError):
        words = (
            f"{source.repo} is gated: accept its terms on its page on the hub, then log in with `hf auth login`, and "
            "pull again"
        )
    elif isinstance(error, errors.LocalEntryNotFoundError) or not isinstance(error, OSError):
        words = f"the hub cannot be reached for {source.name}; check the network and pull again, which goes on"
    elif isinstance(error, errors.RepositoryNotFoundError):
        words = f"the hub has no repository {source.repo}, or it is private and needs `hf auth login`"
    elif isinstance(error, errors.EntryNotFoundError):
        words = f"the hub has no file {source.path} in {source.repo} (404)"
    else:
        words = f"{source.name} could not be fetched ({error}); pull again, which goes on where it stopped"
    return CheckpointError(words)


def quiet_downloads() -> None:
    """Keep the progress bars of downloads out of logs."""
    if importlib.util.find_spec("huggingface_hub") is not None:
        from huggingface_hub.utils.tqdm import disable_progress_bars

        disable_progress_bars()
