"""Tokens, and the addresses that may be served without them."""

from __future__ import annotations

import base64
import json
import time

import jwt
import pytest

from vivace.errors import UsageError
from vivace.serve.auth import (
    ExpiredTokenError,
    SecretError,
    TokenError,
    check_listening,
    is_loopback,
    make_secret,
    make_token,
    parse_duration_s,
    read_token,
)

SECRET = make_secret()
NOW_S = 1_800_000_000.0


def token(*scopes: str, expires_s: float = 60, secret: str = SECRET, session: str | None = None) -> str:
    return make_token(secret, frozenset(scopes), expires_s=expires_s, now_s=NOW_S, session=session)  # type: ignore[arg-type]


def test_a_token_grants_its_scope_and_what_that_implies() -> None:
    assert read_token(SECRET, token("view"), now_s=NOW_S).scopes == {"view"}
    assert read_token(SECRET, token("publish"), now_s=NOW_S).scopes == {"publish", "steer", "view"}
    assert read_token(SECRET, token("admin"), now_s=NOW_S).scopes == {"publish", "steer", "view", "admin"}


def test_tokens_are_told_apart() -> None:
    first, second = (read_token(SECRET, token("view"), now_s=NOW_S) for _ in range(2))
    assert first.client != second.client


def test_a_token_may_be_for_one_session() -> None:
    assert read_token(SECRET, token("view", session="abc"), now_s=NOW_S).session == "abc"


@pytest.mark.parametrize("scopes", [("publish",), ("admin",), ("view", "publish")])
def test_a_token_for_one_session_only_watches(scopes: tuple[str, ...]) -> None:
    with pytest.raises(UsageError, match="view"):
        token(*scopes, session="abc")


def test_a_token_is_valid_up_to_its_expiry_and_not_at_it() -> None:
    one = token("view", expires_s=60)
    read_token(SECRET, one, now_s=NOW_S + 59)
    with pytest.raises(ExpiredTokenError, match="expired"):
        read_token(SECRET, one, now_s=NOW_S + 60)


def test_another_secret_ends_all_tokens() -> None:
    with pytest.raises(TokenError, match="another secret"):
        read_token(make_secret(), token("admin"), now_s=NOW_S)


def test_a_changed_character_anywhere_is_noticed() -> None:
    good = token("view")
    for place in range(len(good)):
        # The last character of base64 may carry unused bits, which must not be changeable either.
        bad = good[:place] + ("A" if good[place] != "A" else "B") + good[place + 1 :]
        with pytest.raises(TokenError):
            read_token(SECRET, bad, now_s=NOW_S)


@pytest.mark.parametrize(
    "text", ["", "v1", "v1.a.b", "v2.a.b", "v1..", "a.b.c.d", "v1." + "a" * 5000 + ".b", "é.ü.ß", "\ud800.a.b"]
)
def test_what_is_no_token_is_refused_without_being_repeated(text: str) -> None:
    with pytest.raises(TokenError) as caught:
        read_token(SECRET, text, now_s=NOW_S)
    assert len(str(caught.value)) < 120


def minted(algorithm: str = "HS256", key: str = SECRET, **claims: object) -> str:
    """Return a token of another issuer."""
    return jwt.encode({"exp": NOW_S + 60, "jti": "theirs", "scope": "publish"} | claims, key, algorithm)


def test_any_jwt_library_mints_and_reads_tokens() -> None:
    access = read_token(SECRET, minted(iss="them", iat=1, scope="view  publish"), now_s=NOW_S)
    assert (access.client, access.scopes, access.session) == ("token:theirs", {"publish", "steer", "view"}, None)
    assert read_token(SECRET, minted(scope="view", session="abc"), now_s=NOW_S).session == "abc"
    header, payload, _ = token("view", "publish").split(".")
    assert json.loads(base64.urlsafe_b64decode(header + "==")) == {"alg": "HS256", "typ": "JWT"}
    claims = json.loads(base64.urlsafe_b64decode(payload + "=="))
    assert claims.pop("jti")
    assert claims == {"exp": 1_800_000_060, "scope": "publish view"}


@pytest.mark.parametrize("algorithm", ["HS384", "HS512", "none"])
def test_no_algorithm_is_taken_but_the_one(algorithm: str) -> None:
    key = SECRET if algorithm != "none" else ""
    with pytest.raises(TokenError, match="alg"):
        read_token(SECRET, minted(algorithm, key), now_s=NOW_S)
    *signed, _ = minted(algorithm, key).split(".")
    with pytest.raises(TokenError):
        read_token(SECRET, ".".join([*signed, token("view").split(".")[2]]), now_s=NOW_S)


@pytest.mark.parametrize(
    ("claims", "words"),
    [
        ({"exp": None}, "exp: "),
        ({"exp": "soon"}, "exp: "),
        ({"exp": True}, "exp: "),
        ({"exp": float("nan")}, "exp: "),
        ({"exp": float("inf")}, "exp: "),
        ({"exp": 10**400}, "exp: "),
        ({"exp": NOW_S}, "expired"),
        ({"scope": None}, "scope: "),
        ({"scope": ["view"]}, "scope: "),
        ({"scope": ""}, "scopes are"),
        ({"scope": "everything"}, "scopes are"),
        ({"scope": "admin", "session": "abc"}, "its scope is view"),
        ({"scope": "view", "session": 3}, "session: "),
        ({"jti": None}, "jti: |JWT ID"),
        ({"jti": ""}, "jti: "),
        ({"scope": "view", "session": ""}, "session: "),
        ({"nbf": time.time() + 86_400}, "not yet valid"),
        ({"aud": "another"}, "[Aa]udience"),
    ],
)
def test_claims_of_another_kind_are_refused(claims: dict[str, object], words: str) -> None:
    with pytest.raises(TokenError, match=words) as caught:
        read_token(SECRET, minted(**claims), now_s=NOW_S)
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize("missing", ["exp", "jti", "scope"])
def test_no_claim_may_be_missing(missing: str) -> None:
    claims = {"exp": NOW_S + 60, "jti": "theirs", "scope": "view"}
    del claims[missing]
    with pytest.raises(TokenError, match=f"{missing}: Field required"):
        read_token(SECRET, jwt.encode(claims, SECRET, "HS256"), now_s=NOW_S)


@pytest.mark.parametrize("expires_s", [0, -1, 367 * 86_400])
def test_an_expiry_has_limits(expires_s: float) -> None:
    with pytest.raises(UsageError, match="expire"):
        token("view", expires_s=expires_s)


def test_a_scope_that_is_none_is_refused() -> None:
    for scopes in ((), ("everything",)):
        with pytest.raises(UsageError, match="scopes"):
            token(*scopes)


def test_a_short_secret_is_refused() -> None:
    with pytest.raises(SecretError, match="vivace serve secret"):
        token("view", secret="hunter2")
    with pytest.raises(SecretError, match="vivace serve secret"):
        check_listening("127.0.0.1", "-----BEGIN PUBLIC KEY-----\nMIIB\n-----END PUBLIC KEY-----")


@pytest.mark.parametrize(("text", "seconds"), [("90s", 90), ("15m", 900), ("1h", 3_600), (" 7d ", 604_800)])
def test_durations_are_read(text: str, seconds: float) -> None:
    assert parse_duration_s(text) == seconds


@pytest.mark.parametrize("text", ["", "1", "h", "1.5h", "-1h", "1 h", "1w", "9" * 5000])
def test_other_durations_are_refused_in_few_words(text: str) -> None:
    with pytest.raises(UsageError, match="1h") as caught:
        parse_duration_s(text)
    assert len(str(caught.value)) < 120


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "localhost", "LOCALHOST.", "::1", "[::1]", "a.localhost"])
def test_loopback_needs_no_secret(host: str) -> None:
    assert is_loopback(host)
    check_listening(host, None)


@pytest.mark.parametrize(
    "host", ["0.0.0.0", "::", "192.168.1.2", "example.com", "localhost.example.com", "", "127.1.evil"]
)
def test_any_other_address_does_and_says_how_to_make_one(host: str) -> None:
    assert not is_loopback(host)
    with pytest.raises(SecretError, match="vivace serve secret"):
        check_listening(host, None)
    check_listening(host, SECRET)


def test_a_weak_secret_is_refused_even_on_loopback() -> None:
    with pytest.raises(SecretError, match="32"):
        check_listening("127.0.0.1", "short")
