"""The tree of commands with their flags and help. What a command does is in the module of its name."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from cyclopts import App, Group, Parameter

from vivace import __version__
from vivace.cli.bench import bench_app
from vivace.cli.credentials import credentials_app
from vivace.cli.loading import MACHINE, MODEL, LoadFlags
from vivace.cli.looks import looks_app
from vivace.cli.marking import MarkFlags
from vivace.cli.models import models_app
from vivace.cli.options import whole
from vivace.cli.serve import serve_app
from vivace.cli.verify import verify_app
from vivace.errors import BackendUnavailableError, install_extra
from vivace.media.registry import SINKS, SOURCES, Registry
from vivace.settings import Settings

OUTPUT = Group("Output", sort_key=1)
PICTURE = Group("Picture", sort_key=2)
TIMING = Group("Timing", sort_key=3)

TOP_HELP = """\
Repaint live video with diffusion.

A camera, a screen or a file goes in, a prompt says how the world should look, and the repainted stream comes out.
"""

TOP_EXAMPLES = """\
Start here:

- `vivace run camera -p "watercolour painting"`
- `vivace run holiday.mp4 -p "ink drawing" -o ink.mp4`
- `vivace serve`
- `vivace doctor`

Exit codes: 0 done, 2 wrong usage, 3 input or output failed, 4 the machine cannot do it, 130 interrupted.
"""


def _list(registry: Registry) -> str:
    return "\n".join(f"- {line}" for line in registry.lines())


RUN_HELP = f"""\
Repaint one stream.

SOURCE is

{_list(SOURCES)}

Where the result goes says what pictures are. Into a picture (`-o ink.png`) or a folder (`-o inks/`) each is a
photograph, painted by itself at its own size; into a video, a window or a numbered name (`-o inks/%05d.png`) they are
frames of one video, and a numbered name as SOURCE (`frames/%05d.png`) always is.

Ctrl-C finishes the file properly; a second Ctrl-C ends at once. On a terminal, type a new prompt and Enter while it
runs, or `/look NAME.look`, `/strength 0.5`, `/seed 3`, `/steps 2`, `/set NAME=VALUE` (`/set NAME=` for the default),
or an event of the model's own such as `/anchor`.
"""

RUN_EXAMPLES = """\
Examples:

- `vivace run camera -p "black ink brush drawing"`
- `vivace run photo.jpg -p "ink" -o ink.png`, or a folder of them: `vivace run photos/ -p "oil painting" -o oils/`
- `vivace run holiday.mp4 -p "anime" --size 512x288 --compare -o anime.mp4`
- `vivace run scene:gallery -p "a moonlit night" --max-frames 300 --stats stats.json`
- `vivace run holiday.mp4 -p "oil painting" -o oil.mp4 --resume`, and the same again where it was ended
- `vivace run camera -p neon --mask 100,50,300,200` repaints only the rectangle X,Y,W,H
- `vivace run dance.mp4 --model live2diff --style felted -p "a felt puppet dancing"`
"""

OUTPUT_HELP = f"""\
Where the result goes. {"; ".join(SINKS.lines())}. Without it: a window for a camera where there is a display, else
`NAME.vivace.mp4` right here, and a picture of one picture. May be given several times: live, an output that is slow
loses frames by itself."""

TRAIN_HELP = f"Train and export models (needs torch: {install_extra('train')})."


@Parameter(name="*")
@dataclass(frozen=True, slots=True, kw_only=True)
class RunOptions:
    """The flags of `vivace run`."""

    output: Annotated[list[str] | None, Parameter(alias="-o", group=OUTPUT, negative=(), help=OUTPUT_HELP)] = None
    compare: Annotated[bool, Parameter(group=OUTPUT, negative=(), show_default=False)] = False
    """Write the source and the result side by side."""
    resume: Annotated[bool, Parameter(group=OUTPUT, negative=(), show_default=False)] = False
    """Make the run one that goes on where it was ended: the same command again. Of a video file into one file."""
    stats: Annotated[Path | None, Parameter(group=OUTPUT)] = None
    """Write one JSON document with what the run measured."""

    prompt: Annotated[str | None, Parameter(alias="-p", group=PICTURE)] = None
    """What the world should look like. Without it the source passes unchanged until you type one."""
    look: Annotated[Path | None, Parameter(group=PICTURE)] = None
    """A saved look, `NAME.look`, in place of a prompt, see `vivace looks`."""
    style_image: Annotated[str | None, Parameter(group=PICTURE)] = None
    """A picture to paint like, a file or an address, with a model that takes one."""
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
    """Where to repaint: a picture or a video (white is repainted), or a rectangle `X,Y,W,H` in pixels of the output, or
    in fractions of it."""

    live: Annotated[bool | None, Parameter(negative="--every-frame", group=TIMING)] = None
    """Newest frame wins, or every frame in order. Cameras are live if not given, files every-frame."""
    fps: Annotated[float | None, Parameter(group=TIMING)] = None
    """Frames a second to ask of a camera, screen or scene and to hold in live mode."""
    max_frames: Annotated[int | None, Parameter(group=TIMING, converter=whole)] = None
    """Stop after this many frames of output."""

    marking: MarkFlags = field(default_factory=MarkFlags)
    loading: LoadFlags = field(default_factory=LoadFlags)
    steps: Annotated[int | None, Parameter(group=MODEL, converter=whole)] = None
    """Denoising steps a frame, as many as `vivace models show` says are possible."""

    threads: Annotated[int | None, Parameter(group=MACHINE, converter=whole)] = None
    """CPU threads for the model; all if not given."""


def build_app(settings: Settings) -> App:
    """Return the `vivace` command with every subcommand."""
    app = App(
        name="vivace",
        help=TOP_HELP,
        help_epilogue=TOP_EXAMPLES,
        help_format="markdown",
        version=f"vivace {__version__}",
        suppress_keyboard_interrupt=False,  # ours closes the output first
    )

    @app.command(help=RUN_HELP, help_epilogue=RUN_EXAMPLES, sort_key=1)
    def run(source: Annotated[str, Parameter(help="What to repaint.")], /, *, options: RunOptions | None = None) -> int:
        from vivace.cli.run import run_command

        return run_command(source, options or RunOptions(), settings)

    app.command(serve_app(settings))
    app.command(verify_app())
    app.command(models_app())
    app.command(looks_app())
    app.command(bench_app(settings))
    app.command(credentials_app())

    _add_train(app)

    @app.command(help_epilogue="", sort_key=3)
    def doctor(*, json: Annotated[bool, Parameter(negative=(), show_default=False)] = False) -> int:
        """Say what this machine can run and what is missing.

        Parameters
        ----------
        json
            Print one JSON document instead of a table.
        """
        from vivace.doctor import doctor_command

        return doctor_command(as_json=json)

    app.register_install_completion_command(help="Install completion for your shell, then exit.")
    return app


def _add_train(app: App) -> None:
    """Add `vivace train`: the commands of the train extra where it is installed, else a word on how to get it."""
    if importlib.util.find_spec("torch") is not None:
        # Given as text, it is imported (and torch with it) only when it is called.
        app.command("vivace.train.app:app", name="train", help=TRAIN_HELP, sort_key=5)
        return

    @app.command(help=TRAIN_HELP, sort_key=5, help_flags=[], version_flags=[])
    def train(*tokens: Annotated[str, Parameter(allow_leading_hyphen=True, show=False)]) -> None:  # noqa: ARG001
        _need_train_extra("training")


def _need_train_extra(what: str) -> None:
    if importlib.util.find_spec("torch") is None:
        raise BackendUnavailableError(
            f"{what} needs torch, which the base install leaves out; {install_extra('train')}"
        )
