"""Content credentials of files: signers, statements, and that nothing is lost when signing fails."""

from __future__ import annotations

import errno
import json
import os
import stat
import sys
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any, BinaryIO, cast

import c2pa
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from trust.files import NOW, any_file, changed, picture, users_pair, work
from vivace.cli import main
from vivace.errors import SinkWriteError, UsageError
from vivace.trust import keys
from vivace.trust.certificates import write_pair
from vivace.trust.keys import SigningKey, export_authority, open_key, rotate
from vivace.trust.library import PURPOSES, context
from vivace.trust.manifest import SourceType, created_by
from vivace.trust.signing import EMBEDDING, sidecar_of, sign_file

SERVER = "1.3.6.1.5.5.7.3.1"


@pytest.fixture
def key(tmp_path: Path) -> SigningKey:
    return open_key(folder=tmp_path / "keys")


def read(path: Path, trusted: bytes = b"") -> dict[str, Any]:
    """Return the library's reading of a file, the active manifest under `said`."""
    beside = sidecar_of(path)
    with path.open("rb") as file:
        given = beside.read_bytes() if beside.exists() else None
        document = json.loads(c2pa.Reader(path.suffix[1:], file, given, context(trusted)).json())
    return cast(dict[str, Any], document | {"said": document["manifests"][document["active_manifest"]]})


def actions(document: dict[str, Any]) -> list[dict[str, Any]]:
    (said,) = (each["data"]["actions"] for each in document["said"]["assertions"] if "actions" in each["label"])
    return cast(list[dict[str, Any]], said)


@pytest.mark.parametrize("suffix", [*EMBEDDING, ".mkv", ".webm"])
def test_a_file_of_each_kind_is_signed_and_a_changed_byte_is_seen(suffix: str, tmp_path: Path, key: SigningKey) -> None:
    path = any_file(tmp_path / f"out{suffix}")
    before = path.stat().st_size
    notes = sign_file(path, work(), key)
    assert sidecar_of(path).exists() is (suffix not in EMBEDDING) is bool(notes)
    assert path.stat().st_size - before <= 8000
    document = read(path)
    assert document["validation_state"] == "Valid"
    assert [entry["action"] for entry in actions(document)] == ["c2pa.opened", "c2pa.edited"]
    assert actions(document)[1]["digitalSourceType"] == SourceType.REPAINTED
    assert "thumbnail" not in document["said"]
    changed(path)
    with suppress(c2pa.C2paError):  # the byte belonged to the structure
        assert read(path)["validation_state"] == "Invalid"
    assert not list(tmp_path.glob("*.signing"))


def test_what_is_written_on_a_signature_is_all_that_happened(tmp_path: Path, key: SigningKey) -> None:
    source = picture(tmp_path / "source.png")
    sign_file(source, work(created=SourceType.CAMERA, painted=False), key)
    out = picture(tmp_path / "out.png", seed=1)
    done = work(weights={"mini.safetensors": "sha256:ab"}, marks={"label": "off"}, prompts={"ink": None})
    assert not sign_file(out, done, key, parent=source)
    document = read(out)
    assert [entry["action"] for entry in actions(document)] == ["c2pa.opened", "c2pa.edited"]
    assert actions(document)[1]["parameters"] == {
        "vivace.model": "mini",
        "vivace.weights": {"mini.safetensors": "sha256:ab"},
        "vivace.label": "off",
    }
    (ingredient,) = document["said"]["ingredients"]
    assert ingredient["title"] == "source.png"
    assert len(document["manifests"]) == 2, "the source's own credentials are kept"
    done.tell_prompts = True
    done.prompts |= {f"{index}{'x' * 10_000}": None for index in range(500)}
    sign_file(out, done, key, parent=source)
    assert actions(read(out))[1]["parameters"]["vivace.prompts"][0] == "ink"


@pytest.mark.parametrize(
    ("created", "said"),
    [
        (None, ["c2pa.opened", "c2pa.transcoded"]),
        (SourceType.SCENE, ["c2pa.created"]),
        (SourceType.CAMERA, ["c2pa.created"]),
    ],
)
def test_where_nothing_was_painted_nothing_is_said_to_be(
    created: SourceType | None, said: list[str], tmp_path: Path, key: SigningKey
) -> None:
    out = picture(tmp_path / "out.png")
    sign_file(out, work(created=created, painted=False), key)
    document = read(out)
    assert [entry["action"] for entry in actions(document)] == said
    assert SourceType.REPAINTED not in json.dumps(document)


def test_the_source_types_are_of_the_vocabulary_that_the_library_knows() -> None:
    known = {name.replace("_", "").lower() for name in c2pa.C2paDigitalSourceType.__members__}
    assert {kind.rpartition("/")[2].lower() for kind in SourceType} <= known


@pytest.mark.parametrize(
    ("spec", "created"),
    [
        ("camera", SourceType.CAMERA),
        ("1", SourceType.CAMERA),
        ("screen", SourceType.SCREEN),
        ("scene:city", SourceType.SCENE),
        ("holiday.mp4", None),
        ("rtsp://host/live", None),
    ],
)
def test_a_source_says_how_its_pictures_came_to_be(spec: str, created: SourceType | None) -> None:
    assert created_by(spec) is created


@pytest.mark.parametrize("content", [b"\x89PNG\r\n\x1a\n and no more", os.urandom(3000), b""])
def test_a_source_that_is_not_what_it_is_called_is_only_named(content: bytes, tmp_path: Path, key: SigningKey) -> None:
    source, out = tmp_path / "source.mp4", picture(tmp_path / "out.png")
    source.write_bytes(content)
    notes = sign_file(out, work(), key, parent=source)
    document = read(out)
    assert document["validation_state"] == "Valid"
    assert document["said"]["ingredients"][0]["title"] in ("clip.mp4", "source.mp4")
    assert all("source.mp4" in note for note in notes)


def test_what_is_made_here_is_valid_and_trusted_by_who_takes_the_authority(tmp_path: Path) -> None:
    folder = tmp_path / "keys"
    first = open_key(folder=folder)
    assert first.made_here
    assert open_key(folder=folder).chain == first.chain
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert all(stat.S_IMODE(path.stat().st_mode) == 0o600 for path in folder.iterdir())
    authority = export_authority(folder)
    assert b"PRIVATE" not in authority
    out = picture(tmp_path / "out.png")
    sign_file(out, work(), first)
    assert read(out)["validation_state"] == "Valid"
    assert read(out, authority)["validation_state"] == "Trusted"
    second = rotate(folder=folder)
    assert second.chain[0] != first.chain[0]
    assert open_key(folder=folder).chain == second.chain
    other = picture(tmp_path / "other.png")
    sign_file(other, work(), second)
    assert read(other, authority)["validation_state"] == "Trusted"
    assert read(out, authority)["validation_state"] == "Trusted", "what was signed before stays so"
    third = rotate(folder=folder, authority=True)
    assert third.chain[1] != first.chain[1]


def test_a_signer_is_renewed_before_it_runs_out(tmp_path: Path) -> None:
    first = open_key(folder=tmp_path)
    later = NOW + keys.SIGNER_VALID_FOR - keys.RENEWED_BEFORE + timedelta(days=2)
    assert open_key(folder=tmp_path, now=later).chain[0] != first.chain[0]


def test_a_place_that_takes_no_keys_is_told_with_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "keys").write_text("a file")
    with pytest.raises(UsageError, match="--no-sign"):
        open_key(folder=tmp_path / "keys")


def test_a_disk_that_is_full_keeps_no_half_of_a_private_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    before, kept = tmp_path / "before", tmp_path / "kept"
    signer = open_key(folder=kept).chain
    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(UsageError, match="No space left"):
        open_key(folder=before)
    assert list(before.iterdir()) == []
    with pytest.raises(UsageError, match="No space left"):
        rotate(folder=kept, authority=True)
    assert open_key(folder=kept).chain == signer


KINDS = {
    "ES256": lambda: ec.generate_private_key(ec.SECP256R1()),
    "ES384": lambda: ec.generate_private_key(ec.SECP384R1()),
    "ES512": lambda: ec.generate_private_key(ec.SECP521R1()),
    "PS256": lambda: rsa.generate_private_key(65537, 2048),
    "ED25519": ed25519.Ed25519PrivateKey.generate,
}


@pytest.mark.parametrize("algorithm", KINDS)
@pytest.mark.parametrize("purpose", PURPOSES)
def test_a_certificate_of_each_purpose_and_kind_of_key_signs(algorithm: str, purpose: str, tmp_path: Path) -> None:
    pem, out = tmp_path / "mine.pem", picture(tmp_path / "out.png")
    pair = users_pair(purpose, KINDS[algorithm]())
    write_pair(pem, pair)
    mine = open_key(pem)
    assert (mine.algorithm, mine.name, mine.made_here) == (algorithm, "Ada", False)
    sign_file(out, work(), mine)
    assert read(out)["validation_state"] == "Valid"
    anchor = pair.chain[1].public_bytes(serialization.Encoding.PEM)
    assert read(out, anchor)["validation_state"] == "Trusted"


@pytest.mark.parametrize(
    ("pair", "words"),
    [
        (lambda: users_pair(SERVER), "document signing"),
        (lambda: users_pair(None), "document signing"),
        (lambda: users_pair(ends=timedelta(days=-1)), "renew it"),
        (lambda: users_pair(private=rsa.generate_private_key(65537, 1024)), "2048 bits"),
    ],
)
def test_a_certificate_that_cannot_sign_is_refused_before_anything_is_painted(
    pair: Any, words: str, tmp_path: Path
) -> None:
    write_pair(tmp_path / "mine.pem", pair())
    with pytest.raises(UsageError, match=words):
        open_key(tmp_path / "mine.pem")


SIGNER = """
import sys
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from vivace.trust.keys import _joined
key = serialization.load_pem_private_key(open(sys.argv[1], "rb").read(), None)
signature = key.sign(sys.stdin.buffer.read(), ec.ECDSA(hashes.SHA256()))
sys.stdout.buffer.write(_joined(signature, key.public_key()) if sys.argv[2] == "cose" else signature)
"""


@pytest.mark.parametrize(("form", "signs"), [("cose", True), ("x509", True), ("other", False)])
def test_a_command_signs_in_place_of_a_key(form: str, signs: bool, tmp_path: Path) -> None:
    pem, script, out = tmp_path / "mine.pem", tmp_path / "sign.py", picture(tmp_path / "out.png")
    write_pair(pem, users_pair())
    script.write_text(SIGNER)
    other = tmp_path / "other.pem"
    write_pair(other, users_pair())
    command = f"{sys.executable} {script} {pem if signs else other} {form}"
    before = out.read_bytes()
    mine = open_key(pem, command=command)
    if signs:
        sign_file(out, work(), mine)
        assert read(out)["validation_state"] == "Valid"
    else:
        with pytest.raises(SinkWriteError, match="no signature of the certificate's key"):
            sign_file(out, work(), mine)
        assert out.read_bytes() == before


class FullDisk:
    """File of limited size."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("w+b")

    def write(self, data: bytes) -> int:
        raise OSError(28, "No space left on device")

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)

    def __enter__(self) -> FullDisk:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()


@pytest.mark.parametrize("name", ["out.png", "out.mkv"])
def test_a_disk_that_is_full_while_signing_costs_nothing_but_the_signature(
    name: str, tmp_path: Path, key: SigningKey
) -> None:
    out = any_file(tmp_path / name)
    before = out.read_bytes()
    with pytest.raises(SinkWriteError, match=r"complete, but not signed \(No space left on device\)"):
        sign_file(out, work(), key, open_file=lambda path: cast(BinaryIO, FullDisk(path)))
    assert out.read_bytes() == before
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == [name]


def test_keys_are_shown_rotated_and_exported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    assert main(["credentials", "show"]) == 0
    first = open_key()
    assert first.name in capsys.readouterr().out
    assert main(["credentials", "export", str(tmp_path / "authority.pem")]) == 0
    assert (tmp_path / "authority.pem").read_bytes() == first.chain[1].public_bytes(serialization.Encoding.PEM)
    assert main(["credentials", "rotate"]) == 0
    assert open_key().name in capsys.readouterr().out
    assert open_key().chain[0] != first.chain[0]
    assert open_key().chain[1] == first.chain[1]
    assert main(["credentials", "export", str(tmp_path / "none" / "authority.pem")]) == 3
