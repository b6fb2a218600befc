"""Authorisation: signed tokens with scopes and an expiry, and which addresses may be served without one.

A token is a JSON Web Token (RFC 7519), signed with HMAC-SHA256 (`HS256`, and nothing else). Its claims are `exp`, `jti`
(a name of its own), `scope` (words, as in RFC 8693) and perhaps `session`. The server keeps no list of tokens: whoever
knows the secret can make and check them, with any JWT library. A new secret ends all tokens.
"""

from __future__ import annotations

import asyncio
import hmac
import ipaddress
import re
import secrets
from collections.abc import Set
from dataclasses import dataclass
from typing import Annotated, Literal, get_args

import jwt
from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, ValidationError

from vivace.errors import UsageError, describe_invalid

Scope = Literal["publish", "view", "admin"]
"""`publish` opens sessions and steers its own, `view` watches, `admin` may do all of it to every session. (Who may only
steer, `steer`, has a link of the session, which can be withdrawn, and no token.)"""

SCOPES: tuple[Scope, ...] = get_args(Scope)

MIN_SECRET_CHARS = 32
"""128 bits in hexadecimal digits: nobody guesses it, offline, from a token."""
ALGORITHM = "HS256"
MAX_TOKEN_CHARS = 1_024
MAX_EXPIRES_S = 366 * 86_400

_UNITS_S = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}
_IMPLIED: dict[str, frozenset[str]] = {
    "view": frozenset({"view"}),
    "publish": frozenset({"publish", "steer", "view"}),
    "admin": frozenset({*SCOPES, "steer"}),
}


class TokenError(UsageError):
    """A token that is missing, damaged, expired or of another secret."""

    code = "bad_token"


class ExpiredTokenError(TokenError):
    """A token that was good once."""

    code = "expired_token"


class SecretError(UsageError):
    """The server needs a secret to sign tokens with, or has one that can be guessed."""


@dataclass(frozen=True, slots=True)
class Access:
    """Identity and rights of a client."""

    client: str
    """Name that sessions are counted by: the token, or the network address."""
    scopes: frozenset[str]
    local: bool = False
    """A person at this machine, whom no token was asked of: may read recordings and metrics."""
    session: str | None = None
    """The only session the token is for, if it is for one."""
    withdrawn: asyncio.Event | None = None
    """Event of a client that came by a link: set when the link is withdrawn."""

    def may(self, scope: Scope | Literal["steer"]) -> bool:
        """Return whether the scope is granted."""
        return scope in self.scopes

    @property
    def operates(self) -> bool:
        """True if the client may see recordings, metrics and the list of sessions."""
        return self.local or "admin" in self.scopes


def make_secret() -> str:
    """Return a new secret to sign tokens with."""
    return secrets.token_hex(32)


def check_secret(secret: str) -> None:
    """Refuse a secret that tokens cannot be signed with.

    Raises:
        SecretError: it is short enough to be guessed, or a key of another kind.
    """
    try:
        if len(secret) < MIN_SECRET_CHARS:
            raise jwt.InvalidKeyError(f"it has {len(secret)} characters, and {MIN_SECRET_CHARS} or more are needed")
        jwt.get_algorithm_by_name(ALGORITHM).prepare_key(secret)
    except jwt.InvalidKeyError as error:
        raise SecretError(f"the token secret cannot be used: {error}; `vivace serve secret` makes one") from error


def make_token(
    secret: str, scopes: frozenset[Scope], *, expires_s: float, now_s: float, session: str | None = None
) -> str:
    """Return a token.

    Args:
        secret: what the server was given as `VIVACE_SERVE_TOKEN_SECRET`.
        scopes: one or more.
        expires_s: seconds it is valid, up to a year.
        now_s: the time, in seconds since 1970.
        session: the only session it may watch; for the scope `view` alone.

    Raises:
        SecretError: a secret that tokens cannot be signed with.
        UsageError: no scope, one that does not go with a session, or an expiry out of range.
    """
    check_secret(secret)
    _check_scopes(scopes, session)
    if not 1 <= expires_s <= MAX_EXPIRES_S:
        raise UsageError(f"a token cannot expire in {expires_s:g} s; give 1 s to {MAX_EXPIRES_S // 86_400} d")
    claims = {"jti": secrets.token_hex(8), "exp": int(now_s + expires_s), "scope": " ".join(sorted(scopes))}
    if session is not None:
        claims["session"] = session
    return jwt.encode(claims, secret, ALGORITHM)


def read_token(secret: str, token: str, *, now_s: float) -> Access:
    """Return what a token grants.

    Raises:
        TokenError: it is damaged, expired, signed with another secret or in another way, or claims something else. The
            message never repeats it.
    """
    check_secret(secret)
    try:
        if len(token) > MAX_TOKEN_CHARS or not token.isascii():
            raise jwt.DecodeError("too long, or not ASCII")
        payload = jwt.decode(token, secret, [ALGORITHM], options={"verify_exp": False})  # by the clock given, below
        claims = _Claims.model_validate(payload)
    except jwt.InvalidSignatureError as error:
        raise TokenError("the token was signed with another secret; `vivace serve token` makes a new one") from error
    except (jwt.InvalidTokenError, ValidationError) as error:
        what = describe_invalid(error.errors()) if isinstance(error, ValidationError) else error
        raise TokenError(f"this token cannot be used ({what}); `vivace serve token` makes one") from error
    if now_s >= claims.exp:
        raise ExpiredTokenError("the token has expired; make a new one with `vivace serve token`")
    scopes = frozenset(claims.scope.split())
    _check_scopes(scopes, claims.session, TokenError)
    granted = frozenset[str]().union(*(_IMPLIED[scope] for scope in scopes))
    return Access(f"token:{claims.jti}", granted, session=claims.session)


class _Claims(BaseModel):
    model_config = ConfigDict(strict=True)

    exp: FiniteFloat
    jti: Annotated[str, Field(min_length=1)]
    scope: str
    session: Annotated[str, Field(min_length=1)] | None = None


def _check_scopes(scopes: Set[str], session: str | None, error: type[UsageError] = UsageError) -> None:
    if not scopes or not scopes <= set(SCOPES):
        raise error(f"scopes are {sorted(scopes)}; give one or more of {', '.join(SCOPES)}")
    if session == "":
        raise error("a token for one session names it; give its id, or leave the session out")
    if session is not None and scopes != {"view"}:
        raise error(f"a token for one session watches it, so its scope is view, not {', '.join(sorted(scopes))}")


def parse_duration_s(text: str) -> float:
    """Return the seconds of `90s`, `15m`, `1h` or `7d`.

    Raises:
        UsageError: anything else.
    """
    found = re.fullmatch(r"(\d{1,9})([smhd])", text.strip())
    if found is None:
        raise UsageError(f"{text[:40]!r} is not a duration; write it like 90s, 15m, 1h or 7d")
    return float(int(found[1]) * _UNITS_S[found[2]])


def is_loopback(host: str) -> bool:
    """Return whether a host name or address, without a port, can only mean this machine."""
    name = host.strip("[]").rstrip(".").lower()
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(name.partition("%")[0]).is_loopback
    except ValueError:
        return False


def check_listening(host: str, secret: str | None) -> None:
    """Refuse to listen where strangers are without a secret.

    Raises:
        SecretError: the address is not loopback and there is no secret, or a weak one.
    """
    if secret is not None:
        check_secret(secret)
    elif not is_loopback(host):
        raise SecretError(
            f"--host {host[:80]} can be reached from other machines, so clients need tokens; make a secret and start "
            "again:\n        export VIVACE_SERVE_TOKEN_SECRET=$(vivace serve secret)\n        vivace serve token "
            "--scope publish --expires 1h     # for each client"
        )


def same_text(left: str, right: str) -> bool:
    """Compare two secrets in constant time."""
    return hmac.compare_digest(left.encode(), right.encode())
