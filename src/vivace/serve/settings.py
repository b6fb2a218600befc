"""Settings of the server: from the command line, or from the environment as `VIVACE_SERVE_<NAME>`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from vivace.models.loading import LoadOptions

Count = Annotated[int, Field(ge=1)]
Seconds = Annotated[float, Field(gt=0)]


class IceServer(BaseModel):
    """A STUN or TURN server, as browsers describe it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    urls: list[Annotated[str, Field(pattern=r"^(stuns?|turns?):[^?:\s]+(:\d+)?(\?transport=(udp|tcp))?$")]]
    username: str | None = None
    credential: SecretStr | None = None


class ServeSettings(BaseSettings):
    """How a server runs. Everything has a default that suits one person on one machine."""

    model_config = SettingsConfigDict(
        env_prefix="VIVACE_SERVE_", env_nested_delimiter="__", frozen=True, extra="forbid"
    )

    # Where it listens
    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535)] = 8787
    allowed_origins: list[str] = Field(default_factory=list)
    """Origins of pages, besides our own, that may use the server from a browser; there is no wildcard."""
    token_secret: SecretStr | None = None
    """Signs tokens. Needed to listen anywhere else than on loopback."""
    ice_servers: list[IceServer] = Field(default_factory=list)
    log_level: Annotated[str, Field(pattern="^(debug|info|warning|error)$")] = "info"

    # What it runs
    models: Annotated[list[str], Field(min_length=1)] = Field(default_factory=lambda: ["mini"])
    """Profiles to offer, by name or as their own `.toml` files.

    The first is the default and loaded at start, the others on first use."""
    runtime: str | None = None
    """What runs the first model's network; None: the fastest there is."""
    loading: LoadOptions = Field(default_factory=LoadOptions)
    """Style, files, device and so on of the first model; the others are loaded as their profiles say."""
    threads: Count | None = None
    """CPU threads a model may use; None: all."""
    size: tuple[Count, Count] = (256, 256)
    """Output `(width, height)` of a session that names none, px."""
    max_output_px: Count = 512 * 512
    """Largest output a client may ask for, width times height; a network is compiled for each size, and kept."""
    max_frame_px: Count = 1920 * 1088
    """Largest frame taken from a client, width times height."""

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

    # Of one client
    max_body_bytes: Count = 6 * 1024 * 1024
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
