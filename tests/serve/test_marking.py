"""Marks in the pictures and recordings of a server: for every viewer, and reported to them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from serve_rig import grey, in_loop, next_of, opened, running_manager, settings, until
from vivace import messages
from vivace.cli.marking import MarkFlags
from vivace.cli.serve import ServeFlags, serve_settings
from vivace.errors import SinkWriteError, UsageError
from vivace.serve.marking import Marking
from vivace.serve.settings_sources import read_settings
from vivace.settings import MARKS, Settings
from vivace.trust.keys import open_key
from vivace.trust.label import LabelStyle, _drawn
from vivace.trust.reading import find_credentials, find_label

SIZE = (128, 96)


def marking(folder: Path) -> Marking:
    key = open_key(folder=folder / "keys")
    return Marking(MARKS, key=key, weights=lambda model: {model: "sha256:ab"})


async def recorded(manager: Any, prompt: str | None, frames: int = 6) -> tuple[messages.Recorded, list[np.ndarray]]:
    """Record some frames; return the final message, and the pictures as a viewer saw them."""
    session = await opened(manager, prompt)
    events, viewer, seen = session.events(), session.subscribe(), []
    session.recorder.start()
    for index in range(frames):
        session.push(grey(100, SIZE), 100 + index / 25)
        seen.append((await anext(viewer)).rgb)
        recording = session.recorder.current
        await until(lambda recording=recording, index=index: recording.frames > index)
    session.recorder.stop()
    told = await next_of(events, messages.Recorded)
    while told.on or not told.url:
        told = await next_of(events, messages.Recorded)
    return told, seen


@in_loop
async def test_everybody_sees_the_label_and_a_recording_says_what_it_is(tmp_path: Path) -> None:
    async with running_manager(recordings=tmp_path, size=SIZE, marking=marking(tmp_path)) as manager:
        told, seen = await recorded(manager, "red")
        assert told.message == ""
        x, y, width, height = _drawn(LabelStyle(), SIZE).box
        assert (seen[-1][y : y + height, x : x + width] != seen[-1][-1, -1]).any()
        file = tmp_path / told.name
        found = find_credentials(file)
        assert (found.state, found.says_ai) == ("valid", True)
        assert [action.action for action in found.actions] == ["c2pa.opened", "c2pa.edited"]
        assert found.actions[1].parameters["vivace.weights"] == "fake: sha256:ab"
        assert found.actions[1].parameters["vivace.watermark"] not in ("off", "")
        assert "top-left" in found.actions[1].parameters["vivace.label"]
        assert "SEI" in find_label(file).places


@in_loop
async def test_what_is_not_repainted_is_not_said_to_be(tmp_path: Path) -> None:
    async with running_manager(recordings=tmp_path, size=SIZE, marking=marking(tmp_path)) as manager:
        told, seen = await recorded(manager, None)
        assert all((rgb == 100).all() for rgb in seen)
        assert not find_credentials(tmp_path / told.name).says_ai
        assert not find_label(tmp_path / told.name).places


@in_loop
async def test_a_recording_that_cannot_be_signed_is_there_and_that_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, *_: object) -> None:
        raise SinkWriteError(f"{path}: is complete, but not signed (No space left on device)")

    monkeypatch.setattr("vivace.serve.marking.sign_file", full)
    async with running_manager(recordings=tmp_path, size=SIZE, marking=marking(tmp_path)) as manager:
        told, _ = await recorded(manager, "red")
        assert "not signed (No space left" in told.message
        assert str(tmp_path) not in told.message
        assert find_credentials(tmp_path / told.name).state == "none"


@in_loop
async def test_who_watches_is_told_of_the_label(tmp_path: Path) -> None:
    async with running_manager(
        marking=Marking(frozenset({"label"}), LabelStyle("bottom-left", language="de"))
    ) as manager:
        session = await opened(manager)
        live = await next_of(session.events(), messages.Live)
        assert live.label == messages.Label(words="KI-bearbeitet", corner="bottom-left", size="small")
    async with running_manager() as manager:
        live = await next_of((await opened(manager)).events(), messages.Live)
        assert live.label is None


@pytest.mark.parametrize(
    ("flags", "marks", "label"),
    [
        ({}, MARKS, "top-left"),
        ({"label": "off"}, {"credentials", "watermark"}, "top-left"),
        ({"sign": False, "watermark": False}, {"label"}, "top-left"),
        ({"label": "bottom-right"}, MARKS, "bottom-right"),
    ],
)
def test_flags_choose_the_marks(
    flags: dict[str, Any], marks: set[str], label: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("VIVACE_MARKS")
    made = serve_settings(ServeFlags(marking=MarkFlags(**flags)), Settings())
    assert (made.marks, made.label) == (marks, label)


def test_the_environment_chooses_them_too(monkeypatch: pytest.MonkeyPatch) -> None:
    assert read_settings().marks == frozenset()
    monkeypatch.setenv("VIVACE_SERVE_MARKS", "label")
    assert read_settings().marks == {"label"}
    monkeypatch.setenv("VIVACE_SERVE_MARKS", "none")
    assert read_settings().marks == frozenset()
    with pytest.raises(UsageError, match="sign-prompt"):
        serve_settings(ServeFlags(marking=MarkFlags(sign_prompt=True)), Settings())


def test_a_server_that_cannot_keep_a_key_does_not_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "state").write_text("a file")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    with pytest.raises(UsageError, match="XDG_STATE_HOME"):
        Marking.of(settings(models=["mini"], marks=["credentials"]))
    made = Marking.of(settings(models=["mini"], marks=["label"], label="top-right"))
    assert made.key is None
    assert made.label == LabelStyle("top-right")
