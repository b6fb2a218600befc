"""Finds out who asks: a token in the header or the address, a session's secret, or a person at this machine."""

from __future__ import annotations

import time
from collections.abc import Callable

from starlette.requests import HTTPConnection

from vivace.serve.auth import SCOPES, Access, Scope, TokenError, read_token, same_text
from vivace.serve.http.errors import ApiError
from vivace.serve.session import LiveSession

SECRET_HEADER = "x-session-secret"

_EVERYTHING_BUT_OTHERS = frozenset(set(SCOPES) - {"admin"})


class AccessControl:
    """Says who a request comes from, and refuses those that may not do what they ask."""

    def __init__(self, token_secret: str | None, *, clock: Callable[[], float] = time.time) -> None:
        self._token_secret = token_secret
        self._clock = clock

    @property
    def asks_for_tokens(self) -> bool:
        """Whether tokens are needed."""
        return self._token_secret is not None

    def access(self, request: HTTPConnection) -> Access:
        """Return who asks, by token or, where none is asked for, by address.

        Raises:
            ApiError: 401, no token or a bad one.
        """
        if self._token_secret is None:
            return Access(f"address:{_address(request)}", _EVERYTHING_BUT_OTHERS, local=True)
        token = _bearer(request) or request.query_params.get("token")
        if not token:
            raise ApiError(401, "no_token", "this server asks for a token: `Authorization: Bearer …` or `?token=…`")
        try:
            return read_token(self._token_secret, token, now_s=self._clock())
        except TokenError as error:
            raise ApiError(401, error.code, str(error)) from error

    def need(self, request: HTTPConnection, scope: Scope) -> Access:
        """Return who asks.

        Raises:
            ApiError: 401 as in `access`, or 403, the token lacks the scope.
        """
        access = self.access(request)
        if not access.may(scope):
            raise ApiError(403, "scope", f"the token lacks the scope {scope!r}; `vivace serve token --scope {scope}`")
        return access

    def need_operator(self, request: HTTPConnection) -> Access:
        """Return who asks, if recordings, metrics and the list of sessions are for them.

        Raises:
            ApiError: 401 or 403.
        """
        access = self.access(request)
        if not access.operates:
            raise ApiError(403, "scope", "the token lacks the scope 'admin'; `vivace serve token --scope admin`")
        return access

    def need_control(self, request: HTTPConnection, session: LiveSession) -> Access:
        """Return who asks, if the session is theirs to steer: its secret, or the scope `admin`.

        Raises:
            ApiError: 401 or 403.
        """
        access = self.need(request, "publish")
        if access.may("admin"):
            return access
        given = request.headers.get(SECRET_HEADER) or request.query_params.get("secret") or ""
        if not same_text(given, session.secret):
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


def _bearer(request: HTTPConnection) -> str | None:
    kind, _, token = request.headers.get("authorization", "").partition(" ")
    return token.strip() if kind.lower() == "bearer" else None


def _address(request: HTTPConnection) -> str:
    return request.client.host if request.client is not None else "unknown"
