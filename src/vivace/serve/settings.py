"""The settings of a server: one table, from which flags, environment, settings file and documents come.

The docstring of a setting is its help on the command line, in the settings file and in the documents. `Flag` marks
those that are flags too; `settings_sources` reads all of them.
"""

from __future__ import annotations

import ipaddress
import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    ValidationInfo,
    ValidatorFunctionWrapHandler,
    WrapValidator,
    model_validator,
)

from vivace.checks import brief
from vivace.errors import UsageError
from vivace.media.size import parse_size
from vivace.models.loading import LoadOptions
from vivace.settings import Mark, Settings
from vivace.trust.label import Corner, LabelSize, Language
from vivace.trust.moderation import Safety

Count = Annotated[int, Field(ge=1)]
Seconds = Annotated[float, Field(gt=0)]
Port = Annotated[int, Field(ge=0, le=65535)]

_ICE_URL = re.compile(r"(stuns?|turns?):[^?:\s]+(:\d+)?(\?transport=(udp|tcp))?")
_ORIGIN = re.compile(r"null|[a-z][a-z0-9+.-]*://[^/?#@*,\s]+")


def _split(value: Any) -> Any:
    """Return a text such as `a,b` as a list; what begins as JSON, but is none, stays as it is."""
    if not isinstance(value, str) or value.lstrip().startswith(("[", "{")):
        return value
    return [name.strip() for name in value.split(",") if name.strip()]


def _ice_url(url: str) -> str:
    if not _ICE_URL.fullmatch(url):  # not repeated: some write a password into it
        raise ValueError("must be such as stun:stun.example:3478 or turn:turn.example:3478?transport=udp")
    return url


def _origin(origin: str) -> str:
    """Return an origin as browsers send it."""
    sent = origin.lower().rstrip("/")
    if not _ORIGIN.fullmatch(sent):
        raise ValueError(f"{brief(origin)} is not the origin of a page: scheme, host and port, without a wildcard")
    return sent


def _size(value: Any) -> Any:
    try:
        return parse_size(value) if isinstance(value, str) and not value.lstrip().startswith("[") else value
    except UsageError as error:
        raise ValueError(str(error).rstrip(".")) from None


def _size_or_none(value: Any) -> Any:
    return None if isinstance(value, str) and value.strip().lower() == "none" else _size(value)


def _larger(value: tuple[int, int] | None, info: ValidationInfo) -> tuple[int, int] | None:
    if value is not None and (size := info.data.get("size")) is not None and math.prod(value) <= math.prod(size):
        raise ValueError(f"{value[0]}x{value[1]} is no larger than size, {size[0]}x{size[1]}")
    return value


def _loading(value: Any, handler: ValidatorFunctionWrapHandler) -> LoadOptions:
    try:
        if isinstance(value, dict):
            LoadOptions.check_names(value)
        options: LoadOptions = handler(value)
        return options
    except UsageError as error:
        raise ValueError(str(error).rstrip(".")) from None


def _marks(value: object) -> object:
    """Read the marks as text: their names between commas, or `none`."""
    return [] if value == "none" else _split(value)


def _ports(value: Any) -> Any:
    """Read a range of ports such as `49200-49299`."""
    if not isinstance(value, str) or value.lstrip().startswith("["):
        return value
    first, dash, last = value.partition("-")
    if not (dash and first.strip().isdecimal() and last.strip().isdecimal()):
        raise ValueError(f"{brief(value)} is no range of ports; give the first and the last, such as 49200-49299")
    return int(first), int(last)


def _rising(ports: tuple[int, int]) -> tuple[int, int]:
    if not 1024 <= ports[0] <= ports[1] <= 65535:
        raise ValueError(f"{ports[0]}-{ports[1]} is no range of ports from 1024 to 65535")
    return ports


def _address(text: str) -> str:
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        raise ValueError(f"{brief(text)} is no IP address; a name is not looked up, give such as 203.0.113.7") from None


@dataclass(frozen=True, slots=True)
class Flag:
    """Mark of a setting that is a flag of `vivace serve` too."""

    group: Literal["Address", "Work", "Recording"]
    name: str | None = None
    """Name in place of the setting's own, for a flag that is given once for each value."""


class IceServer(BaseModel):
    """A STUN or TURN server, as browsers describe it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    urls: Annotated[list[Annotated[str, AfterValidator(_ice_url)]], BeforeValidator(_split)]
    username: str | None = None
    credential: SecretStr | None = None

    @property
    def needs_user(self) -> bool:
        """True of a TURN server without a user."""
        return self.username is None and any(url.startswith("turn") for url in self.urls)


class ServeSettings(BaseModel):
    """All settings. Each has a default that suits one person on one machine.

    A field that is no plain value has its written form in `examples`. One with `repr=False` holds secrets: what was
    given for it is in no message.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True, use_attribute_docstrings=True)

    host: Annotated[str, Flag("Address")] = "127.0.0.1"
    """Address to listen on. Any other than this machine's own needs `token_secret`."""
    port: Annotated[Port, Flag("Address")] = 8787
    """TCP port of pages, API and signalling; 0 takes a free one."""
    tls_cert: Annotated[Path | None, Flag("Address")] = None
    """PEM file of a certificate with its chain: HTTPS in place of HTTP, without which browsers give pages from other
    machines no camera."""
    tls_key: Annotated[Path | None, Flag("Address")] = None
    """PEM file of its private key, where that is not in the same file."""
    tls_self_signed: Annotated[bool, Flag("Address")] = False
    """HTTPS with a certificate made for this machine's names and addresses, which browsers warn of once."""
    allowed_origins: Annotated[
        list[Annotated[str, AfterValidator(_origin)]], BeforeValidator(_split), Flag("Address", "--allow-origin")
    ] = Field(default_factory=list, examples=["https://stage.example,https://other.example:8443"])
    """Origins of pages, besides our own, that may use the server from a browser; there is no wildcard."""
    token_secret: SecretStr | None = Field(default=None, repr=False)
    """Secret that tokens are signed with, from `vivace serve secret`. With one, every client needs a token."""
    udp_ports: (
        Annotated[tuple[Port, Port], BeforeValidator(_ports), AfterValidator(_rising), Flag("Address")] | None
    ) = Field(default=None, examples=["49200-49299"])
    """First and last UDP port of WebRTC media, which a firewall or container then lets through. A connection takes one
    port (a page, a publisher and each viewer are connections); any free ports if not set."""
    announced_address: Annotated[str, AfterValidator(_address), Flag("Address")] | None = None
    """Public IP address that clients are told to send media to, besides this machine's own: that of the router or
    container host whose `udp_ports` lead here unchanged."""
    ice_servers: list[IceServer] = Field(
        default_factory=list,
        repr=False,
        examples=['[{"urls": ["turn:turn.example:3478"], "username": "u", "credential": "p"}]'],
    )
    """STUN and TURN servers, for clients and for the server itself. One that gives no address within a second is named
    in the log at start, and done without."""
    turn_secret: SecretStr | None = Field(default=None, repr=False)
    """Secret shared with a TURN server (coturn's `static-auth-secret`): TURN servers without a user then get one that
    expires, made for each client."""
    turn_expires_s: Seconds = 21_600.0
    """Lifetime of such a user, s. It must outlast a session: TURN servers ask again while one runs."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """Least severe log line that is shown."""
    log_format: Annotated[Literal["text", "json"], Flag("Address")] = "text"
    """Form of log lines on standard error: text for people, or one JSON object each for programs."""

    models: Annotated[list[str], Field(min_length=1), BeforeValidator(_split), Flag("Work", "--model")] = Field(
        default_factory=lambda: ["mini"], examples=["mini,other"]
    )
    """Models to offer: names from `vivace models list`, or profiles of your own (`.toml`). The first is the default and
    loaded at start, the others on first use."""
    runtime: str | None = None
    """Runtime of the first model's network, one of those `vivace models show` names; the fastest there is if not
    set."""
    loading: Annotated[LoadOptions, WrapValidator(_loading)] = Field(
        default_factory=LoadOptions, examples=['{"style": "felted", "controls": {"guidance": 3}}']
    )
    """Style, files, device and so on of the first model, as the flags of `vivace run` say them: `style, steps, device,
    precision, files, loras`, and `controls`, those of the family that are settled by loading."""
    threads: Annotated[Count, Flag("Work")] | None = None
    """CPU threads of a model; all if not set. They are not bound to cores, so that decoding and encoding find one
    free."""
    encoder: Annotated[Literal["auto", "x264", "nvenc", "qsv", "amf", "videotoolbox", "mf"], Flag("Work")] = "x264"
    """Encoder of H.264 over WebRTC: `x264` on the CPU, a graphics card's, or `auto`, which tries each at start, logs
    what it found, and takes hardware that is much faster than x264."""
    size: Annotated[tuple[Count, Count], BeforeValidator(_size), Flag("Work")] = Field(
        default=(256, 256), examples=["512x288"]
    )
    """Area and shape of the output of a session that names none, `(width, height)` px."""
    dynamic_size: Annotated[
        tuple[Count, Count] | None, BeforeValidator(_size_or_none), AfterValidator(_larger), Flag("Work")
    ] = Field(default=(1280, 720), examples=["960x540"])
    """Size that the output of a session which names none grows to while there is time and memory, `(width, height)`
    px, in steps of one and a half times each side; `none` keeps the size that it begins with."""
    max_output_px: Count = 512 * 512
    """Largest output a client may ask for, width times height; a network is compiled for each size, and kept."""
    max_frame_px: Count = 1920 * 1088
    """Largest frame taken from a client, width times height."""

    osc: Annotated[str, Flag("Work")] | None = Field(default=None, examples=["9000"])
    """UDP port, or `HOST:PORT`, on which OSC steers every live session; a port alone is for programs of this machine.
    Whoever reaches it needs no token."""
    drive: Annotated[list[str], BeforeValidator(_split), Flag("Work")] = Field(
        default_factory=list, examples=["strength=level:0.3..1,seed=beat"]
    )
    """Controls of each session that follow its sound, where it does not say otherwise itself."""

    slots: Annotated[Count, Flag("Work")] | None = None
    """Sessions painted at once, of each model; as many as measured step times and memory allow if not set."""
    budget_ms: Seconds = 1e3 / 30
    """Time a frame may take, ms; sessions at once share it. Effort falls when a frame takes more than nine tenths of
    its time, since frames that follow closely wait for one another, and rises when less than eight tenths are
    expected."""
    min_fps: Seconds = 15.0
    """Frame rate that each session must be able to get at full effort: no more are let in than keep it."""
    memory_limit_mib: Count | None = None
    """Memory of all sessions' state together, MiB; half of what is free at start if not set."""
    queue_length: Annotated[int, Field(ge=0)] = 8
    """Sessions that may wait for a slot; more are refused."""
    max_sessions_per_client: Count = 4
    """Sessions of one client: of a token, or of an address where none is asked for."""

    heartbeat_s: Seconds = 4.0
    """Silence after which a client without a connection is absent, s."""
    grace_s: Seconds = 6.0
    """Time for an absent client to come back to its session, s. With `heartbeat_s` it is how long the slot of a page
    that crashed is kept."""
    idle_s: Seconds = 120.0
    """Time without a new frame after which a live session is ended, s."""
    drain_s: Seconds = 10.0
    """Time from the announcement of a shutdown to the end of the sessions, s."""

    recordings: Annotated[Path, Flag("Recording")] | None = None
    """Folder for recordings, made when it is needed. If not set, `vivace-recordings` right here on loopback without a
    token secret; elsewhere nothing is recorded."""
    recording_max_mib: Count = 1024
    """Largest recording, MiB."""
    recording_max_s: Seconds = 3600.0
    """Longest recording, s."""
    recordings_total_mib: Count = 10_240
    """Size of all recordings together, MiB; beyond it no new one begins."""

    marks: Annotated[frozenset[Mark], BeforeValidator(_marks)] = Field(
        default_factory=lambda: Settings.from_environment().marks, examples=["credentials,label,watermark"]
    )
    """Marks that say that pictures and recordings are repainted, or `none`; as `VIVACE_MARKS` says, all of them, if not
    set."""
    label: Corner = "top-left"
    """Corner of the label."""
    label_size: LabelSize = "small"
    """Size of the label."""
    label_language: Language = "en"
    """Language of the label."""
    watermark_everywhere: bool = False
    """Watermark also pictures that are their source's."""
    sign_certificate: Path | None = None
    """PEM file of the certificate that recordings are signed with, with its chain; one made on this machine if not
    set."""
    sign_key: Path | None = None
    """PEM file of its private key, where that is not in the same file."""
    sign_command: str | None = Field(default=None, repr=False)
    """Command that signs in place of a key."""

    policy: str | None = Field(default_factory=lambda: Settings.from_environment().policy)
    """File of the list of what is not painted, or `off`; as `VIVACE_POLICY` says, the list that comes with Vivace, if
    not set."""
    safety: Safety = "off"
    """Pictures that a network judges for sexual content: none, those that clients want painted like (`pictures`), or
    one picture of the `output` a second, too. It needs the extra `safety`."""

    max_body_bytes: Count = 6 * 1024 * 1024
    """Largest request, and largest control message, bytes."""
    verify_max_mib: Count = 256
    """Largest file to be checked (`POST /v1/verify`), MiB."""
    request_s: Seconds = 20.0
    """Time for a request to arrive, s: its head, and then its body."""
    max_messages_per_s: Seconds = 60.0
    """Messages a second on one control channel; bursts of twice as many."""

    @model_validator(mode="after")
    def _check_turn(self) -> Self:
        if self.turn_secret is not None and not any(server.needs_user for server in self.ice_servers):
            raise ValueError(
                "turn_secret makes users of TURN servers, and ice_servers names none without a user; add one, such as "
                '[{"urls": ["turn:turn.example:3478"]}]'
            )
        return self

    @property
    def offered(self) -> dict[str, str]:
        """Profiles by the name that clients know them by: of a file they learn no more than what it is called."""
        return {Path(model).stem if model.endswith(".toml") else model: model for model in self.models}

    @property
    def default_model(self) -> str:
        """Name of the first model."""
        return next(iter(self.offered))


SECTIONS = {
    "host": "Address",
    "log_level": "Log",
    "models": "Models and pictures",
    "osc": "Control surfaces",
    "slots": "Sessions at once",
    "heartbeat_s": "End of sessions",
    "recordings": "Recordings",
    "marks": "Marks",
    "policy": "Policy",
    "max_body_bytes": "Limits of one client",
}
"""Headings of the table in files and documents, by the setting that each begins with."""


def flag_of(name: str) -> Flag | None:
    """Return the mark of a setting that is a flag, None for one that is not."""
    field = ServeSettings.model_fields[name]
    nested = [mark for part in get_args(field.annotation) for mark in getattr(part, "__metadata__", ())]
    return next((mark for mark in (*field.metadata, *nested) if isinstance(mark, Flag)), None)


def flag_name(name: str) -> str:
    """Return the flag of a setting as it is typed, such as `--allow-origin`."""
    flag = flag_of(name)
    return f"--{name.replace('_', '-')}" if flag is None or flag.name is None else flag.name
