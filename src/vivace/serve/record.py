"""Record of a session: all that another process needs to go on with it, but for the model's memory of the pictures."""

from __future__ import annotations

import secrets
import string
from collections.abc import Sequence
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field

from vivace.messages import Controls
from vivace.serve.links import LinkKind

ID_CHARS = string.ascii_letters + string.digits
"""Characters of a session's id, which people type after a command: one that began with a dash would be a flag."""
ID_LENGTH = 12
MAX_FPS = 60.0
Fps = Annotated[float, Field(ge=1, le=MAX_FPS)]


class SessionRecord(BaseModel):
    """A session as it could be opened again: who has its secret finds it unchanged."""

    model_config = ConfigDict(frozen=True)

    id: str
    secret: Annotated[str, Field(repr=False)]
    """Secret of its owner, who gets the session back for it."""
    client: str
    """Owner by which sessions are counted: a token's name or an address."""
    model: str | None = None
    controls: Controls = Field(default_factory=Controls)
    """Controls in force, with the seed and the look."""
    fps: Fps | None = None
    """Frames a second that were asked for; None: what everybody gets."""
    drive: tuple[str, ...] = ()
    """Controls that follow the session's sound, as `vivace.show.drive` writes them."""
    links: Annotated[dict[LinkKind, str], Field(repr=False)] = Field(default_factory=dict)
    """Tokens of its links."""

    @classmethod
    def new(
        cls, client: str, model: str | None, controls: Controls, fps: float | None, drive: Sequence[str] = ()
    ) -> Self:
        """Return the record of a session that nobody knows yet."""
        return cls(
            id="".join(secrets.choice(ID_CHARS) for _ in range(ID_LENGTH)),
            secret=secrets.token_urlsafe(24),
            client=client,
            model=model,
            controls=controls,
            fps=fps,
            drive=tuple(drive),
        )
