"""Outputs of a run: those the user named, opened, and those beside the first in threads of their own."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from vivace.errors import SinkUnsupportedError, UsageError
from vivace.media.encoders import X264, Encoder
from vivace.media.open import open_sink
from vivace.media.outlet import Outlet
from vivace.media.paths import URL
from vivace.media.sink import FILE_SLACK, NullSink, Sink, written_name
from vivace.media.source import Source, on_error
from vivace.redaction import redact_address

if TYPE_CHECKING:
    from vivace.media.statement import Statement


class SinkOutlet(Outlet):
    """An output beside the first one."""

    def __init__(self, sink: Sink, *, live: bool) -> None:
        slack = 1 if sink.live else FILE_SLACK
        super().__init__(lambda: sink, name=f"vivace-output {sink.name}", live=live, slack=slack)
        self.sink = sink
        self.told = False
        """True once the user was told that it has ended."""

    @property
    def lost(self) -> int:
        """Frames that were given to it and are not in the output."""
        return self.frames_written + self.frames_dropped - self.sink.frames_written


@contextmanager
def beside(outlets: Sequence[Outlet]) -> Iterator[None]:
    """Have outputs take frames until the end of the block, and wait until they are complete."""
    try:
        yield
    finally:
        for outlet in outlets:
            outlet.finish()
        for outlet in outlets:
            outlet.join()


@dataclass(frozen=True, slots=True)
class Wishes:
    """Settings that all outputs of a run have in common."""

    statement: Statement | None = None
    """Statement about pictures that are painted."""
    encoder: Encoder = X264
    sound: bool = True


def open_targets(outputs: Sequence[str] | None, spec: str, source: Source, wishes: Wishes = Wishes()) -> list[Sink]:
    """Open the sinks the user named: a window first, since it belongs to the thread that runs the program, null last.

    Raises:
        UsageError: the same twice, or pictures by themselves beside a video.
        SinkError: one cannot be opened; those before it are closed.
    """
    order = {"window": 0, "null": 2}
    named: list[str | None] = [*sorted(outputs or (), key=lambda output: order.get(output, 1))] or [None]
    places = [_place(output) for output in named if output is not None]
    if repeated := [place for place in places if places.count(place) > 1]:
        raise UsageError(f"-o {repeated[0]} is given twice; name another place, or leave one out.")
    with ExitStack() as opened:
        sinks = [opened.enter_context(open_target(output, spec, source, wishes)) for output in named]
        if len({sink.stills for sink in sinks if not isinstance(sink, NullSink)}) > 1:
            raise UsageError("a photograph is written as a picture; give a picture or a folder with each -o.")
        opened.pop_all()
        return sinks


def _place(output: str) -> str:
    """Return where an output leads to, whichever way it is written."""
    return output if output in ("null", "window") or URL.match(output) else str(Path(output).resolve())


def open_target(output: str | None, spec: str, source: Source, wishes: Wishes = Wishes()) -> Sink:
    """Open the sink the user named; without a name, a window for what has no end, or a file in the working directory.

    Raises:
        SinkError: it cannot be opened.
    """
    stills = source.files if source.info.stills else ()
    endless_scene = spec.partition(":")[0] == "scene" and source.info.frames is None
    if output is None and (source.info.live or endless_scene):
        try:
            return open_sink("window")
        except SinkUnsupportedError:
            pass  # no display: a file it is, and the summary says which
    target = default_file(spec, stills) if output is None else output
    audio_from = source if source.info.has_audio and wishes.sound else None
    sink = open_sink(
        target,
        fps=source.info.fps,
        audio_from=audio_from,
        pictures=stills,
        statement=wishes.statement,
        encoder=wishes.encoder,
        warn=source.warnings.append,
        endless=source.info.live or endless_scene,
    )
    with on_error(sink.close):
        if any(sink.replaces(path) for path in source.files):
            raise SinkUnsupportedError(f"{target}: would be written over the source itself; name another place with -o")
    return sink


def default_file(spec: str, stills: Sequence[Path] = ()) -> str:
    """Return the file a result goes to when the user names none, right here.

    `clip.mov` becomes `clip.vivace.mp4`, and one photograph, `photo.jpg`, `photo.vivace.jpg`.
    """
    path = Path(spec)
    name = path.stem if path.exists() else "-".join(re.findall(r"\w+", redact_address(spec)))
    suffix = ".mp4" if len(stills) != 1 else Path(written_name(stills[0])).suffix
    return f"{name[:80] or 'stream'}.vivace{suffix}"
