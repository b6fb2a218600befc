"""What a server answers, typed, and how it refuses."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from vivace.errors import MediaError
from vivace.messages import Notice


class ServerError(MediaError):
    """The server refused: `code` is for programs, the message for people, `retry_after_s` where waiting helps."""

    def __init__(
        self, message: str, *, code: str = "server", status: int = 0, retry_after_s: float | None = None
    ) -> None:
        super().__init__(message)
        self.code = code
        self.status = status
        self.retry_after_s = retry_after_s


class ServerUnreachableError(ServerError):
    """Nobody answers at the address, or the connection was lost for longer than the server keeps a session."""


class _Answer(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)  # newer servers may say more


class Limits(_Answer):
    """What the server puts up with."""

    max_frame_px: int
    max_prompt_chars: int
    max_body_bytes: int
    messages_per_s: float
    heartbeat_s: float
    """A client that is silent for longer, without a media connection, is absent."""
    grace_s: float
    """How long a session is kept for a client that lost its connection."""
    idle_s: float


class IceServer(_Answer):
    """A STUN or TURN server."""

    urls: list[str]
    username: str | None = None
    credential: Annotated[str | None, Field(repr=False)] = None


class SessionInfo(_Answer):
    """A session, as the client that opened it sees it."""

    id: str
    secret: Annotated[str, Field(repr=False)]
    state: Literal["waiting", "live", "ended"]
    model: str
    position: int | None = None
    retry_after_s: float | None = None
    control_url: str
    offer_url: str
    whip_url: str
    whep_url: str
    ice_servers: list[IceServer]
    limits: Limits
    notices: tuple[Notice, ...] = ()
    """What was asked for and left out."""


class RecordingInfo(_Answer):
    """A recording on the server."""

    name: str
    bytes: int
    url: str
