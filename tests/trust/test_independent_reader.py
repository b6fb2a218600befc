"""Signatures and statements, checked with a reader of content credentials that shares no code with the package's own.

`tests/reader` is c2pa-ts (TrustNXT), which `make` installs with npm.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from patience import PATIENCE_S
from trust.files import any_file, changed, picture, work
from vivace.trust.keys import SigningKey, open_key
from vivace.trust.manifest import SourceType, Work
from vivace.trust.signing import sign_file
from vivace.trust.verify import verify

READER = Path(__file__).parents[1] / "reader"

pytestmark = pytest.mark.skipif(
    shutil.which("node") is None or not (READER / "node_modules").is_dir(),
    reason="needs Node.js and npm (Debian: apt-get install nodejs npm), then make tests/reader/node_modules",
)


@pytest.fixture(scope="module")
def key(tmp_path_factory: pytest.TempPathFactory) -> SigningKey:
    return open_key(folder=tmp_path_factory.mktemp("keys"))


def other(path: Path) -> Any:
    """Return the other reader's result; None where it finds no credentials."""
    command = ["node", str(READER / "read.mjs"), str(path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S, check=True)
    return json.loads(done.stdout)


@pytest.mark.parametrize("name", ["out.png", "out.jpg", "out.mp4"])
def test_another_reader_finds_what_ours_finds(name: str, key: SigningKey, tmp_path: Path) -> None:
    path = any_file(tmp_path / name)
    assert other(path) is None
    sign_file(path, work(), key)
    theirs, ours = other(path), verify(path).credentials
    assert ours is not None
    assert ours.holds
    assert theirs["valid"]
    assert all(success for _, success in theirs["codes"])
    assert "claimSignature.validated" in [code for code, _ in theirs["codes"]]
    assert [action for action, _ in theirs["actions"]] == [action.action for action in ours.actions]
    assert [(kind or "").rpartition("/")[2] for _, kind in theirs["actions"]] == [
        action.source_type for action in ours.actions
    ]
    assert theirs["ingredients"] == [each.title for each in ours.ingredients]


@pytest.mark.parametrize("name", ["out.png", "out.jpg", "out.mp4"])
def test_both_see_that_a_byte_was_changed(name: str, key: SigningKey, tmp_path: Path) -> None:
    path = any_file(tmp_path / name)
    sign_file(path, work(), key)
    changed(path)
    theirs, ours = other(path), verify(path).credentials
    assert ours is not None
    assert ours.state == "changed"
    assert not theirs["valid"]
    wrong = [code for code, success in theirs["codes"] if not success]
    assert any(code.startswith("assertion.") and code.endswith("mismatch") for code in wrong), wrong


def test_both_read_a_picture_that_a_camera_is_said_to_have_made(key: SigningKey, tmp_path: Path) -> None:
    path = picture(tmp_path / "out.png")
    sign_file(path, Work("camera", SourceType.CAMERA, "mini", painted=True), key)
    theirs = other(path)
    assert theirs["valid"]
    assert [action for action, _ in theirs["actions"]] == ["c2pa.created", "c2pa.edited"]
    assert theirs["actions"][0][1].endswith("/digitalCapture")
    assert theirs["ingredients"] == []
