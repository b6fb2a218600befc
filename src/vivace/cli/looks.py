"""`vivace looks`: the named looks, and looks as small files: made, looked into, mixed."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import App, Parameter

from vivace.errors import UsageError

if TYPE_CHECKING:
    from vivace.models.mini2.mixture import Mixture
    from vivace.models.mini2.saved import Look

LOOK = Parameter(help="A saved look, `NAME.look`, or words: a name from `vivace looks list`, or a mixture of some.")
TO = Parameter(help="The file to write, `NAME.look`.")
REPLACE = Parameter(help="Write over a file that is there.")
TITLE = Parameter(help="What people will see; the words themselves if not given.")

EXAMPLES = """\
Examples:

- `vivace looks save dusk.look "half oil, half golden hour" --title "dusk in oil"`
- `vivace looks save mine.look --picture painting.jpg`
- `vivace looks mix both.look dusk.look mine.look --shares 0.7,0.3`
- `vivace run camera --model mini2 --look both.look`
"""


def looks_app() -> App:
    """Return the `looks` command."""
    looks = App(
        name="looks",
        help="Looks of `mini2`: list the named ones, save and mix your own.",
        help_epilogue=EXAMPLES,
        help_format="markdown",
        sort_key=3,
    )

    @looks.command(name="list", help_epilogue="")
    def list_() -> None:
        """List the named looks."""
        from vivace.models.mini2.looks import LOOKS

        width = max(len(look.key) for look in LOOKS)
        for look in LOOKS:
            print(f"{look.key:{width}}  {look.title}")

    @looks.command(help_epilogue="")
    def show(look: Annotated[str, LOOK], /) -> None:
        """Say what a saved look, or what words ask for, is made of."""
        found = _read(look)
        print(f"{found.title}: {found.mixture.words}")

    @looks.command(help_epilogue="")
    def save(
        to: Annotated[Path, TO],
        look: Annotated[str | None, LOOK] = None,
        /,
        *,
        picture: Annotated[str | None, Parameter(help="A picture to paint like, a file or an address.")] = None,
        share: Annotated[float, Parameter(help="The picture's part, where there are words, too.")] = 0.5,
        title: Annotated[str | None, TITLE] = None,
        replace: Annotated[bool, REPLACE] = False,
    ) -> None:
        """Save a look as a small file, from words, a picture, or both."""
        if look is None and picture is None:
            raise UsageError('give words, as in `vivace looks save dusk.look "half oil, half neon"`, or --picture FILE')
        if not 0 < share < 1:
            raise UsageError(f"--share is {share:g}; give a number between 0 and 1")
        _check(to, replace)
        found = None if look is None else _read(look)
        mixture = None if found is None else found.mixture
        if picture is not None:
            seen = _of_picture(picture)
            mixture = seen if mixture is None else mixture.times(1 - share).plus(seen.times(share))
        assert mixture is not None
        _write(to, title or (found.title if found is not None else Path(picture or "").stem or "a picture"), mixture)

    @looks.command(help_epilogue="")
    def mix(
        to: Annotated[Path, TO],
        /,
        *looks: Annotated[str, LOOK],
        shares: Annotated[
            str | None, Parameter(help="Of each look, as 0.7,0.3 or 7,3; equal ones if not given.")
        ] = None,
        title: Annotated[str | None, TITLE] = None,
        replace: Annotated[bool, REPLACE] = False,
    ) -> None:
        """Mix several looks into one and save it."""
        if len(looks) < 2:
            raise UsageError("give at least two looks to mix")
        _check(to, replace)
        parts = [_read(look) for look in looks]
        mixture = None
        for part, share in zip(parts, _shares(shares, len(parts)), strict=True):
            mine = part.mixture.filled().times(share)
            mixture = mine if mixture is None else mixture.plus(mine)
        assert mixture is not None
        _write(to, title or " and ".join(part.title for part in parts)[:80], mixture)

    return looks


def _read(look: str) -> Look:
    """Return a saved look, or what words ask for.

    Raises:
        UsageError: words that name no look; names the nearest.
        VivaceError: a file that is missing or no look.
    """
    from vivace.models.mini2.saved import SUFFIX, Look, open_look
    from vivace.models.mini2.text.reader import read_request

    if look.endswith(SUFFIX) or Path(look).is_file():
        return open_look(Path(look))
    request = read_request(look)
    if request.mixture is None:  # a saved look is one of the whole picture
        near = ", ".join(key for key, _ in request.near())
        near = f"near are {near}; " if near else ""
        said = f"; understood: {request.reading.sentence}" if request.reading.edits else ""
        raise UsageError(f"there is no look in {look[:60]!r}{said}; {near}`vivace looks list` names all of them")
    return Look(" ".join(look.split())[:80], request.mixture)


def _of_picture(picture: str) -> Mixture:
    from vivace.models.mini2.family import STYLE_IMAGE
    from vivace.models.mini2.mixture import Mixture, PictureShare
    from vivace.models.mini2.pictures import PictureReader
    from vivace.stream.pictures import read_picture

    numbers = PictureReader().numbers(read_picture(STYLE_IMAGE, picture))
    return Mixture({}, (PictureShare(tuple(numbers.tolist()), 1.0),))


def _shares(text: str | None, count: int) -> list[float]:
    """Return shares that sum to 1, in the proportion that is typed."""
    if text is None:
        return [1 / count] * count
    try:
        given = [float(part) for part in text.split(",")]
    except ValueError:
        given = []
    if len(given) != count or not all(0 < share < 1e6 for share in given):
        raise UsageError(f"--shares is {text[:60]!r}; give {count} numbers above 0, as in 0.7,0.3")
    total = sum(given)
    found = [share / total for share in given]
    if abs(total - 1) > 1e-3:
        print(f"the shares sum to {total:g}; mixed by {', '.join(f'{share:.2g}' for share in found)}", file=sys.stderr)
    return found


def _check(to: Path, replace: bool) -> None:
    from vivace.models.mini2.saved import check_place

    check_place(to, replace=replace)


def _write(to: Path, title: str, mixture: Mixture) -> None:
    from vivace.models.mini2.saved import Look, write_look

    write_look(to, Look(title, mixture))
    print(f"{to}: {mixture.words}")
