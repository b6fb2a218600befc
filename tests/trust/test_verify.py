"""`vivace verify`: one verdict on a file's statements, for every file."""

from __future__ import annotations

import json
import os
import subprocess
import zlib
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import c2pa
import pytest

from trust.files import any_file, changed, picture, users_pair, video, work
from vivace.cli import main
from vivace.errors import SourceLostError, SourceNotFoundError, SourceUnsupportedError, UsageError
from vivace.trust.certificates import write_pair
from vivace.trust.keys import SigningKey, export_authority, open_key
from vivace.trust.library import PURPOSES
from vivace.trust.manifest import SourceType
from vivace.trust.reading import CHARS, MOST, find_credentials
from vivace.trust.report import CredentialsFound, WatermarkFound
from vivace.trust.signing import sidecar_of, sign_file
from vivace.trust.verify import Bounds, verify
from web_server import served


@pytest.fixture
def key(tmp_path: Path) -> SigningKey:
    return open_key(folder=tmp_path / "keys")


@pytest.mark.parametrize("name", ["out.mp4", "out.png", "out.mkv"])
def test_a_signed_file_says_so_and_a_changed_byte_is_named(name: str, tmp_path: Path, key: SigningKey) -> None:
    source, out = video(tmp_path / "source.mp4"), any_file(tmp_path / name)
    sign_file(out, work(tell_prompts=True, prompts={"ink": None}), key, parent=source)
    report = verify(out)
    assert (report.verdict, report.exit_code) == ("repainted", 0)
    found = report.credentials
    assert found is not None
    assert (found.state, found.signer, found.beside) == ("valid", key.name, name == "out.mkv")
    assert [(each.title, each.state) for each in found.ingredients] == [("source.mp4", "none")]
    assert found.actions[-1].source_type == "compositeWithTrainedAlgorithmicMedia"
    assert found.actions[-1].parameters["vivace.prompts"] == "ink"
    changed(out)
    report = verify(out)
    assert (report.verdict, report.exit_code) == ("changed", 6)
    assert "Hash.mismatch" in report.words
    sidecar_of(out).unlink(missing_ok=True)


def test_who_takes_the_authority_trusts_its_signers(tmp_path: Path, key: SigningKey) -> None:
    out, pem = picture(tmp_path / "out.png"), tmp_path / "authority.pem"
    pem.write_bytes(export_authority(tmp_path / "keys"))
    sign_file(out, work(), key)
    report = verify(out, trusted=pem)
    assert report.credentials is not None
    assert report.credentials.state == "trusted"
    other = open_key(folder=tmp_path / "others")
    sign_file(out, work(), other)
    assert find_credentials(out, pem.read_bytes()).state == "valid"


def test_what_was_not_repainted_holds_and_is_not_said_to_be(tmp_path: Path, key: SigningKey) -> None:
    out = picture(tmp_path / "out.png")
    sign_file(out, work(created=SourceType.CAMERA, painted=False), key)
    assert (verify(out).verdict, verify(out).exit_code) == ("not_repainted", 0)


def test_a_copy_of_what_was_repainted_still_is(tmp_path: Path, key: SigningKey) -> None:
    first, second = picture(tmp_path / "first.png"), picture(tmp_path / "second.png")
    sign_file(first, work(), key)
    sign_file(second, work(painted=False), key, parent=first)
    assert find_credentials(second).says_ai


def test_an_ingredient_that_was_changed_is_named(tmp_path: Path, key: SigningKey) -> None:
    source, out = picture(tmp_path / "source.png"), picture(tmp_path / "out.png")
    sign_file(source, work(), key)
    changed(source)
    sign_file(out, work(), key, parent=source)
    found = find_credentials(out)
    assert (found.state, found.ingredients[0].state) == ("valid", "changed")


@pytest.mark.parametrize("purpose", list(PURPOSES)[1:])
def test_a_bad_certificate_is_told_from_a_changed_picture(purpose: str, tmp_path: Path) -> None:
    """A file that a reader with other settings calls invalid is accepted; an expired one is a bad certificate."""
    out, pem = picture(tmp_path / "out.png"), tmp_path / "mine.pem"
    write_pair(pem, users_pair(purpose))
    sign_file(out, work(), open_key(pem))
    assert find_credentials(out).state == "valid"
    with out.open("rb") as file:
        codes = {each["code"] for each in json.loads(c2pa.Reader("png", file).json())["validation_status"]}
    assert "signingCredential.invalid" in codes


@pytest.mark.parametrize(
    ("codes", "state"),
    [
        (["signingCredential.untrusted"], "valid"),
        (["signingCredential.untrusted", "signingCredential.invalid"], "bad_certificate"),
        (["signingCredential.expired"], "bad_certificate"),
        (["signingCredential.invalid", "assertion.bmffHash.mismatch"], "changed"),
        (["claimSignature.mismatch"], "changed"),
        (["assertion.missing"], "broken"),
    ],
)
def test_what_failed_is_judged_by_its_code(codes: list[str], state: str) -> None:
    from vivace.trust.reading import _judged

    found, _, reason = _judged({"failure": [{"code": code, "explanation": "why"} for code in codes]}, "Valid")
    assert found == state
    assert bool(reason) is (state != "valid")


def test_a_file_that_says_nothing_may_be_anything(tmp_path: Path) -> None:
    report = verify(picture(tmp_path / "out.png"))
    assert (report.verdict, report.exit_code) == ("unmarked", 5)


def bomb(path: Path) -> None:
    """Write a PNG of a few kB that claims 30,000 px of width and height."""
    zeros = zlib.compress(bytes(2**22), 9)
    head = (30000).to_bytes(4, "big") * 2 + b"\x08\x02\0\0\0"
    chunks = ((b"IHDR", head), (b"IDAT", zeros), (b"IEND", b""))
    data = b"".join(
        len(body).to_bytes(4, "big") + kind + body + zlib.crc32(kind + body).to_bytes(4, "big") for kind, body in chunks
    )
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + data)


def boxes(path: Path) -> None:
    """Write an MP4 of nested boxes, the last of which claims an enormous size."""
    box = (2**32 - 1).to_bytes(4, "big") + b"moov"
    for _ in range(2000):
        box = (len(box) + 8).to_bytes(4, "big") + b"moov" + box
    path.write_bytes(b"\0\0\0\x14ftypisom\0\0\0\0isom" + box)


@pytest.mark.parametrize(
    "make",
    [
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(os.urandom(5000)),
        lambda path: path.write_bytes(b"\x89PNG\r\n\x1a\n"),
        lambda path: path.write_bytes(b"GIF89a" + b"\xff" * 2000),
        lambda path: path.write_bytes(b"RIFF\xff\xff\xff\xffAVI LIST"),
        bomb,
        boxes,
    ],
)
@pytest.mark.parametrize("suffix", [".png", ".mp4"])
def test_damaged_and_hostile_files_get_a_verdict(make: Any, suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"bad{suffix}"
    make(path)
    assert find_credentials(path).state in ("none", "unknown")


def test_every_cut_of_a_signed_file_gets_a_verdict(tmp_path: Path, key: SigningKey) -> None:
    out = picture(tmp_path / "out.jpg")
    sign_file(out, work(), key)
    whole = out.read_bytes()
    cut = tmp_path / "cut.jpg"
    for length in range(0, len(whole), len(whole) // 20):
        cut.write_bytes(whole[:length])
        assert find_credentials(cut).state in ("none", "unknown", "changed", "broken")


def test_what_a_file_says_cannot_steer_a_terminal_or_fill_a_screen(tmp_path: Path, key: SigningKey) -> None:
    out = picture(tmp_path / "out.png")
    nasty = "\x1b[2J\x1b]0;title\x07 \u202e" + "x" * 5000
    done = work(source=nasty, weights={f"{nasty[:9]}{index}": nasty[:300] for index in range(3 * MOST)}, model=nasty)
    sign_file(out, done, key)
    found = find_credentials(out)
    texts = [found.ingredients[0].title, *found.actions[-1].parameters, *found.actions[-1].parameters.values()]
    assert all(text.isprintable() and len(text) <= CHARS for text in texts)


def test_a_reader_that_does_not_end_is_ended(tmp_path: Path) -> None:
    report = verify(picture(tmp_path / "out.png"), bounds=Bounds(time_s=0.001))
    assert (report.verdict, report.exit_code) == ("unknown", 3)
    assert "given up" in report.words


def test_what_was_found_before_a_reader_was_ended_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    marked = WatermarkFound(payload="00000000cafe", seconds=(0, 2), searched_s=3, false_alarm=1e-9)
    lines = [{"credentials": CredentialsFound().model_dump(mode="json")}, {"watermark": marked.model_dump(mode="json")}]
    said = "".join(f"{json.dumps(line)}\n" for line in lines) + '{"watermark": {"pay'

    def slow(command: list[str], **_options: object) -> None:
        raise subprocess.TimeoutExpired(command, 60.0, said.encode())

    monkeypatch.setattr(subprocess, "run", slow)
    report = verify(picture(tmp_path / "out.png"))
    assert (report.verdict, report.watermark) == ("repainted", marked)
    assert any("given up" in note for note in report.notes)


def test_a_reader_that_dies_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = subprocess.run
    kill = ["sh", "-c", "kill -9 $$"]
    monkeypatch.setattr(subprocess, "run", lambda _command, **options: real(kill, **options))
    report = verify(picture(tmp_path / "out.png"))
    assert (report.verdict, report.exit_code) == ("unknown", 3)
    assert "signal 9" in report.words


def test_an_address_is_downloaded_within_bounds(tmp_path: Path, key: SigningKey) -> None:
    out = picture(tmp_path / "out.png")
    sign_file(out, work(), key)
    handler = partial(SimpleHTTPRequestHandler, directory=str(tmp_path))
    with served(ThreadingHTTPServer(("127.0.0.1", 0), handler)) as server:
        address = f"http://127.0.0.1:{server.server_port}"
        report = verify(f"{address}/out.png?token=secret")
        assert (report.name, report.verdict) == ("out.png", "repainted")
        with pytest.raises(SourceUnsupportedError, match="larger than"):
            verify(f"{address}/out.png", bounds=Bounds(download_bytes=1000))
        with pytest.raises(SourceNotFoundError, match="404"):
            verify(f"{address}/none.png")
    with pytest.raises(SourceLostError, match="cannot be downloaded") as lost:
        verify("http://user:secret@127.0.0.1:1/out.png")
    assert "secret" not in str(lost.value)


@pytest.mark.parametrize(
    ("source", "error"),
    [
        ("none.png", SourceNotFoundError),
        (".", SourceNotFoundError),
        ("", SourceNotFoundError),
        ("x" * 5000, SourceNotFoundError),
        ("a\0b", SourceNotFoundError),
        ("rtsp://host/live", SourceUnsupportedError),
        ("ftp://host/a.png", SourceUnsupportedError),
    ],
)
def test_what_is_no_file_is_told(source: str, error: type[Exception]) -> None:
    with pytest.raises(error):
        verify(source)


def test_certificates_to_trust_that_are_none_are_told(tmp_path: Path) -> None:
    out, pem = picture(tmp_path / "out.png"), tmp_path / "trust.pem"
    with pytest.raises(UsageError, match="cannot be read"):
        verify(out, trusted=pem)
    pem.write_text("nothing")
    with pytest.raises(UsageError, match="no certificate"):
        verify(out, trusted=pem)


def test_the_command_prints_a_verdict_or_a_document(
    tmp_path: Path, key: SigningKey, capsys: pytest.CaptureFixture[str]
) -> None:
    out = picture(tmp_path / "out.png")
    assert main(["verify", str(out)]) == 5
    sign_file(out, work(), key)
    assert main(["verify", str(out)]) == 0
    told = capsys.readouterr().out
    assert "AI-modified" in told
    assert key.name in told
    assert main(["verify", str(out), "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["verdict"] == "repainted"
    assert document["credentials"]["actions"][-1]["action"] == "c2pa.edited"
    changed(out)
    assert main(["verify", str(out)]) == 6
