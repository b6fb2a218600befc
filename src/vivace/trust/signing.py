"""Content credentials of files: in the file, or beside it where its kind cannot hold any."""

from __future__ import annotations

import io
import shutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, cast

from vivace.errors import SinkWriteError
from vivace.trust.keys import SigningKey
from vivace.trust.library import context
from vivace.trust.manifest import PARENT, Work, manifest

if TYPE_CHECKING:
    from c2pa import Builder, Signer

    from vivace.media.sink import Sink
    from vivace.media.source import Source

EMBEDDING = (".mp4", ".m4v", ".mov", ".avi", ".gif", ".jpg", ".jpeg", ".png", ".webp", ".avif")
"""Kinds of file that hold their credentials."""

SAID = 3
"""Notes that are said; segments of a film may give hundreds."""

_UNKNOWN = "bin"
"""A kind of file that the library takes as bytes."""

FileOpener = Callable[[Path], BinaryIO]


def sidecar_of(path: Path) -> Path:
    """Return where the credentials of a file lie that cannot hold them."""
    return path.with_name(f"{path.name}.c2pa")


def sign_file(
    path: Path,
    work: Work,
    key: SigningKey,
    *,
    parent: Path | None = None,
    open_file: FileOpener = lambda path: cast(BinaryIO, path.open("w+b")),
) -> list[str]:
    """Sign a complete file, at its place; return notes for people.

    The file is written anew beside itself and takes its place when that is whole: it is never half signed.

    Args:
        path: the file.
        work: what it is.
        key: who signs.
        parent: the file it was made of, whose own credentials are kept; one that the library cannot read is only named.
        open_file: opens for writing and reading (tests inject failing disks).

    Raises:
        SinkWriteError: it could not be signed; it is there as it was.
    """
    from c2pa import C2paError

    suffix = path.suffix.lower()
    embedded = suffix in EMBEDDING
    target = path if embedded else sidecar_of(path)
    partial = target.with_name(f"{target.name}.signing")
    failures: list[Exception] = []
    notes: list[str] = []

    try:
        builder = _builder(work, path, parent, notes)
        signer = _signer(key, failures)
        with path.open("rb") as source, open_file(partial) as signed:
            if embedded:
                builder.sign(signer, suffix[1:], source, _Watched(signed, failures))
            else:
                builder.set_no_embed()
                signed.write(builder.sign(signer, suffix[1:] or _UNKNOWN, source, _Nowhere()))
        shutil.copymode(path, partial)
        partial.replace(target)
    except (C2paError, OSError) as error:
        reason = failures[0] if failures else error
        words = getattr(reason, "strerror", None) or reason
        raise SinkWriteError(f"{path}: is complete, but not signed ({words})") from error
    finally:
        partial.unlink(missing_ok=True)
    if not embedded:
        notes.append(
            f"{suffix} files hold no credentials; they are beside each, as those of {path.name} in {target.name}"
        )
    return notes


@dataclass(frozen=True, slots=True)
class Credentials:
    """Key and claims with which a run signs its files."""

    key: SigningKey
    work: Work
    without: str = "--no-sign"
    """Flag that turns signing off, for messages."""

    def sign(self, sinks: Iterable[Sink], source: Source, say: Callable[[str], object]) -> None:
        """Sign the files of closed sinks, and say so in lines for people.

        Of pictures that are each by themselves, each has its own of the source as parent; otherwise the source's file
        is, where it has one.

        Raises:
            SinkWriteError: one could not be signed; all are there, and the others are signed.
        """
        signed: list[Path] = []
        notes: list[str] = []
        failure: SinkWriteError | None = None
        for sink in sinks:
            for path, index in sink.written().items():
                files = source.files[index : index + 1] if sink.stills else source.files
                try:
                    notes += sign_file(path, self.work, self.key, parent=files[0] if len(files) == 1 else None)
                except SinkWriteError as error:
                    failure = failure or error
                else:
                    signed.append(path)
        told = list(dict.fromkeys(notes))
        for note in told[:SAID]:
            say(f"note: {note}")
        if len(told) > SAID:
            say(f"note: and {len(told) - SAID} more like these")
        if signed:
            what = str(signed[0]) if len(signed) == 1 else f"{len(signed)} files"
            vouched = ", which nobody vouches for" if self.key.made_here else ""
            say(f"signed: {what}, as {self.key.name}{vouched}; {self.without} writes without content credentials")
        if failure is not None:
            raise failure


def _signer(key: SigningKey, failures: list[Exception]) -> Signer:
    """Return what the library signs with; what a command fails with is noted. Raises C2paError."""
    from c2pa import C2paSignerInfo, C2paSigningAlg, Signer

    algorithm = C2paSigningAlg[key.algorithm]
    if key.sign is None:
        return Signer.from_info(C2paSignerInfo(algorithm, key.chain_pem, key.private_pem, None))
    by_command = key.sign

    def sign(data: bytes) -> bytes:
        try:
            return by_command(data)
        except SinkWriteError as error:  # through the library it would lose its words
            failures.append(error)
            return b""

    # Credentials become 10 kB larger than with a key that the library knows: it leaves room for any signature.
    return Signer.from_callback(sign, algorithm, key.chain_pem.decode())


def _builder(work: Work, path: Path, parent: Path | None, notes: list[str]) -> Builder:
    """Return what will sign a file, its source as ingredient. Raises C2paError."""
    from c2pa import Builder, C2paError

    if parent is not None and work.created is None:
        builder = Builder(manifest(work, path.name, parent_given=True), context())
        named = {"title": parent.name, "relationship": "parentOf", "label": PARENT}
        try:
            with parent.open("rb") as file:
                builder.add_ingredient(named, parent.suffix.lower()[1:] or _UNKNOWN, file)
            return builder
        except (C2paError, OSError) as error:
            notes.append(f"the credentials of {parent.name} cannot be read ({error}), so they are not kept")
    return Builder(manifest(work, path.name), context())


class _Watched:
    """A file that notes what its writes fail with; the library only says that one has failed."""

    def __init__(self, file: BinaryIO, failures: list[Exception]) -> None:
        self._file = file
        self._failures = failures

    def write(self, data: bytes) -> int:
        try:
            return self._file.write(data)
        except OSError as error:
            self._failures.append(error)
            raise

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


class _Nowhere(io.RawIOBase):
    """Takes the copy that the library makes of a file even where credentials go beside it."""

    def __init__(self) -> None:
        super().__init__()
        self._at = self._end = 0

    def readable(self) -> bool:
        return True

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self._at += len(data)
        self._end = max(self._end, self._at)
        return len(data)

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._at = offset + (0, self._at, self._end)[whence]
        return self._at

    def tell(self) -> int:
        return self._at
