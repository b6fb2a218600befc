"""Typed replies of a server, and its errors."""

from __future__ import annotations

import json
import logging
from typing import Annotated, Literal

from pydantic import Field, TypeAdapter, ValidationError

from vivace.errors import MediaError, describe_invalid
from vivace.messages import ClientMessage, Limits, Notice, Reply, ServerMessage

_log = logging.getLogger(__name__)

_SERVER_MESSAGE: TypeAdapter[ServerMessage] = TypeAdapter(ServerMessage)


class ServerError(MediaError):
    """Refusal by the server: `code` is for programs, the message for people, `retry_after_s` if waiting helps."""

    def __init__(
        self, message: str, *, code: str = "server", status: int = 0, retry_after_s: float | None = None
    ) -> None:
        super().__init__(message)
        self.code = code
        self.status = status
        self.retry_after_s = retry_after_s


class ServerUnreachableError(ServerError):
    """No answer from the address, or a connection lost for longer than the server keeps a session."""


class IceServer(Reply):
    """A STUN or TURN server."""

    urls: list[str]
    username: str | None = None
    credential: Annotated[str | None, Field(repr=False)] = None


class SessionInfo(Reply):
    """A session as the client that opened it sees it."""

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
    """Requests that could not be met and were left out."""


def write_message(message: ClientMessage) -> str:
    """Return a message as JSON, without unset fields: a None, as null, is a value like any other."""
    return json.dumps({"type": message.type, **message.model_dump(mode="json", exclude_unset=True)})


def read_message(text: str | bytes) -> ServerMessage | None:
    """Return a server's message; None, with a log line, if this version does not know it."""
    try:
        return _SERVER_MESSAGE.validate_json(text)
    except ValidationError as error:
        _log.warning("a message is left out, as if of another version: %s", describe_invalid(error.errors()))
        return None
