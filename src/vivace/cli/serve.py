"""The flags of `vivace serve`, and its tokens. What the server does is in `vivace.serve`."""

from __future__ import annotations

import os
import sys
import threading
import time
import types
from dataclasses import field, make_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Union, get_args, get_origin

from cyclopts import App, Group, Parameter

from vivace.cli.cluster_options import ClusterFlags
from vivace.cli.extras import need_serve_extra
from vivace.cli.loading import MODEL, LoadFlags
from vivace.cli.marking import MarkFlags
from vivace.cli.moderation import ModerationFlags
from vivace.cli.options import whole
from vivace.errors import UsageError
from vivace.serve.settings import ServeSettings, flag_of
from vivace.serve.settings_sources import read_settings, token_secret
from vivace.serve.settings_text import as_toml, words, written
from vivace.settings import Settings

SERVE_EXAMPLES = """\
Examples:

- `vivace serve`
- `vivace serve --port 9000 --recordings recordings`
- `vivace serve --config vivace.toml`, a file that `vivace serve settings` begins
- `vivace serve --model live2diff --style felted --set guidance=self --size 512x512`
- `vivace serve --cluster --workers 2`
- `vivace serve token --scope publish --expires 1h`
"""

LOCAL_RECORDINGS = Path("vivace-recordings")

CONFIG = Parameter(help="A settings file (TOML); flags and the environment go before it.")
"""Help of `--config`."""


def _flag_type(annotation: Any) -> Any:
    """Return what the parser reads a setting as: switches, lists and choices as such, all else as text."""
    if get_origin(annotation) in (Union, types.UnionType):
        (annotation,) = (part for part in get_args(annotation) if part is not type(None))
    while get_origin(annotation) is Annotated:
        annotation = get_args(annotation)[0]
    if annotation is bool or get_origin(annotation) is Literal:
        return annotation
    return list[str] if get_origin(annotation) is list else str


def _flags() -> list[tuple[str, Any, Any]]:
    """Return a field of `ServeFlags` for each setting that is a flag: name, type, default."""
    groups = {name: Group(name, sort_key=place) for place, name in enumerate(("Address", "Work", "Recording"), start=1)}
    fields = []
    for name, setting in ServeSettings.model_fields.items():
        if (flag := flag_of(name)) is not None:
            default = (
                None if isinstance(setting.default, bool) else written(setting.get_default(call_default_factory=True))
            )
            about = words(name) + ("" if default in (None, "[]") else f" It is {default} if not given.")
            shown = Parameter(name=flag.name, group=groups[flag.group], negative=(), help=about)
            fields.append((name, Annotated[_flag_type(setting.annotation) | None, shown], None))
    return fields


STEPS = Parameter(group=MODEL, converter=whole, help="Denoising steps a frame, where a model has as many built in.")
FLAGS = _flags()

if TYPE_CHECKING:
    ServeFlags = Any
else:
    ServeFlags = make_dataclass(
        "ServeFlags",
        [
            ("config", Annotated[Path | None, CONFIG], None),
            *FLAGS,
            ("loading", LoadFlags, field(default_factory=LoadFlags)),
            ("steps", Annotated[int | None, STEPS], None),
            ("marking", MarkFlags, field(default_factory=MarkFlags)),
            ("moderation", ModerationFlags, field(default_factory=ModerationFlags)),
            ("clustering", ClusterFlags, field(default_factory=ClusterFlags)),
        ],
        namespace={"__module__": __name__},  # the parser looks into no class of the standard library
        frozen=True,
        kw_only=True,
    )
    ServeFlags = Parameter(name="*")(ServeFlags)

app = App(name="serve", help_epilogue=SERVE_EXAMPLES)


@app.default
def serve(*, flags: ServeFlags | None = None) -> int:
    """Run the server."""
    need_serve_extra()
    from vivace.serve.main import serve as run
    from vivace.serve.offered_models import LOADING_THREAD

    flags = flags or ServeFlags()
    flags.clustering.check_alone()
    wanted = serve_settings(flags, Settings.from_environment())
    if flags.clustering.cluster:
        return int(flags.clustering.serve(wanted))
    code = run(wanted)
    if any(thread.name.startswith(LOADING_THREAD) for thread in threading.enumerate()):
        # A model that is half loaded cannot be given up, and the end of a process must not free what its libraries
        # are using. Nothing of ours is open any more.
        sys.stdout.flush()
        os._exit(code)
    return code


@app.command(help_epilogue="")
def token(
    *,
    scope: Annotated[list[Literal["publish", "view", "admin"]], Parameter(negative=())],
    expires: str = "1h",
    session: str | None = None,
    config: Path | None = None,
) -> None:
    """Print a token for a client of a server with the same token secret.

    Parameters
    ----------
    scope
        What it may do: `publish` opens sessions and steers its own, `view` watches, `admin` may do everything.
    expires
        How long it is valid, such as 90s, 15m, 1h or 7d.
    session
        The only session it may watch.
    config
        The server's settings file, where the secret stands in it.
    """
    need_serve_extra()
    from vivace.serve.auth import make_token, parse_duration_s

    secret = token_secret(file=config)
    expires_s = parse_duration_s(expires)
    print(make_token(secret, frozenset(scope), expires_s=expires_s, now_s=time.time(), session=session))


@app.command(help_epilogue="")
def secret() -> None:
    """Print a new secret to sign tokens with."""
    need_serve_extra()
    from vivace.serve.auth import make_secret

    print(make_secret())


@app.command(name="settings", help_epilogue="")
def print_settings(*, config: Annotated[Path | None, CONFIG] = None) -> None:
    """Print all settings as a settings file: those that hold now, and the others with their defaults as comments."""
    print(as_toml(serve_settings(ServeFlags(config=config), Settings.from_environment())), end="")


def serve_settings(flags: Any, settings: Settings) -> ServeSettings:
    """Return the server's settings: `ServeFlags` before environment before settings file before defaults.

    Raises:
        UsageError: a name that is no setting, or a value that cannot be used, with where it stands.
    """
    given: dict[str, Any] = {name: getattr(flags, name) for name, _, _ in FLAGS}
    given |= {"runtime": flags.loading.runtime, **_marking(flags.marking, settings)}
    given |= {"policy": flags.moderation.policy, "safety": flags.moderation.safety}
    named = {name: value for name, value in given.items() if value is not None}
    usual: dict[str, Any] = {"models": [settings.model], "threads": settings.threads}
    wanted = read_settings(named, file=flags.config, usual=usual)
    loading, of_sessions = flags.loading.load_options(wanted.models[0], steps=flags.steps)
    if of_sessions:
        raise UsageError(f"--set {min(of_sessions)}: each session sets that for itself; leave it out")
    if loading.given():
        wanted = read_settings({**named, "loading": loading.to_dict()}, file=flags.config, usual=usual)
    if wanted.recordings is None and wanted.token_secret is None:  # one person, at this machine
        wanted = wanted.model_copy(update={"recordings": LOCAL_RECORDINGS})
    return wanted


def _marking(flags: MarkFlags, settings: Settings) -> dict[str, Any]:
    """Return what flags say of marks.

    Raises:
        UsageError: they contradict one another.
    """
    if flags.watermark_payload is not None:
        raise UsageError("--watermark-payload is for `vivace run`: a server's sessions have one each; leave it out")
    if flags.sign_prompt:
        raise UsageError(
            "--sign-prompt is for `vivace run`: what clients of a server say stays with them; leave it out"
        )
    found = flags.marks(settings.marks)
    return {
        "marks": None if found == settings.marks else found,
        "label": None if flags.label == "off" else flags.label,
        "label_size": flags.label_size,
        "label_language": flags.label_language,
        "watermark_everywhere": flags.watermark_everywhere or None,
        "sign_certificate": flags.sign_certificate,
        "sign_key": flags.sign_key,
        "sign_command": flags.sign_command,
    }
