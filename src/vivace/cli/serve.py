"""The flags of `vivace serve`, and its tokens. What the server does is in `vivace.serve`."""

from __future__ import annotations

import importlib.util
import os
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import App, Group, Parameter

from vivace.checks import nearest
from vivace.cli.loading import MODEL, LoadFlags
from vivace.cli.marking import MarkFlags
from vivace.cli.moderation import ModerationFlags
from vivace.cli.options import parse_size, whole
from vivace.errors import BackendUnavailableError, UsageError, describe_invalid, install_extra
from vivace.settings import Settings

if TYPE_CHECKING:
    from vivace.serve.settings import ServeSettings

ADDRESS = Group("Address", sort_key=1)
WORK = Group("Work", sort_key=2)
RECORDING = Group("Recording", sort_key=3)

SERVE_HELP = f"""\
Serve the studio page, WebRTC, WHIP and WHEP, and the API.

Open the address it prints in a browser. What it needs beside the base install: {install_extra("serve")}.

Every setting can also be given as `VIVACE_SERVE_NAME` in the environment; `docs/serve.md` lists them.
"""

SERVE_EXAMPLES = """\
Examples:

- `vivace serve`
- `vivace serve --port 9000 --recordings recordings`
- `vivace serve --model live2diff --style felted --set guidance=self --size 512x512`
- `vivace serve token --scope publish --expires 1h`
"""

ENV_PREFIX = "VIVACE_SERVE_"
LOCAL_RECORDINGS = Path("vivace-recordings")

NEEDED = ("fastapi", "uvicorn", "aiortc", "prometheus_client", "pydantic_settings", "websockets", "httpx2", "jwt")
"""What the serve extra brings."""


@Parameter(name="*")
@dataclass(frozen=True, slots=True, kw_only=True)
class ServeFlags:
    """The flags of `vivace serve`."""

    host: Annotated[str | None, Parameter(group=ADDRESS)] = None
    """Where to listen: 127.0.0.1, only this machine, if not given. Anything else needs VIVACE_SERVE_TOKEN_SECRET."""
    port: Annotated[int | None, Parameter(group=ADDRESS, converter=whole)] = None
    """8787 if not given; 0 takes a free one."""
    tls_cert: Annotated[Path | None, Parameter(group=ADDRESS)] = None
    """PEM file of a certificate with its chain: HTTPS in place of HTTP, without which browsers give other machines no
    camera."""
    tls_key: Annotated[Path | None, Parameter(group=ADDRESS)] = None
    """PEM file of its private key, where that is not in the same file."""
    tls_self_signed: Annotated[bool | None, Parameter(group=ADDRESS, negative=())] = None
    """HTTPS with a certificate made for this machine's names and addresses, which browsers warn of once."""
    allow_origin: Annotated[list[str] | None, Parameter(group=ADDRESS, negative=())] = None
    """A page of another origin that may use the server, such as `https://stage.example`; once for each."""
    model: Annotated[list[str] | None, Parameter(group=WORK, negative=())] = None
    """A model to offer, from `vivace models list`; once for each, the first is the default."""
    size: Annotated[str | None, Parameter(group=WORK)] = None
    """Output size of a session that asks for none, WxH in pixels."""
    encoder: Annotated[
        Literal["auto", "x264", "nvenc", "qsv", "amf", "videotoolbox", "mf"] | None, Parameter(group=WORK)
    ] = None
    """Of H.264 over WebRTC: `x264`, which it is if not given, a graphics card's, or `auto`, which tries each and takes
    the fastest."""
    dynamic_size: Annotated[str | None, Parameter(group=WORK)] = None
    """Size that such a session's output grows to while there is time, WxH in pixels; it keeps its size if not
    given."""
    slots: Annotated[int | None, Parameter(group=WORK, converter=whole)] = None
    """Sessions painted at once; measured if not given."""
    threads: Annotated[int | None, Parameter(group=WORK, converter=whole)] = None
    """CPU threads for a model; all if not given."""
    loading: LoadFlags = field(default_factory=LoadFlags)
    steps: Annotated[int | None, Parameter(group=MODEL, converter=whole)] = None
    """Denoising steps a frame, where a model has as many built in."""

    marking: MarkFlags = field(default_factory=MarkFlags)
    moderation: ModerationFlags = field(default_factory=ModerationFlags)

    recordings: Annotated[Path | None, Parameter(group=RECORDING)] = None
    """Folder for recordings, made when it is needed. On loopback `vivace-recordings` right here, if not given;
    elsewhere nothing is recorded without it."""


def serve_app(settings: Settings) -> App:
    """Return `vivace serve` and the commands below it."""
    app = App(name="serve", help=SERVE_HELP, help_epilogue=SERVE_EXAMPLES, sort_key=2)

    @app.default
    def serve(*, flags: ServeFlags | None = None) -> int:
        need_serve_extra()
        from vivace.serve.main import serve as run
        from vivace.serve.offered_models import LOADING_THREAD

        code = run(serve_settings(flags or ServeFlags(), settings))
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
    ) -> None:
        """Print a token for a client of a server with the same VIVACE_SERVE_TOKEN_SECRET.

        Parameters
        ----------
        scope
            What it may do: `publish` opens sessions and steers its own, `view` watches, `admin` may do everything.
        expires
            How long it is valid, such as 90s, 15m, 1h or 7d.
        session
            The only session it may watch.
        """
        need_serve_extra()
        from vivace.serve.auth import make_token, parse_duration_s

        secret = os.environ.get("VIVACE_SERVE_TOKEN_SECRET", "")
        if not secret:
            raise UsageError(
                "VIVACE_SERVE_TOKEN_SECRET is not set; give the server and this command the same: "
                "export VIVACE_SERVE_TOKEN_SECRET=$(vivace serve secret)"
            )
        expires_s = parse_duration_s(expires)
        print(make_token(secret, frozenset(scope), expires_s=expires_s, now_s=time.time(), session=session))

    @app.command(help_epilogue="")
    def secret() -> None:
        """Print a new secret to sign tokens with."""
        need_serve_extra()
        from vivace.serve.auth import make_secret

        print(make_secret())

    return app


def serve_settings(flags: ServeFlags, settings: Settings) -> ServeSettings:
    """Return the server's settings: flags before environment before defaults.

    Raises:
        UsageError: a value that cannot be used, with its name.
    """
    from pydantic import ValidationError

    from vivace.serve.settings import ServeSettings

    given: dict[str, Any] = {
        "host": flags.host,
        "port": flags.port,
        "tls_cert": flags.tls_cert,
        "tls_key": flags.tls_key,
        "tls_self_signed": flags.tls_self_signed,
        "allowed_origins": flags.allow_origin,
        "models": flags.model,
        "size": None if flags.size is None else parse_size(flags.size),
        "dynamic_size": None if flags.dynamic_size is None else parse_size(flags.dynamic_size),
        "encoder": flags.encoder,
        "slots": flags.slots,
        "threads": flags.threads or (None if "VIVACE_SERVE_THREADS" in os.environ else settings.threads),
        "runtime": flags.loading.runtime,
        "recordings": flags.recordings,
        **_marking(flags.marking, settings),
        "policy": flags.moderation.policy,
        "safety": flags.moderation.safety,
    }
    for variable in sorted(name for name in os.environ if name.startswith(ENV_PREFIX)):
        name = variable.removeprefix(ENV_PREFIX).partition("__")[0].lower()
        if name not in ServeSettings.model_fields:
            meant = nearest(name, ServeSettings.model_fields)
            print(f"{variable} is set, but there is no setting {name}: it has no effect; {meant}", file=sys.stderr)
    named = {name: value for name, value in given.items() if value is not None}
    if "models" not in named and "VIVACE_SERVE_MODELS" not in os.environ:
        named["models"] = [settings.model]
    try:
        first = (named.get("models") or ServeSettings().models)[0]
        loading, of_sessions = flags.loading.load_options(first, steps=flags.steps)
        if of_sessions:
            raise UsageError(f"--set {min(of_sessions)}: each session sets that for itself; leave it out")
        if loading.given():
            named["loading"] = loading
        wanted = ServeSettings(**named)
        if wanted.recordings is None and wanted.token_secret is None:  # one person, at this machine
            wanted = wanted.model_copy(update={"recordings": LOCAL_RECORDINGS})
        return wanted
    except ValidationError as error:
        raise UsageError(" ".join(_refused(ServeSettings, problem) for problem in error.errors())) from error


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


def _refused(kind: type[ServeSettings], problem: Mapping[str, Any]) -> str:
    """Return what is wrong with a setting (of `ValidationError.errors()`), its form, and where to change it."""
    name = str(problem["loc"][0])
    field = kind.model_fields[name]
    shown = {key: value for key, value in problem.items() if key != "input" or field.repr}
    form = f"; give it as {field.examples[0]}" if field.examples else ""
    return f"setting {describe_invalid([shown])}{form}; change the flag or {ENV_PREFIX}{name.upper()}."


def need_serve_extra(what: str = "the server") -> None:
    """Raise BackendUnavailableError where the packages of the `serve` extra are not installed."""
    missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        raise BackendUnavailableError(
            f"{what} needs {', '.join(missing)}, which the base install leaves out; {install_extra('serve')}"
        )
