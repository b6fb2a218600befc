"""Finds out who asks: a token in the header or the address, a session's secret or link, a person at this machine."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Literal, Protocol

from starlette.requests import HTTPConnection

from vivace.errors import SessionClosedError
from vivace.serve.auth import Access, Scope, TokenError, read_token, same_text
from vivace.serve.http.errors import ApiError
from vivace.serve.links import LinkKind, session_of
from vivace.serve.session import LiveSession

SECRET_HEADER = "x-session-secret"

_EVERYTHING_BUT_OTHERS = frozenset({"publish", "steer", "view"})
_OF_LINK: dict[LinkKind, frozenset[str]] = {"watch": frozenset({"view"}), "steer": frozenset({"steer", "view"})}


class Sessions(Protocol):
    """Sessions as access needs them, see `serve.session_manager.SessionManager`."""

    def get(self, session_id: str) -> Any:
        """Return a session that has not ended.

        Raises:
            SessionClosedError: there is none, or no more.
        """

    def how_ended(self, session_id: str) -> Any:
        """Return how a session ended; None if it is not known."""


class AccessControl:
    """Says who a request comes from, and refuses those that may not do what they ask."""

    def __init__(self, token_secret: str | None, sessions: Sessions, *, clock: Callable[[], float] = time.time) -> None:
        self._token_secret = token_secret
        self._sessions = sessions
        self._clock = clock

    @property
    def asks_for_tokens(self) -> bool:
        """True where tokens are needed."""
        return self._token_secret is not None

    def access(self, request: HTTPConnection) -> Access:
        """Return who asks, by token, by a session's link or, where no token is asked for, by address.

        Raises:
            ApiError: 401, no token, a bad one, or that of a link that was withdrawn; 404, a link of no session.
            SessionClosedError: a link of a session that has ended.
        """
        token = _bearer(request) or request.query_params.get("token")
        if token and (session_id := session_of(token)) is not None:
            return self._by_link(session_id, token)
        if self._token_secret is None:
            return Access(f"address:{_address(request)}", _EVERYTHING_BUT_OTHERS, local=True)
        if not token:
            raise ApiError(401, "no_token", "this server asks for a token: `Authorization: Bearer …` or `?token=…`")
        try:
            return read_token(self._token_secret, token, now_s=self._clock())
        except TokenError as error:
            raise ApiError(401, error.code, str(error)) from error

    def session(self, session_id: str) -> LiveSession:
        """Return a session that has not ended.

        Raises:
            ApiError: 404, there never was one of this name, or long ago.
            SessionClosedError: it has ended.
        """
        try:
            session: LiveSession = self._sessions.get(session_id)
            return session
        except SessionClosedError as error:
            if self._sessions.how_ended(session_id) is not None:
                raise
            raise ApiError(404, "no_session", str(error)) from error

    def _by_link(self, session_id: str, token: str) -> Access:
        session = self.session(session_id)
        link = session.links.find(token)
        if link is None:
            raise ApiError(401, "link_withdrawn", "this link has been withdrawn; ask who gave it to you for a new one")
        return Access(f"link:{session.id}", _OF_LINK[link.kind], session=session.id, withdrawn=link.withdrawn)

    def need(self, request: HTTPConnection, scope: Scope | Literal["steer"]) -> Access:
        """Return who asks.

        Raises:
            ApiError, SessionClosedError: as in `access`, or 403, the token lacks the scope.
        """
        access = self.access(request)
        if access.may(scope):
            return access
        if access.withdrawn is not None:
            raise ApiError(403, "scope", "this link does not allow that; who opened the session may do it")
        scope = "publish" if scope == "steer" else scope
        raise ApiError(403, "scope", f"the token lacks the scope {scope!r}; `vivace serve token --scope {scope}`")

    def need_operator(self, request: HTTPConnection) -> Access:
        """Return who asks, if recordings, metrics and the list of sessions are for them.

        Raises:
            ApiError: 401 or 403.
        """
        access = self.access(request)
        if not access.operates:
            raise ApiError(403, "scope", "the token lacks the scope 'admin'; `vivace serve token --scope admin`")
        return access

    def need_control(self, request: HTTPConnection, session: LiveSession, scope: Literal["publish", "steer"]) -> Access:
        """Return who asks, if the session is theirs, by its secret or the scope `admin`, or, to steer, by its link.

        Raises:
            ApiError, SessionClosedError: as in `need`, or 403.
        """
        access = self.need(request, scope)
        if access.may("admin") or (access.withdrawn is not None and access.session == session.id):
            return access
        if not same_text(given_secret(request), session.secret):
            raise ApiError(
                403,
                "secret",
                "the session's secret is missing or wrong; give what opening it answered as `X-Session-Secret` or "
                "`?secret=…`",
            )
        return access

    def need_view(self, request: HTTPConnection, session: LiveSession) -> Access:
        """Return who asks, if they may watch the session.

        Raises:
            ApiError: 401 or 403.
        """
        access = self.need(request, "view")
        if access.session is not None and access.session != session.id:
            raise ApiError(403, "session", "the token is for another session; ask for one for this session")
        return access


def given_secret(request: HTTPConnection) -> str:
    """Return the session's secret that a request holds, right or wrong; "" for none."""
    return request.headers.get(SECRET_HEADER) or request.query_params.get("secret") or ""


def _bearer(request: HTTPConnection) -> str | None:
    kind, _, token = request.headers.get("authorization", "").partition(" ")
    return token.strip() if kind.lower() == "bearer" else None


def _address(request: HTTPConnection) -> str:
    return request.client.host if request.client is not None else "unknown"
