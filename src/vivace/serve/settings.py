"""Settings of the server: from the command line, or from the environment as `VIVACE_SERVE_<NAME>`."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Annotated, Any, Literal

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
)
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, EnvSettingsSource, PydanticBaseSettingsSource, SettingsConfigDict

from vivace.checks import brief
from vivace.errors import UsageError
from vivace.media.size import parse_size
from vivace.models.loading import LoadOptions
from vivace.settings import Mark, Settings
from vivace.trust.label import Corner, LabelSize, Language
from vivace.trust.moderation import Safety

Count = Annotated[int, Field(ge=1)]
Seconds = Annotated[float, Field(gt=0)]

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


def _larger(value: tuple[int, int], info: ValidationInfo) -> tuple[int, int]:
    if (size := info.data.get("size")) is not None and math.prod(value) <= math.prod(size):
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


class _Environment(EnvSettingsSource):
    """The environment, where lists and objects may be JSON or the text that their fields read."""

    def decode_complex_value(self, field_name: str, field: FieldInfo, value: Any) -> Any:
        try:
            decoded = super().decode_complex_value(field_name, field, value)
        except ValueError:
            decoded = None
        return value if decoded is None else decoded  # no JSON, or `null`: the field reads or refuses it, with its name


class IceServer(BaseModel):
    """A STUN or TURN server, as browsers describe it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    urls: Annotated[list[Annotated[str, AfterValidator(_ice_url)]], BeforeValidator(_split)]
    username: str | None = None
    credential: SecretStr | None = None


class ServeSettings(BaseSettings):
    """How a server runs. Everything has a default that suits one person on one machine.

    Of a field that is no plain value, `examples` has how it is written. One with `repr=False` holds secrets, and what
    was given for it is in no message.
    """

    model_config = SettingsConfigDict(
        env_prefix="VIVACE_SERVE_",
        env_nested_delimiter="__",
        frozen=True,
        extra="forbid",
        hide_input_in_errors=True,
    )

    @classmethod
    def settings_customise_sources(
        cls, settings_cls: type[BaseSettings], init_settings: PydanticBaseSettingsSource, *_others: Any, **_named: Any
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """What the caller gives, and then the environment."""
        return init_settings, _Environment(settings_cls)

    # Where it listens
    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535)] = 8787
    tls_cert: Path | None = None
    """PEM file of the certificate, with its chain, that HTTPS is spoken with."""
    tls_key: Path | None = None
    """PEM file of its private key; None: the certificate's file holds it."""
    tls_self_signed: bool = False
    """Speak HTTPS with a certificate that is made for this machine's names and addresses, and kept."""
    allowed_origins: Annotated[list[Annotated[str, AfterValidator(_origin)]], BeforeValidator(_split)] = Field(
        default_factory=list, examples=["https://stage.example,https://other.example:8443"]
    )
    """Origins of pages, besides our own, that may use the server from a browser; there is no wildcard."""
    token_secret: SecretStr | None = Field(default=None, repr=False)
    """Signs tokens. Needed to listen anywhere else than on loopback."""
    ice_servers: list[IceServer] = Field(
        default_factory=list,
        repr=False,
        examples=['[{"urls": ["turn:turn.example:3478"], "username": "u", "credential": "p"}]'],
    )
    log_level: Literal["debug", "info", "warning", "error"] = "info"

    # What it runs
    models: Annotated[list[str], Field(min_length=1), BeforeValidator(_split)] = Field(
        default_factory=lambda: ["mini"], examples=["mini,other"]
    )
    """Profiles to offer, by name or as their own `.toml` files.

    The first is the default and loaded at start, the others on first use."""
    runtime: str | None = None
    """What runs the first model's network; None: the fastest there is."""
    loading: Annotated[LoadOptions, WrapValidator(_loading)] = Field(
        default_factory=LoadOptions, examples=['{"style": "felted", "controls": {"guidance": 3}}']
    )
    """Style, files, device and so on of the first model; the others are loaded as their profiles say."""
    threads: Count | None = None
    """CPU threads a model may use; None: all."""
    size: Annotated[tuple[Count, Count], BeforeValidator(_size)] = Field(default=(256, 256), examples=["512x288"])
    """Output `(width, height)` of a session that names none, px."""
    dynamic_size: Annotated[tuple[Count, Count], BeforeValidator(_size), AfterValidator(_larger)] | None = Field(
        default=None, examples=["1280x720"]
    )
    """Largest output, by its area, that a session which names no size grows to while there is time; it shrinks again
    when there is none. None: outputs keep the size they begin with."""
    max_output_px: Count = 512 * 512
    """Largest output a client may ask for, width times height; a network is compiled for each size, and kept."""
    max_frame_px: Count = 1920 * 1088
    """Largest frame taken from a client, width times height."""

    encoder: Literal["auto", "x264", "nvenc", "qsv", "amf", "videotoolbox", "mf"] = "x264"
    """Of H.264 over WebRTC: `x264` on the CPU, a graphics card's, or `auto`, which tries each at the start and takes
    the fastest."""

    # How much at once
    slots: Count | None = None
    """Sessions that are painted at once, of each model; None: as many as measured step times and memory allow."""
    budget_ms: Seconds = 1e3 / 30
    """Time a frame may take: 30 pictures a second. Sessions at once share it by spending less on each."""
    min_fps: Seconds = 15.0
    """What everyone must be able to get at full effort: no more sessions are let in than keep this rate."""
    memory_limit_mib: Count | None = None
    """Of all sessions' state together; None: half of what is free at start."""
    queue_length: Annotated[int, Field(ge=0)] = 8
    """Sessions that may wait for a slot; more are refused."""
    max_sessions_per_client: Count = 4

    # When sessions end
    heartbeat_s: Seconds = 4.0
    """A client that gives no sign for so long, and has no connection, is absent."""
    grace_s: Seconds = 6.0
    """An absent client that comes back within this time gets its session back. Both together keep a slot from others
    after a page has crashed."""
    idle_s: Seconds = 120.0
    """A live session without a new frame for so long is ended."""
    drain_s: Seconds = 10.0
    """Time between the announcement of a shutdown and the end of the sessions."""

    # Recording
    recordings: Path | None = None
    """Folder of recordings, created when needed; None: nobody can record."""
    recording_max_mib: Count = 1024
    """Of one recording."""
    recording_max_s: Seconds = 3600.0
    recordings_total_mib: Count = 10_240
    """Of all recordings together; beyond it no new one begins."""

    # What marks pictures and recordings as repainted
    marks: Annotated[frozenset[Mark], BeforeValidator(_marks)] = Field(
        default_factory=lambda: Settings.from_environment().marks, examples=["credentials,label,watermark"]
    )
    """The marks there are, or `none`; as `VIVACE_MARKS` says if not given."""
    label: Corner = "top-left"
    """The corner of the label."""
    label_size: LabelSize = "small"
    label_language: Language = "en"
    watermark_everywhere: bool = False
    """Whether the watermark is also where a picture is its source's."""
    sign_certificate: Path | None = None
    """PEM file of the certificate that recordings are signed with, with its chain; None: one made on this machine."""
    sign_key: Path | None = None
    """PEM file of its private key; None: the certificate's file holds it."""
    sign_command: str | None = Field(default=None, repr=False)
    """A command that signs in place of a key."""

    # What is not painted
    policy: str | None = Field(default_factory=lambda: Settings.from_environment().policy)
    """File of the list of what is not painted, or `off`; None: the one that comes with Vivace, unless `VIVACE_POLICY`
    says otherwise."""
    safety: Safety = "off"
    """Which pictures a network judges for sexual content: none, those that clients want painted like, or one picture of
    the output a second, too. It needs the extra `safety`."""

    # Of one client
    max_body_bytes: Count = 6 * 1024 * 1024
    verify_max_mib: Count = 256
    """Of a file to be checked."""
    request_s: Seconds = 20.0
    """Time for a request to arrive: its head, and then its body."""
    max_messages_per_s: Seconds = 60.0

    @property
    def offered(self) -> dict[str, str]:
        """Profiles by the name that clients know them by: of a file they learn no more than what it is called."""
        return {Path(model).stem if model.endswith(".toml") else model: model for model in self.models}

    @property
    def default_model(self) -> str:
        """Name of the first."""
        return next(iter(self.offered))
