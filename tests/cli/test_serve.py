"""The commands `vivace serve`, `serve token` and `serve secret`, up to where the server begins."""

from __future__ import annotations

import importlib.util
import re
import time
import traceback
from pathlib import Path

import pytest

from vivace.cli import main
from vivace.cli.loading import LoadFlags
from vivace.cli.serve import LOCAL_RECORDINGS, ServeFlags, serve_settings
from vivace.errors import UsageError
from vivace.models.loading import LoadOptions
from vivace.serve.auth import make_secret, read_token
from vivace.serve.settings import IceServer, ServeSettings
from vivace.settings import Settings

SECRET = make_secret()


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("TOKEN_SECRET", "PORT", "MODELS", "RECORDINGS", "THREADS"):
        monkeypatch.delenv(f"VIVACE_SERVE_{name}", raising=False)


def test_help_names_the_flags(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["serve", "--help"]) == 0
    shown = capsys.readouterr().out
    for flag in (
        "--host",
        "--port",
        "--allow-origin",
        "--model",
        "--slots",
        "--threads",
        "--recordings",
        "--style",
        "token",
        "secret",
    ):
        assert flag in shown


def test_flags_go_before_the_environment_and_that_before_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    assert serve_settings(ServeFlags(), Settings()).port == 8787
    monkeypatch.setenv("VIVACE_SERVE_PORT", "9000")
    assert serve_settings(ServeFlags(), Settings()).port == 9000
    assert serve_settings(ServeFlags(port=9001), Settings()).port == 9001


def test_a_name_that_is_no_setting_is_refused_wherever_it_stands(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "vivace.toml").write_text("slotz = 3\n")
    with pytest.raises(UsageError, match=r"vivace\.toml.*'slotz'.*did you mean 'slots'\?"):
        serve_settings(ServeFlags(config=tmp_path / "vivace.toml"), Settings())
    monkeypatch.setenv("VIVACE_SERVE_SLOTZ", "3")
    with pytest.raises(UsageError, match=r"VIVACE_SERVE_SLOTZ.*did you mean 'slots'\?"):
        serve_settings(ServeFlags(), Settings())


FILE = """\
host = "127.0.0.1"
port = 9002
size = "512x288"
dynamic_size = "none"
models = ["mini", "other"]
udp_ports = "49200-49299"
announced_address = "203.0.113.7"
turn_secret = "hush"
marks = "label"

[loading]
style = "felted"
controls = {guidance = 3}

[[ice_servers]]
urls = ["turn:turn.example:3478"]
"""


def test_a_settings_file_says_what_flags_and_the_environment_do_not(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "vivace.toml").write_text(FILE)
    monkeypatch.setenv("VIVACE_SERVE_LOADING__STEPS", "3")
    monkeypatch.setenv("VIVACE_SERVE_SIZE", "256x256")
    found = serve_settings(ServeFlags(config=tmp_path / "vivace.toml", port="9003"), Settings(model="third"))
    assert (found.port, found.size, found.models) == (9003, (256, 256), ["mini", "other"])
    assert (found.udp_ports, found.announced_address) == ((49200, 49299), "203.0.113.7")
    assert found.loading == LoadOptions(style="felted", steps=3, controls={"guidance": 3})
    assert found.ice_servers == [IceServer(urls=["turn:turn.example:3478"])]
    assert found.marks == {"label"}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"port = ", "is no TOML"),
        (b"port = 99999", "change port in "),
        (b"\xff", "UTF-8"),
        (b"[server]\nport = 1", "no setting 'server'"),
        (b'udp_ports = "49200"', "49200-49299"),
        (b'udp_ports = "49299-49200"', "1024 to 65535"),
        (b'announced_address = "my.example"', "203.0.113.7"),
    ],
)
def test_a_settings_file_that_cannot_be_used_is_told(tmp_path: Path, text: bytes, said: str) -> None:
    (tmp_path / "vivace.toml").write_bytes(text)
    with pytest.raises(UsageError, match=said) as caught:
        serve_settings(ServeFlags(config=tmp_path / "vivace.toml"), Settings())
    assert "vivace.toml" in str(caught.value)


def test_a_flag_that_cannot_be_used_is_told_as_it_is_typed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["serve", "--allow-origin", "*"]) == 2
    assert "change --allow-origin." in capsys.readouterr().err


def test_a_settings_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be read"):
        serve_settings(ServeFlags(config=tmp_path), Settings())


def test_the_settings_that_hold_are_printed_as_a_file(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text(FILE)
    assert main(["serve", "settings", "--config", str(tmp_path / "a.toml")]) == 0
    shown = capsys.readouterr().out
    assert "hush" not in shown
    assert "# turn_secret is set" in shown
    (tmp_path / "b.toml").write_text(shown)
    first, second = (serve_settings(ServeFlags(config=tmp_path / name), Settings()) for name in ("a.toml", "b.toml"))
    hidden = {"turn_secret", "ice_servers"}
    assert second.model_dump(exclude=hidden) == first.model_dump(exclude=hidden)
    for name in ServeSettings.model_fields:
        assert re.search(rf"^(# )?{name} (= |is set)", shown, re.MULTILINE), name


def test_a_token_is_signed_with_the_secret_of_a_settings_file(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "vivace.toml").write_text(f'token_secret = "{SECRET}"\n')
    assert main(["serve", "token", "--scope", "view", "--config", str(tmp_path / "vivace.toml")]) == 0
    assert read_token(SECRET, capsys.readouterr().out.strip(), now_s=time.time()).scopes == {"view"}


def test_an_ice_server_that_is_none_is_told_at_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VIVACE_SERVE_ICE_SERVERS", '[{"urls": ["http://stun.example"]}]')
    with pytest.raises(UsageError, match="ice_servers"):
        serve_settings(ServeFlags(), Settings())


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("SIZE", "512x288", (512, 288)),
        ("SIZE", "[512, 288]", (512, 288)),
        ("MODELS", "mini", ["mini"]),
        ("MODELS", "mini, other", ["mini", "other"]),
        ("MODELS", '["mini", "a,b.toml"]', ["mini", "a,b.toml"]),
        ("ALLOWED_ORIGINS", "https://a.example/,HTTP://b.example:81", ["https://a.example", "http://b.example:81"]),
        ("ALLOWED_ORIGINS", '["http://[::1]:81"]', ["http://[::1]:81"]),
        ("ALLOWED_ORIGINS", "null", ["null"]),
        ("ICE_SERVERS", '[{"urls": "stun:a.example"}]', [IceServer(urls=["stun:a.example"])]),
        ("LOADING", '{"controls": {"guidance": 3}}', LoadOptions(controls={"guidance": 3})),
        ("LOG_LEVEL", "warning", "warning"),
    ],
)
def test_a_setting_of_the_environment_is_written_as_its_flag_or_as_json(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, expected: object
) -> None:
    monkeypatch.setenv(f"VIVACE_SERVE_{name}", value)
    assert getattr(serve_settings(ServeFlags(), Settings()), name.partition("__")[0].lower()) == expected


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("SIZE", "big", ["'big'", "512x288"]),
        ("SIZE", "512", ["512", "512x288"]),
        ("SIZE", "[512", ["'[512'", "512x288"]),
        ("SIZE", "0x288", ["it is 0"]),
        ("MODELS", "", ["mini,other"]),
        ("MODELS", '["mini"', ["""'["mini"'""", "mini,other"]),
        ("ALLOWED_ORIGINS", "foo", ["'foo'", "https://stage.example"]),
        ("ALLOWED_ORIGINS", "*", ["'*'", "wildcard"]),
        ("LOADING", "foo", ["'foo'", '{"style": "felted"']),
        ("LOADING", '{"guidance":3}', ["'guidance'", '{"controls": {"guidance": 3}}']),
        ("LOADING", '{"styl": "felted"}', ["did you mean 'style'?"]),
        ("LOADING__CONTROLS", "foo", ["loading.controls", "'foo'"]),
        ("LOADING__DEVICE", "gpu", ["no device 'gpu'"]),
        ("LOADING__STEPS", "few", ["loading.steps", "'few'"]),
        ("SLOTS", "abc", ["'abc'"]),
        ("PORT", "99999", ["'99999'", "65535"]),
        ("LOG_LEVEL", "loud", ["'loud'", "'debug', 'info', 'warning' or 'error'"]),
        ("ICE_SERVERS", "foo", ['[{"urls": ["turn:']),
        ("ICE_SERVERS", "null", ['[{"urls": ["turn:']),
        ("SIZE", "null", ["'null'", "512x288"]),
        ("DYNAMIC_SIZE", "null", ["'null'", "960x540"]),
        ("LOADING", "null", ["'null'", '{"style": "felted"']),
        ("LOADING__CONTROLS", "null", ["loading.controls", "'null'"]),
        ("SLOTS", "null", ["'null'"]),
    ],
)
def test_a_setting_that_cannot_be_used_is_told_with_its_value_and_form(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str, value: str, said: list[str]
) -> None:
    monkeypatch.setenv(f"VIVACE_SERVE_{name}", value)
    assert main(["serve"]) == 2
    shown = capsys.readouterr().err
    setting = name.partition("__")[0]
    for words in (f"setting {setting.lower()}", f"VIVACE_SERVE_{setting}", *said):
        assert words in shown
    assert "a bug in" not in shown
    assert "pattern" not in shown


@pytest.mark.parametrize(
    "value",
    [
        '[{"urls": ["turn:a.example"], "credential": "hunter2"',
        '[{"urls": ["turn:a.example"], "credentail": "hunter2"}]',
        '[{"urls": ["turn:a.example"], "credential": ["hunter2"]}]',
        '[{"urls": ["turn:u:hunter2@a.example"]}]',
        '[{"credential": "hunter2"}]',
        '{"credential": "hunter2"}',
    ],
)
def test_credentials_of_an_ice_server_are_never_repeated(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("VIVACE_SERVE_ICE_SERVERS", value)
    with pytest.raises(UsageError, match="VIVACE_SERVE_ICE_SERVERS") as caught:
        serve_settings(ServeFlags(), Settings())
    assert "hunter2" not in "".join(traceback.format_exception(caught.value))


def test_every_setting_that_cannot_be_used_is_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VIVACE_SERVE_PORT", "99999")
    monkeypatch.setenv("VIVACE_SERVE_SLOTS", "abc")
    with pytest.raises(UsageError, match=r"VIVACE_SERVE_PORT.*VIVACE_SERVE_SLOTS"):
        serve_settings(ServeFlags(), Settings())


def test_threads_are_those_of_the_flag_then_of_the_server_then_of_all_commands(monkeypatch: pytest.MonkeyPatch) -> None:
    assert serve_settings(ServeFlags(), Settings(threads=3)).threads == 3
    monkeypatch.setenv("VIVACE_SERVE_THREADS", "2")
    assert serve_settings(ServeFlags(), Settings(threads=3)).threads == 2
    assert serve_settings(ServeFlags(threads=1), Settings(threads=3)).threads == 1


def test_an_output_may_grow_to_a_size_that_is_larger() -> None:
    found = serve_settings(ServeFlags(size="512x288", dynamic_size="1280x720"), Settings())
    assert found.dynamic_size == (1280, 720)
    assert serve_settings(ServeFlags(), Settings()).dynamic_size == (1280, 720)
    assert serve_settings(ServeFlags(dynamic_size="none"), Settings()).dynamic_size is None
    with pytest.raises(UsageError, match=r"dynamic_size.*128x128 is no larger than size, 256x256"):
        serve_settings(ServeFlags(dynamic_size="128x128"), Settings())


def test_the_models_are_those_of_the_flag_or_the_usual_one() -> None:
    assert serve_settings(ServeFlags(), Settings(model="other")).models == ["other"]
    assert serve_settings(ServeFlags(models=["a", "b"]), Settings()).models == ["a", "b"]


def test_how_the_first_model_is_loaded_is_said_by_the_flags_of_run(monkeypatch: pytest.MonkeyPatch) -> None:
    flags = ServeFlags(steps=3, loading=LoadFlags(style="felted", lora=["a=0.5"], runtime="eager"))
    found = serve_settings(flags, Settings())
    assert found.runtime == "eager"
    assert found.loading == LoadOptions(style="felted", steps=3, loras={"a": 0.5})
    monkeypatch.setenv("VIVACE_SERVE_LOADING__STYLE", "pixar")
    assert serve_settings(ServeFlags(), Settings()).loading == LoadOptions(style="pixar")


def test_only_one_person_at_this_machine_records_without_being_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    assert serve_settings(ServeFlags(), Settings()).recordings == LOCAL_RECORDINGS
    assert serve_settings(ServeFlags(recordings=Path("x")), Settings()).recordings == Path("x")
    monkeypatch.setenv("VIVACE_SERVE_TOKEN_SECRET", SECRET)
    assert serve_settings(ServeFlags(), Settings()).recordings is None


@pytest.mark.parametrize(
    "flags",
    [
        ServeFlags(port=70_000),
        ServeFlags(slots=0),
        ServeFlags(size="0x0"),
        ServeFlags(size="512x288", dynamic_size="512x288"),
    ],
)
def test_a_value_that_cannot_be_used_is_refused_by_name(flags: ServeFlags) -> None:
    with pytest.raises(UsageError):
        serve_settings(flags, Settings())


def test_a_bad_secret_in_the_environment_is_never_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VIVACE_SERVE_PORT", "not a port")
    monkeypatch.setenv("VIVACE_SERVE_TOKEN_SECRET", SECRET)
    with pytest.raises(UsageError, match="VIVACE_SERVE_PORT") as caught:
        serve_settings(ServeFlags(), Settings())
    assert SECRET not in str(caught.value)


def test_without_the_extra_it_says_how_to_get_it(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "aiortc" else find(name))
    assert main(["serve"]) == 4
    assert "pip install '.[serve]'" in capsys.readouterr().err


def test_a_token_is_printed_that_the_server_takes(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VIVACE_SERVE_TOKEN_SECRET", SECRET)
    assert main(["serve", "token", "--scope", "view", "--expires", "15m", "--session", "abc"]) == 0
    access = read_token(SECRET, capsys.readouterr().out.strip(), now_s=time.time() + 800)
    assert (access.scopes, access.session) == ({"view"}, "abc")


def test_a_token_needs_the_secret(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["serve", "token", "--scope", "view"]) == 2
    assert "vivace serve secret" in capsys.readouterr().err


@pytest.mark.parametrize(
    "tokens",
    [
        [],
        ["--scope", "everything"],
        ["--scope", "view", "--expires", "soon"],
        ["--scope", "view", "--expires", "9999d"],
    ],
)
def test_a_wrong_token_command_is_2(tokens: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VIVACE_SERVE_TOKEN_SECRET", SECRET)
    assert main(["serve", "token", *tokens]) == 2


def test_a_secret_is_new_every_time(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["serve", "secret"]) == 0
    assert main(["serve", "secret"]) == 0
    first, second = capsys.readouterr().out.split()
    assert first != second
    assert len(first) >= 32


def test_other_addresses_than_loopback_are_refused_without_a_secret(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["serve", "--host", "0.0.0.0", "--port", "0"]) == 2
    assert "vivace serve secret" in capsys.readouterr().err
