"""`vivace replay`: a show that was played, painted again."""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import App, Parameter

from vivace.cli.loading import MACHINE, LoadFlags
from vivace.cli.marking import MarkFlags
from vivace.cli.moderation import ModerationFlags
from vivace.cli.options import whole
from vivace.cli.run_options import OUTPUT, PICTURE, RunOptions
from vivace.cli.show import ShowFlags
from vivace.errors import ControlError, UsageError
from vivace.settings import Settings

if TYPE_CHECKING:
    from vivace.show.log import Opening, Show

REPLAY_HELP = """\
Paint a show again that was played.

SHOW is what `vivace run --log` has kept, SOURCE what was repainted then, or the same at a better quality: frames are
counted, and each update holds from the frame that it held from. Every frame is painted, at full effort. At the size of
then, on the same machine, the pictures of a run that painted every frame are the same to the byte; those of a live one
are with `--as-played`.
"""

REPLAY_EXAMPLES = """\
Examples:

- `vivace run holiday.mp4 --live -p ink --log show.jsonl`, and then
  `vivace replay show.jsonl holiday.mp4 --size 1920x1080 -o show.mp4`
"""


@Parameter(name="*")
@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayOptions:
    """The flags of `vivace replay`."""

    output: Annotated[list[str] | None, Parameter(alias="-o", group=OUTPUT, negative=())] = None
    """Output, as of `vivace run`."""
    compare: Annotated[bool, Parameter(group=OUTPUT, negative=(), show_default=False)] = False
    """Write the source and the result side by side."""
    stats: Annotated[Path | None, Parameter(group=OUTPUT)] = None
    """Write one JSON document with what the run measured."""

    size: Annotated[str | None, Parameter(group=PICTURE)] = None
    """Output size WxH in pixels; that of the show if not given."""
    as_played: Annotated[bool, Parameter(group=PICTURE, negative=(), show_default=False)] = False
    """Paint the frames of a live show that were painted then, at the times and with the effort that they had."""
    max_frames: Annotated[int | None, Parameter(group=PICTURE, converter=whole)] = None
    """Stop after this many frames of output."""

    log: Annotated[Path | None, Parameter(group=OUTPUT)] = None
    """Keep the show again, with the frames from which it held now."""
    marking: MarkFlags = field(default_factory=MarkFlags)
    moderation: ModerationFlags = field(default_factory=ModerationFlags)
    device: Annotated[str | None, Parameter(group=MACHINE)] = None
    """Device to compute on, `cpu`, `cuda` or `cuda:N`; as then if not given."""
    runtime: Annotated[str | None, Parameter(group=MACHINE)] = None
    """Runtime of the network; as then if not given."""
    precision: Annotated[Literal["f32", "bf16", "f16", "int8"] | None, Parameter(group=MACHINE)] = None
    """Precision to compute in; as then if not given."""
    threads: Annotated[int | None, Parameter(group=MACHINE, converter=whole)] = None
    """CPU threads for the model; as many as then if not given."""


def replay_app(settings: Settings) -> App:
    """Return the command."""
    app = App(name="replay", help=REPLAY_HELP, help_epilogue=REPLAY_EXAMPLES, sort_key=1)

    @app.default
    def replay(
        show: Annotated[Path, Parameter(help="What `vivace run --log` has kept.")],
        source: Annotated[str, Parameter(help="What to repaint, as of `vivace run`.")],
        /,
        *,
        options: ReplayOptions | None = None,
    ) -> int:
        return replay_command(show, source, options or ReplayOptions(), settings)

    return app


def replay_command(path: Path, spec: str, options: ReplayOptions, settings: Settings) -> int:
    """Paint a show again and return the exit code.

    Raises:
        VivaceError: whatever went wrong.
    """
    from vivace.cli.run import run_command
    from vivace.cli.show import Played
    from vivace.media.paths import is_same_file
    from vivace.show.log import read_show

    show = read_show(path)
    if options.as_played and show.course is None:
        raise UsageError("--as-played is for a live show; of this one every frame was painted, so leave it out")
    if options.log is not None and is_same_file(options.log, path):
        raise UsageError(f"--log {options.log} is the show that is played; name another file")
    return run_command(spec, _run_options(show, path, options, settings), settings, Played(show, options.as_played))


def _run_options(show: Show, path: Path, options: ReplayOptions, settings: Settings) -> RunOptions:
    opening = show.opening
    now = {name: getattr(options, name) for name in ("device", "runtime", "precision", "threads")}
    flags: dict[str, Any] = {**opening.flags, **{name: value for name, value in now.items() if value is not None}}
    of_the_run = {name: flags.pop(name, None) for name in ("steps", "threads", "fps")}
    if unknown := sorted(flags.keys() - {each.name for each in fields(LoadFlags)}):
        raise ControlError(f"{path}: the show was begun with --{unknown[0]}, which this Vivace does not know")
    return RunOptions(
        output=options.output,
        compare=options.compare,
        stats=options.stats,
        model=opening.model,
        size=options.size or _size_of(opening),
        live=False,
        max_frames=options.max_frames,
        show=ShowFlags(log=options.log),
        marking=_marking(options.marking, opening, settings),
        moderation=options.moderation,
        loading=LoadFlags(**flags),
        **of_the_run,
    )


def _size_of(opening: Opening) -> str | None:
    size = opening.controls.size
    return None if size is None else f"{size[0]}x{size[1]}"


def _marking(marking: MarkFlags, opening: Opening, settings: Settings) -> MarkFlags:
    """Return the flags with the watermark of then, unless they say otherwise."""
    if opening.payload is None or marking.watermark_payload or "watermark" not in marking.marks(settings.marks):
        return marking
    return replace(marking, watermark_payload=opening.payload)
