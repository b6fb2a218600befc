"""No secret of an address is ever shown: wherever in it, however escaped, and whatever text surrounds it."""

from __future__ import annotations

from urllib.parse import quote

import av.error
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from vivace.client import ServerError
from vivace.errors import ControlError, UnknownPromptError, VivaceError
from vivace.redaction import LONGEST, MARK, redact, redact_address, redact_error
from vivace.serve.auth import make_token

GREEK = "αβγδεζηθ"
"""Letters of secrets, beside punctuation; nothing else here contains them, so none may remain."""

NAMES = (
    "token", "access_token", "X-Amz-Security-Token", "secret", "txSecret", "password", "passwd", "pwd", "pass",
    "loginpas", "passphrase", "key", "stream_key", "streamKey", "streamkey", "apiKey", "sig", "Signature", "auth",
    "X-Amz-Credential", "streamid", "jwt", "hdnea", "%74oken", "user[password]",
)  # fmt: skip
HARMLESS = ("fps", "pkt_size", "localaddr", "prompt", "seed", "mode", "monkey", "keyint", "design", "author", "w")


def secrets(*, also: str) -> st.SearchStrategy[str]:
    """Return secrets, which begin with a letter and may contain characters of `also`."""
    return st.builds(str.__add__, st.sampled_from(GREEK), st.text(GREEK + also, max_size=12))


def in_text(address: str) -> list[str]:
    """Return sentences with an address in it, redacted."""
    texts = (
        "{0}", "{0}: writing failed (refused); 3 are kept", "'{0}' is none", 'WebSocket "{0}" [ok]', "to {0}.",
        "from {0}, to {0}", "({0})", "<{0}>", "{0}…",
    )  # fmt: skip
    return [redact(text.format(address)) for text in texts]


def assert_hidden(shown: str) -> None:
    assert not set(shown) & set(GREEK), shown
    assert "%CE" not in shown.upper(), shown


ESCAPED = secrets(also="!$&'()*+,;=:@/?#%._~- []\"<>\\|").map(lambda secret: quote(secret, safe=""))
RAW = secrets(also="!$'()*+,;=:@%._~-[]\\|")
"""Secrets without the characters that end a query's value, or an address in text."""


@given(ESCAPED | RAW, st.sampled_from(("admin:{0}", "{0}", "{0}:x", "a@b:{0}")))
def test_user_and_password_are_hidden(secret: str, user: str) -> None:
    for scheme in ("rtsp://", "https://", "rtmp://", "whep:http://", "srt://"):
        address = f"{scheme}{user.format(secret)}@cam.local:554/live/stream1?fps=30"
        for shown in (redact_address(address), *in_text(address)):
            assert_hidden(shown)
            assert f"{MARK}@cam.local:554/live" in shown


@given(secrets(also="/?#:@"))
@example("α/β")
@example("α#β")
def test_a_password_that_should_have_been_escaped_is_hidden(secret: str) -> None:
    for address in (
        f"rtsp://admin:{secret}@cam/x",
        f"rtsp://admin:1{secret.replace(chr(64), chr(58))}",
        f"http://me:{secret}@1.2.3.4:80/?a=1",
    ):
        for shown in (redact_address(address), *in_text(address)):
            assert_hidden(shown)


def test_a_numeric_password_that_should_have_been_escaped_is_hidden() -> None:
    for sign in "?#":
        assert redact_address(f"rtsp://admin:12{sign}34@cam:554/x") == f"rtsp://{MARK}@cam:554/x"


@given(ESCAPED | RAW, st.sampled_from(NAMES))
def test_values_with_the_name_of_a_secret_are_hidden(secret: str, name: str) -> None:
    for address in (
        f"https://host/live.m3u8?fps=30&{name}={secret}&seed=3",
        f"srt://host:9000?{name}={secret}",
        f"http://host/studio#{name}={secret}",
        f"/v1/sessions/7/control?{name}={secret}&view=1",
    ):
        for shown in (redact_address(address), *in_text(address)):
            assert_hidden(shown)
            assert f"{name}={MARK}" in shown
    assert "seed=3" in redact_address(f"https://host/live?{name}={secret}&seed=3")


@given(ESCAPED | RAW)
def test_the_end_of_an_rtmp_address_is_hidden(secret: str) -> None:
    for address in (
        f"rtmp://host/live/{secret}",
        f"rtmps://user:pw@host:443/live/{secret}/",
        f"RTMP://host/live/inst/{secret}?bandwidthtest=true&x={secret}",
        f"rtmp://host/{secret}#{secret}",
    ):
        for shown in (redact_address(address), *in_text(address)):
            assert_hidden(shown)
            assert "host" in shown or "@" in secret, "which may as well be the end of a password"


@given(secrets(also=" \t\n\"'<>|"))
def test_an_address_known_to_be_one_may_hold_blanks(secret: str) -> None:
    for address in (f"rtsp://me:{secret}@cam/x", f"rtmp://host/live/{secret}", f"http://host/x?token={secret}"):
        assert_hidden(redact_address(address))


@given(RAW)
def test_an_address_inside_an_address_is_hidden(secret: str) -> None:
    inner = f"rtsp://me:{secret}@cam/x"
    for outer in (
        "https://proxy:80/?url={0}",
        "https://proxy/{0}/x",
        "concat:http://a/b|{0}",
        "file:{0}",
        "http://a:b@proxy/{0}",
    ):
        for form in (inner, quote(inner, safe="")):
            address = outer.format(form)
            for shown in (redact_address(address), *in_text(address)):
                assert_hidden(shown)


PARTS = st.lists(st.text("abcxyz019._-@%()", min_size=1, max_size=8), min_size=1, max_size=4)


@given(PARTS)
@example(["frames", "%05d.png"])
@example(["Program Files (x86)", "clips", "a@b.mp4"])
def test_a_path_stays_as_it_is(parts: list[str]) -> None:
    for path in (
        "/".join(parts), f"/{'/'.join(parts)}", f"C:\\{chr(92).join(parts)}", f"D:/{'/'.join(parts)}",
        f"\\\\share\\{chr(92).join(parts)}", f"file:///{'/'.join(parts)}", f"nas:/{'/'.join(parts)}",
    ):  # fmt: skip
        assert redact_address(path) == path
        assert redact(f"{path}: no such file") == f"{path}: no such file"


@given(
    st.sampled_from(("rtsp", "http", "https", "udp", "tcp", "srt", "hls", "whep:https")),
    st.sampled_from(("cam", "192.168.1.4", "[::1]", "@239.0.0.1", "a.b-c.example")),
    st.sampled_from(("", ":554", ":")),
    PARTS,
    st.dictionaries(st.sampled_from(HARMLESS), st.text("abc019._-/:+,", max_size=6), max_size=3),
)
def test_an_address_without_secrets_stays_as_it_is(
    scheme: str, host: str, port: str, parts: list[str], query: dict[str, str]
) -> None:
    question = "&".join(f"{name}={value}" for name, value in query.items())
    address = f"{scheme}://{host}{port}/{'/'.join(parts)}{'?' if query else ''}{question}"
    assert redact_address(address) == address
    assert redact(address) == address


@given(st.text("ab12:/?#&=@%. '\"-tokenrmp", max_size=40))
def test_what_is_redacted_stays_so(text: str) -> None:
    assert redact(redact(text)) == redact(text)


WEB_TOKEN = make_token("s" * 43, frozenset({"view"}), expires_s=60, now_s=0.0)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("the command prog --api-key XYZ -x 3", "the command prog --api-key *** -x 3"),
        (
            "get http://host/a?sign=XYZ&no-sign=1 --sign-token XYZ",
            "get http://host/a?sign=***&no-sign=*** --sign-token ***",
        ),
        ("prog --password='a b' --token \"c d\" in.mp4", "prog --password=*** --token *** in.mp4"),
        ("API_KEY=xyz prog in.mp4", "API_KEY=*** prog in.mp4"),
        ("{'Authorization': 'Bearer v1.abc.def'}", "{'Authorization': 'Bearer ***'}"),
        ("admin:pw@192.168.1.4/x: no such file", "***@192.168.1.4/x: no such file"),
        ("rtsp:/admin:pw@cam/x: no such file", "rtsp:/***@cam/x: no such file"),
        ("rtmp:\\host\\live\\key", "rtmp:\\host\\live\\***"),
        ("mask is 'rtsp://admin:secr'... (99 characters)", "mask is 'rtsp://***'... (99 characters)"),
        ('{"to":"rtmp://host/live/key","from":"a/b"}', '{"to":"rtmp://host/live/***","from":"a/b"}'),
        (f"the token {WEB_TOKEN} has expired.", "the token *** has expired."),
        (f"whip:https://host/whip/{WEB_TOKEN}?x={WEB_TOKEN}, refused", "whip:https://host/whip/***?x=***, refused"),
        (f"'{WEB_TOKEN}'", "'***'"),
    ],
)
def test_secrets_outside_of_addresses_are_hidden_too(text: str, shown: str) -> None:
    assert redact(text) == shown


@pytest.mark.parametrize(
    "text",
    [
        "export VIVACE_SERVE_TOKEN_SECRET=$(vivace serve secret)",
        "`?token=…` is for programs that can set no header",
        "vivace serve token --scope publish --expires 1h",
        "basic watercolour painting, the ring bearer silhouette",
        "option strength=0.5, keyframes=3, monkey=2",
        "give one like http://127.0.0.1:8787.",
        "scene:city?seed=3&frames=90",
        "12:30 at 4:5@",
        "eyJ.a.b, heyJude.mp3.zip, eyJohn.tar.gz",
        "vivace run --no-sign in.mp4 --sign out.mp4 --sign-prompt --no-auth x",
    ],
)
def test_words_that_only_look_like_it_stay(text: str) -> None:
    assert redact(text) == text


@pytest.mark.parametrize(
    "error",
    [
        VivaceError("rtsp://me:hush@cam: gone"),
        ControlError("mask is rtsp://me:hush@cam"),
        UnknownPromptError("token=hush"),
        ServerError("http://me:hush@host does not answer"),
    ],
)
def test_no_error_of_ours_says_a_secret(error: VivaceError) -> None:
    assert MARK in str(error)
    assert "hush" not in str(error)
    assert "hush" not in repr(error)


def test_an_error_of_ffmpeg_says_nothing_with_all_that_it_came_from() -> None:
    address = "rtsp://me:hush@cam/x"
    error = av.error.ConnectionRefusedError(111, "refused", address, (16, "tcp", f"{address} failed"))
    error.__cause__ = OSError(f"{address} again")
    assert redact_error(error) is error
    assert "hush" not in f"{error} {error!r} {error.__cause__!r} {error.filename} {error.log}"
    assert error.errno == 111


WORDS = (
    "a",
    "aB",
    "a.",
    "a-",
    "é",
    "1",
    "[",
    "=",
    "a=",
    "a:",
    "a@",
    "a:b@",
    "aa:=",
    "://",
    "a:/",
    "x%3a",
    "'",
    '"',
    "--a ",
    "http://a?b=",
    "eyJabcde.",
    " eyJabcde.ab",
)


@pytest.mark.parametrize("word", WORDS)
def test_a_text_of_any_length_is_redacted_and_says_that_it_was_cut(word: str) -> None:
    # With quadratic cost, some of these would take hours.
    shown = redact(f"{word * 200_000}\nsaid http://me:αβ@cam/live")
    assert_hidden(shown)
    assert "…\n" in shown
    assert shown.endswith(f"said http://{MARK}@cam/live")
    assert len(redact_address(word * 200_000)) < 2 * LONGEST


def test_half_a_secret_is_not_left_where_a_text_is_cut() -> None:
    for lead in range(1, 40, 3):
        for secret in ("http://me:αβγδεζηθ@cam/x", "token=αβγδεζηθ", "http%3a%2f%2fme%3aαβγδεζηθ%40cam"):
            assert_hidden(redact("-" * (LONGEST - lead) + " " + secret))
            assert_hidden(redact_address("-" * (LONGEST - lead) + " " + secret))


def test_addresses_in_addresses_are_hidden_however_deep() -> None:
    for inner in ("http://me:αβ@cam/", "http%3a%2f%2fme%3aαβ%40cam"):
        for outer in ("http://a/", "http://a?b="):
            for depth in (1, 3, 10, 1000):
                assert_hidden(redact(outer * depth + inner))
                assert_hidden(redact_address(outer * depth + inner))


@pytest.mark.parametrize("text", ["token='αβ γδ", 'password="αβ γδ', "--token 'αβ γδ"])
def test_a_quote_that_never_ends_hides_the_rest(text: str) -> None:
    assert_hidden(redact(text))
