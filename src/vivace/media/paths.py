"""Paths and addresses as users write them; what the system cannot even look at is an error of ours, with its name."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from vivace.errors import MediaError
from vivace.redaction import redact_address

URL = re.compile(r"^(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://")
NUMBERED = re.compile(r"%0?\d*d")
"""Placeholder of the number in the name of numbered pictures, as in `frames/%05d.png`."""

_SHOWN_CHARS = 200


@contextmanager
def naming(spec: str | Path, kind: type[MediaError]) -> Iterator[Path]:
    """Give the path of `spec`, `~` filled in, and turn what the system says of it into an error of `kind`.

    Raises:
        MediaError: of `kind`: a name that is too long or holds a NUL, a folder that may not be looked into, `~` of
            nobody.
    """
    shown = redact_address(str(spec))  # before it is cut, or half a password may be left
    if len(shown) > _SHOWN_CHARS:
        shown = f"{shown[:_SHOWN_CHARS]}…"
    if "\0" in str(spec):
        raise kind(f"{shown!r}: a name cannot hold a NUL character")
    try:
        path = Path(spec).expanduser()
    except RuntimeError as error:
        raise kind(f"{shown}: {error}") from error
    try:
        yield path
    except OSError as error:
        raise kind(f"{shown}: cannot be opened ({error.strerror})") from error


def is_same_file(one: Path, other: Path) -> bool:
    """Tell whether two paths lead to one file that is there."""
    return one.exists() and other.exists() and one.samefile(other)


def numbered_name(paths: Sequence[Path]) -> Path | None:
    """Return the numbered name, such as `frames/%05d.png`, of several files numbered one after the other, else None."""
    if len(paths) < 2 or (found := re.fullmatch(r"(.*?)(\d+)(\D*)", paths[0].stem)) is None:
        return None
    before, digits, after = found.groups()
    place = f"%0{len(digits)}d" if digits.startswith("0") and len(digits) > 1 else "%d"
    pattern = paths[0].with_name(f"{before}{place}{after}{paths[0].suffix}")
    names = [f"{before}{int(digits) + step:0{len(digits)}d}{after}{paths[0].suffix}" for step in range(len(paths))]
    together = all(path.parent == pattern.parent for path in paths)
    return pattern if together and [path.name for path in paths] == names else None


def is_numbered_as(pattern: Path, path: Path) -> bool:
    """Tell whether `path` is one of the numbered pictures of `pattern`, such as `frames/%05d.png`."""
    before, after = NUMBERED.split(pattern.name, maxsplit=1)
    name = re.escape(before) + r"\d+" + re.escape(after)
    return re.fullmatch(name, path.name) is not None and path.parent.resolve() == pattern.parent.resolve()
