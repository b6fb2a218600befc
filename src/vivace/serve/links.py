"""Links that the owner of a session gives to others: one to watch it, one to steer it; each can be withdrawn.

A link's token is sent like any other (`Authorization: Bearer …`, `?token=…`) and needs no further one: it is the
session's id, a dot, and 128 random bits. It ends with the session. Neither kind ends a session, publishes to it, or
records.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from vivace.serve.auth import same_text

LinkKind = Literal["watch", "steer"]


@dataclass(frozen=True, slots=True, eq=False)
class Link:
    """A link in force, or one that was."""

    kind: LinkKind
    token: str = field(repr=False)
    withdrawn: asyncio.Event = field(default_factory=asyncio.Event, repr=False)
    """Set when it is in force no longer."""


class Links:
    """The links of one session, at most one of a kind. Used on the event loop."""

    def __init__(
        self,
        session_id: str,
        tokens: Mapping[LinkKind, str] | None = None,
        changed: Callable[[str], None] = lambda _session_id: None,
    ) -> None:
        """Begin with links of these tokens; `changed` is told of the session when there are others."""
        self._session_id = session_id
        self._links = {kind: Link(kind, token) for kind, token in (tokens or {}).items()}
        self._changed = changed

    @property
    def tokens(self) -> dict[LinkKind, str]:
        """Tokens of the links in force."""
        return {kind: link.token for kind, link in self._links.items()}

    def make(self, kind: LinkKind) -> Link:
        """Return the link of a kind, a new one if there is none."""
        if kind not in self._links:
            self._links[kind] = Link(kind, f"{self._session_id}.{secrets.token_urlsafe(16)}")
            self._changed(self._session_id)
        return self._links[kind]

    def withdraw(self, kind: LinkKind) -> None:
        """End a link, if there is one: whoever came by it is let go, and its token opens nothing any more."""
        link = self._links.pop(kind, None)
        if link is not None:
            link.withdrawn.set()
            self._changed(self._session_id)

    def find(self, token: str) -> Link | None:
        """Return the link in force that a token is of."""
        return next((link for link in self._links.values() if same_text(link.token, token)), None)


def session_of(token: str) -> str | None:
    """Return the id of the session that a link's token names; None if it is none, as a web token with two dots."""
    session_id, dot, rest = token.partition(".")
    return session_id if dot and "." not in rest else None
