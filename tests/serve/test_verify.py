"""A file is checked over HTTP as on the command line, within limits, and nothing of it is kept."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest

from http_fakes import running, settings_for
from trust.files import picture, work
from vivace.trust.keys import open_key
from vivace.trust.signing import sign_file


def test_a_file_gets_its_verdict_and_is_forgotten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = tmp_path / "kept"
    kept.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(kept))
    out = picture(tmp_path / "out.png")
    sign_file(out, work(), open_key(folder=tmp_path / "keys"))
    with running() as server:
        said = server.client.post("/v1/verify?name=../../a%00b.png", content=out.read_bytes()).json()
        assert (said["verdict"], said["name"]) == ("repainted", "ab.png")
        assert said["credentials"]["state"] == "valid"
        assert server.client.post("/v1/verify", content=b"").json()["verdict"] in ("unmarked", "unknown")
    assert not list(kept.iterdir())


def test_a_file_that_is_too_large_is_refused_and_one_larger_than_other_bodies_is_not() -> None:
    with running(settings_for(max_body_bytes=4096, verify_max_mib=1)) as server:
        assert server.client.post("/v1/verify", content=bytes(2**20 + 1)).status_code == 413
        assert server.client.post("/v1/verify", content=bytes(2**20)).status_code == 200
        assert server.client.post("/v1/sessions", content=bytes(5000)).status_code == 413
