"""The tree of commands with their flags and help. What a command does is in the module of its name."""

from __future__ import annotations

import importlib.util
from typing import Annotated

from cyclopts import App, Parameter

from vivace import __version__
from vivace.cli.bench import bench_app
from vivace.cli.cluster import cluster_app
from vivace.cli.credentials import credentials_app
from vivace.cli.looks import looks_app
from vivace.cli.models import models_app
from vivace.cli.moderation import policy_app
from vivace.cli.replay import replay_app
from vivace.cli.run_options import RunOptions
from vivace.cli.verify import verify_app
from vivace.errors import BackendUnavailableError, install_extra
from vivace.media.registry import SOURCES, Registry
from vivace.settings import Settings

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

SERVE_HELP = f"""\
Serve the studio page, WebRTC, WHIP and WHEP, and the API.

Open the address it prints in a browser. What it needs beside the base install: {install_extra("serve")}.

Every setting can also be given as `VIVACE_SERVE_NAME` in the environment, or in a settings file: `vivace serve
settings` prints one that holds them all.
"""

TRAIN_HELP = f"Train and export models (needs torch: {install_extra('train')})."


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

    app.command(replay_app(settings))
    # Given as text, it is imported only when it is called: its flags are made from the server's table of settings.
    app.command("vivace.cli.serve:app", name="serve", help=SERVE_HELP, sort_key=2)
    app.command(cluster_app())
    app.command(verify_app())
    app.command(models_app())
    app.command(looks_app())
    app.command(bench_app(settings))
    app.command(credentials_app())
    app.command(policy_app(settings))

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
