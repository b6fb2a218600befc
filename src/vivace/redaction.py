"""Redaction of addresses, and of text that contains them: removes passwords, tokens and stream keys.

Secrets are the user part of an address (`user:password@`), query parameters with a telling name (`?token=…`), the last
part of an RTMP address, which is the stream key, and JSON Web Tokens anywhere.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TypeVar
from urllib.parse import unquote

MARK = "***"
"""Replacement for a secret."""

# Names of secrets: those with one of these as a word, or one of those anywhere in them. Among them are those of SRT
# (`streamid`), of signed URLs (`sig`, `X-Amz-Credential`, `hdnea`) and of cameras (`pwd`, `loginpas`).
_WORDS = frozenset({"auth", "cred", "creds", "key", "pass", "passwd", "pwd", "psw", "pw", "sas", "sid", "sig", "sign"})
_PARTS = re.compile(
    r"token|secret|passw|passphrase|loginpas|credential|signature|authori[sz]|streamid|sessionid|jwt|hdne|hdnt|"
    r"(?:access|account|api|app|auth|ingest|license|private|session|shared|stream)key"
)
_SIGN = re.compile(r"\bsign\b")
_CAMEL = re.compile(r"(?<=[a-z])(?=[A-Z])")

# The text to search may come from an attacker (a prompt), so names are bounded, or matching would take quadratic time;
# text is truncated, and nesting of addresses is limited.
LONGEST = 16_384
"""Most characters shown of a line."""
NESTED = 4
"""Levels of nested addresses that are parsed; deeper ones are hidden entirely."""

# A scheme has two letters or more: `C:\` is a disk. One slash is what a path leaves of two.
_ADDRESS = re.compile(
    r"(?P<scheme>[a-z][a-z0-9+.-]{1,32}):(?P<slashes>[/\\]+)(?P<host>(?<=/)[^/?#]*|(?<=\\)[^/\\?#]*)(?P<rest>.*)",
    re.IGNORECASE | re.DOTALL,
)
_ADDRESS_IN_TEXT = re.compile(r"[a-z][a-z0-9+.-]{1,32}:[/\\]+(?:[^\s/?#]*@)?[^\s\"<>]*", re.IGNORECASE)
_ADDRESS_ENCODED = re.compile(r"[^\s\"'<>/?&=]{1,32}%3a(?:%2f|%5c)[^\s\"'<>&]*", re.IGNORECASE)
_PLAIN_HOST = re.compile(r"(\[[^\]]*\]|[^:@\[\]]*)(:\d*)?")
_RTMP = re.compile(r"rtmp\w*", re.IGNORECASE)
_LAST_PART = {
    "/": re.compile(r"(?<=/)[^/?#]+/*(?:[?#].*)?\Z", re.DOTALL),
    "\\": re.compile(r"(?<=[/\\])[^/\\?#]+[/\\]*(?:[?#].*)?\Z", re.DOTALL),
}

_VALUE = r"(?P<value>\"[^\"]*(?:\"|\Z)|'[^']*(?:'|\Z)|[^&\s\"<>]+)"
_PAIR = re.compile(rf"(?P<name>[\w.%~\[\]-]{{1,128}})(?P<between>=){_VALUE}")
_FLAG = re.compile(rf"(?<!\S)(?P<name>--?[\w-]+)(?P<between>\s+)(?!-){_VALUE}")
_HEADER = re.compile(r"(?P<name>Authorization\W{1,4}\w+)(?P<between>\s+)(?P<value>[\w.~+/=-]+)", re.IGNORECASE)
_USER_AT_HOST = re.compile(r"(?<![^\s\"'(=,])[^\s:@/\\\"'(&=?#]{2,}:[^\s@/\\]+@(?=[\w\[])")
_WEB_TOKEN = re.compile(
    r"(?<![\w-])eyJ[\w-]{5,4096}\.[\w-]{2,8192}\.[\w-]{0,4096}"
)  # base64 of `{"`, and two more parts
# Punctuation after an address or a value in a sentence.
_PUNCTUATION = re.compile(r"[.,:;!?'`…)\]}]*\Z")

E = TypeVar("E", bound=BaseException)


def redact_address(address: str) -> str:
    """Return one address with its secrets removed; paths, and addresses without secrets, are unchanged.

    Use it for known addresses, since in free text the end of an address with blanks is ambiguous.
    """
    return _redact_address(_cut(address), 0)


def redact(text: str) -> str:
    """Return text without the secrets in its addresses, parameters, flags and headers."""
    # Long text line by line: the last line of a traceback matters most.
    lines = text.split("\n") if len(text) > LONGEST else [text]
    return "\n".join(_redact(_cut(line), 0) for line in lines)


def redact_error(error: E) -> E:
    """Return an error after redacting its arguments and its causes', so that it can be chained to one of ours."""
    told: BaseException | None = error
    while told is not None:
        told.args = tuple(_redact_argument(argument) for argument in told.args)
        told = told.__cause__ or told.__context__
    return error


def _cut(text: str) -> str:
    if len(text) <= LONGEST:
        return text
    head = text[:LONGEST]
    *_, last = re.split(r"\s", head)
    # A truncated address or value could no longer be recognised.
    return f"{head[: len(head) - len(last)] if set(last) & set(':=%') else head}…"


def _redact_address(address: str, depth: int) -> str:
    found = _ADDRESS.search(address)
    if found is None:
        return _redact(address, depth)
    before, host, rest = address[: found.start("host")], found["host"], found["rest"]
    if found["scheme"].lower() != "file":
        host, rest = _without_user(host, rest, is_path=len(found["slashes"]) == 1)
    if _RTMP.fullmatch(found["scheme"]):
        return f"{before}{host}{_LAST_PART[found['slashes'][-1]].sub(MARK, rest)}"
    path, *question = re.split(r"([?#])", rest, maxsplit=1)
    mark, query = question or ("", "")
    parameters = "&".join(_redact_parameter(each, depth + 1) for each in query.split("&"))
    return f"{before}{host}{_redact(path, depth + 1)}{mark}{parameters}"


def _redact(text: str, depth: int) -> str:
    if depth > NESTED:
        return MARK
    text = _ADDRESS_IN_TEXT.sub(_but_for_punctuation(_redact_address, depth), text)
    text = _ADDRESS_ENCODED.sub(_but_for_punctuation(_redact_encoded, depth), text)
    text = _USER_AT_HOST.sub(f"{MARK}@", text)
    text = _WEB_TOKEN.sub(MARK, text)
    text = _PAIR.sub(lambda found: _redact_value(found) if _is_secret(found["name"]) else found[0], text)
    text = _FLAG.sub(lambda found: _redact_value(found) if _is_secret_flag(found["name"]) else found[0], text)
    return _HEADER.sub(_redact_value, text)


def _without_user(host: str, rest: str, *, is_path: bool) -> tuple[str, str]:
    """Return the host and the rest of an address, without user and password."""
    user, at, host_alone = host.rpartition("@")
    if at and (not user or (is_path and ":" not in user)):  # udp://@239.0.0.1:1234; nas:/me@home/clip.mp4
        return host, rest
    if at:
        # A later `@` may be the real end of a password with an unescaped `/`, `?` or `#`.
        return (MARK, "") if "@" in rest.partition("=")[0] else (f"{MARK}@{host_alone}", rest)
    plain = _PLAIN_HOST.fullmatch(host) is not None
    password, at, _ = rest.rpartition("@")
    if at and (not plain or (":" in host and rest[0] in "?#" and "=" not in password)):
        return MARK, rest[len(password) :]
    # An invalid port is the beginning of a password.
    return (host, rest) if plain or is_path else (MARK, "")


def _redact_parameter(parameter: str, depth: int) -> str:
    """Return one `name=value` of a query, redacted if it is secret."""
    name, equals, value = parameter.partition("=")
    if not equals:
        return _redact(parameter, depth)
    plain = unquote(value)
    return f"{name}={MARK}" if value and (_is_secret(name) or _redact(plain, depth) != plain) else parameter


def _redact_encoded(address: str, depth: int) -> str:
    plain = unquote(address)
    return address if _redact(plain, depth + 1) == plain else MARK


def _redact_value(found: re.Match[str]) -> str:
    """Return a match with its value redacted, except a shell variable (`$TOKEN`) or an ellipsis."""
    value = found["value"]
    if value.startswith("$"):
        return found[0]
    end = None if value[0] in "\"'" else _PUNCTUATION.search(value)
    known, after = (value, "") if end is None else (value[: end.start()], value[end.start() :])
    return f"{found['name']}{found['between']}{MARK}{after}" if known else found[0]


def _is_secret_flag(name: str) -> bool:
    """Return whether a secret follows a flag: not one that turns something off; and `sign` is a verb there."""
    return not name.startswith("--no-") and _is_secret(_SIGN.sub("", name))


def _is_secret(name: str) -> bool:
    words = re.findall(r"[a-z]+", _CAMEL.sub(" ", unquote(name)).lower())
    return not _WORDS.isdisjoint(words) or _PARTS.search("".join(words)) is not None


def _but_for_punctuation(change: Callable[[str, int], str], depth: int) -> Callable[[re.Match[str]], str]:
    """Return a substitution that leaves punctuation at the end of a match alone."""

    def changed(found: re.Match[str]) -> str:
        end = _PUNCTUATION.search(found[0])
        assert end is not None
        return f"{change(found[0][: end.start()], depth)}{found[0][end.start() :]}"

    return changed


def _redact_argument(argument: object) -> object:
    if isinstance(argument, tuple):  # a line of FFmpeg's log, from PyAV
        return tuple(_redact_argument(part) for part in argument)
    return redact(argument) if isinstance(argument, str) else argument
