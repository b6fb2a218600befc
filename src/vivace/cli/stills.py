"""Photographs in `vivace run`: each painted by itself, and what is told of them."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from vivace.errors import UsageError

if TYPE_CHECKING:
    from vivace.cli.run_options import RunOptions
    from vivace.media.frame import Frame
    from vivace.media.size import Size
    from vivace.media.source import Source
    from vivace.stream import Stream


def painted_stills(stream: Stream, source: Source, sizes: dict[int, tuple[Size, Size]]) -> Generator[Frame, None, None]:
    """Yield the pictures of a source, each painted by itself, and note their sizes."""
    source.deliver_at(None)
    for picture in source:
        frame = stream.still(picture.rgb, alpha=picture.alpha)
        sizes[picture.index] = picture.size, frame.size
        yield replace(frame, index=picture.index)


def stills_notes(source: Source) -> Iterator[str]:
    """Yield what to know of photographs before the first."""
    from vivace.media.paths import numbered_name

    pattern = numbered_name(source.files)
    if pattern is not None:
        yield (
            f"note: {len(source.files)} pictures, each painted by itself; if they are the frames of one video, "
            f"give {pattern} as the source"
        )


def shrunk(sizes: dict[int, tuple[Size, Size]], source: Source, stream: Stream) -> str:
    """Return which photographs came out smaller than they were, by more than the model's multiple; empty for none."""
    spec = stream.model.spec
    smaller = [
        index
        for index, sides in sizes.items()
        if all(before - after > spec.size_multiple for before, after in zip(*sides, strict=True))
    ]
    if not smaller:
        return ""
    (width, height), (painted_width, painted_height) = sizes[smaller[0]]
    others = f", and {len(smaller) - 1} others smaller than they are" if len(smaller) > 1 else ""
    return (
        f"{spec.name} paints {source.files[smaller[0]].name} ({width}x{height} px) at {painted_width}x{painted_height}"
        f"{others}"
    )


def check_still_options(options: RunOptions) -> None:
    """Refuse what only a stream has.

    Raises:
        UsageError: such an option is set.
    """
    shows = [(flag, True) for flag in options.show.given]
    for flag, is_set in (("--live", options.live), ("--fps", options.fps is not None), *shows):
        if is_set:
            raise UsageError(f"{flag} is for streams, and these are photographs; leave it out.")
