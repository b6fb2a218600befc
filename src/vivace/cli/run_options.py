"""The flags of `vivace run`."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Group, Parameter

from vivace.cli.loading import MACHINE, MODEL, LoadFlags
from vivace.cli.marking import MarkFlags
from vivace.cli.moderation import ModerationFlags
from vivace.cli.options import whole
from vivace.cli.show import ShowFlags
from vivace.media.registry import SINKS

OUTPUT = Group("Output", sort_key=1)
PICTURE = Group("Picture", sort_key=2)
TIMING = Group("Timing", sort_key=3)

OUTPUT_HELP = f"""\
Where the result goes. {"; ".join(SINKS.lines())}. Without it: a window for a camera where there is a display, else
`NAME.vivace.mp4` right here, and a picture of one picture. May be given several times: live, an output that is slow
loses frames by itself."""


@Parameter(name="*")
@dataclass(frozen=True, slots=True, kw_only=True)
class RunOptions:
    """The flags of `vivace run`."""

    output: Annotated[list[str] | None, Parameter(alias="-o", group=OUTPUT, negative=(), help=OUTPUT_HELP)] = None
    compare: Annotated[bool, Parameter(group=OUTPUT, negative=(), show_default=False)] = False
    """Write the source and the result side by side."""
    resume: Annotated[bool, Parameter(group=OUTPUT, negative=(), show_default=False)] = False
    """Make the run one that goes on where it was ended: the same command again. Of a video file into one file."""
    encoder: Annotated[
        Literal["auto", "x264", "nvenc", "qsv", "amf", "videotoolbox", "mf"], Parameter(group=OUTPUT)
    ] = "x264"
    """Encoder of H.264, in files and streams: `x264` on the CPU, a graphics card's, or `auto`, which tries each and
    takes the fastest."""
    mute: Annotated[bool, Parameter(group=OUTPUT, negative=(), show_default=False)] = False
    """Leave the source's sound out, which goes along where it has any and the output can hold it."""
    stats: Annotated[Path | None, Parameter(group=OUTPUT)] = None
    """Write one JSON document with what the run measured."""

    prompt: Annotated[str | None, Parameter(alias="-p", group=PICTURE)] = None
    """The prompt: what the world should look like. Without it the source passes unchanged until you type one."""
    look: Annotated[Path | None, Parameter(group=PICTURE)] = None
    """A saved look, `NAME.look`, in place of a prompt, see `vivace looks`."""
    style_image: Annotated[str | None, Parameter(group=PICTURE)] = None
    """A picture to paint like, a file or an address, with a model that takes one."""
    keyframe: Annotated[str | None, Parameter(group=PICTURE)] = None
    """A frame edited in any program, a file or an address: its edit is carried to every frame. Or a folder of several
    with their sources, NAME.png and NAME.source.png, of which the most similar leads."""
    keyframe_source: Annotated[str | None, Parameter(group=PICTURE)] = None
    """The same frame before its edit; the first one that is painted, if not given."""
    region_cache: Annotated[Literal["on", "off", "audit"] | None, Parameter(group=PICTURE)] = None
    """Paint only what changes of the picture, with a model that can; `audit` compares with painting all of it now and
    then, see `--stats`."""
    model: Annotated[str | None, Parameter(group=PICTURE)] = None
    """A name from `vivace models list`; the embedded `mini` if not given."""
    size: Annotated[str | None, Parameter(group=PICTURE)] = None
    """Output size WxH in pixels, e.g. `512x288`. Without it: the source's shape at what the model likes; of a
    photograph its own size, as far as the model goes."""
    strength: Annotated[float | None, Parameter(group=PICTURE)] = None
    """From 0 (the source, untouched) to 1; the model's default if not given."""
    seed: Annotated[int, Parameter(group=PICTURE, converter=whole)] = 0
    """The same seed, source and prompt give the same pictures."""
    mask: Annotated[str | None, Parameter(group=PICTURE)] = None
    """Region to repaint: a picture or a video (white is repainted), or a rectangle `X,Y,W,H` in pixels of the output
    or in fractions of it."""

    live: Annotated[bool | None, Parameter(negative="--every-frame", group=TIMING)] = None
    """Newest frame wins, or every frame in order. Cameras are live if not given, files every-frame."""
    fps: Annotated[float | None, Parameter(group=TIMING)] = None
    """Frames a second to ask of a camera, screen or scene and to hold in live mode."""
    max_frames: Annotated[int | None, Parameter(group=TIMING, converter=whole)] = None
    """Stop after this many frames of output."""

    show: ShowFlags = field(default_factory=ShowFlags)
    marking: MarkFlags = field(default_factory=MarkFlags)
    moderation: ModerationFlags = field(default_factory=ModerationFlags)
    loading: LoadFlags = field(default_factory=LoadFlags)
    steps: Annotated[int | None, Parameter(group=MODEL, converter=whole)] = None
    """Denoising steps a frame, as many as `vivace models show` says are possible."""

    threads: Annotated[int | None, Parameter(group=MACHINE, converter=whole)] = None
    """CPU threads for the model; all if not given."""
