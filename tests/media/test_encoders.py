"""Encoders are tried before they are offered, measured, and replaced with a message."""

from __future__ import annotations

import logging
import subprocess
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from vivace.errors import SinkUnsupportedError
from vivace.media import encoders
from vivace.media.encoders import ENCODERS, HARDWARE, START_CODES, X264, Encoder, Trial, choose, measure, try_encoder
from vivace.media.open import open_sink
from vivace.rtc.encoding import LiveEncoder, YuvConverter

from .clips import frames_of, grey, read_all

NVENC, QSV = ENCODERS["nvenc"], ENCODERS["qsv"]
RGB_X264 = Encoder("rgb", "libx264", "x264 with other pixels", "nv12", X264.options, X264.live)
"""Stand-in for hardware: it opens everywhere, and takes pixels as hardware does."""
BROKEN = replace(RGB_X264, word="broken", options=(("preset", "no such preset"),), live=(("preset", "none"),))


def test_x264_works_and_is_measured() -> None:
    trial = try_encoder(X264)
    assert trial.reason == ""
    assert trial.frame_ms is not None
    assert trial.frame_ms > 0


def test_hardware_that_is_not_there_says_whose_it_is() -> None:
    for encoder in HARDWARE:
        trial = try_encoder(encoder, (256, 144))
        if trial.frame_ms is None:
            assert encoder.about in trial.reason or "none" in trial.reason
            with pytest.raises(SinkUnsupportedError, match=f"encoder {encoder.word}: .*`auto`"):
                choose(encoder.word)


RUN = subprocess.run


def _run(code: str, command: list[str], **how: Any) -> Any:
    return RUN([command[0], "-c", code], **how)


def test_a_driver_that_crashes_or_hangs_ends_its_trial_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    for code, says in (
        ("import os; os.abort()", "crashed"),
        ("import time; time.sleep(1000)", "0.5 s"),
        ("1/0", "Zero"),
    ):
        with monkeypatch.context() as patch:
            patch.setattr(encoders.subprocess, "run", partial(_run, code))
            assert says in try_encoder(X264, timeout_s=0.5 if "sleep" in code else 60).reason


@pytest.mark.parametrize(
    ("found", "chosen"),
    [
        ([Trial(X264, 4.0), Trial(NVENC, 1.0), Trial(QSV, 2.0)], "nvenc"),
        ([Trial(X264, 4.0), Trial(NVENC, reason="no card"), Trial(QSV, 2.0)], "qsv"),
        ([Trial(X264, 1.0), Trial(NVENC, 0.9)], "x264"),
        ([Trial(X264, 1.0), Trial(NVENC, reason="no card")], "x264"),
        ([Trial(X264, reason="left out of this FFmpeg"), Trial(NVENC, 9.0)], "nvenc"),
        ([], "x264"),
    ],
)
def test_auto_takes_what_is_much_faster_and_says_so(found: list[Trial], chosen: str) -> None:
    choice = choose("auto", lambda: found)
    assert choice.encoder.word == chosen
    for trial in found:
        assert trial.encoder.word in choice.note
        assert trial.reason in choice.note


def test_x264_is_taken_without_a_trial() -> None:
    assert choose("x264", lambda: pytest.fail("tried")).encoder is X264
    with pytest.raises(SinkUnsupportedError, match="known are auto"):
        choose("h265")


def test_an_encoder_of_which_no_picture_comes_does_not_work(monkeypatch: pytest.MonkeyPatch) -> None:
    class Mute:
        def encode(self, _picture: object) -> list[object]:
            return []

    monkeypatch.setattr(encoders, "open_trial", lambda *_: Mute())
    with pytest.raises(ValueError, match="0 came out"):
        measure(X264, (64, 48))


def test_files_are_written_by_the_encoder_that_is_asked_for(tmp_path: Path) -> None:
    warnings: list[str] = []
    for encoder in (RGB_X264, BROKEN):
        path = tmp_path / f"{encoder.word}.mp4"
        with open_sink(path, fps=25, encoder=encoder, warn=warnings.append) as sink:
            for frame in frames_of([grey(40 + 5 * number) for number in range(20)]):
                sink.write(frame)
        levels = [frame.to_ndarray(format="rgb24").mean() for frame in read_all(path)]
        assert levels == pytest.approx([40 + 5 * number for number in range(20)], abs=3)
    (warning,) = warnings
    assert "broken cannot be opened" in warning
    assert "x264 is used" in warning


def test_webrtc_falls_back_with_a_word(caplog: pytest.LogCaptureFixture) -> None:
    picture = YuvConverter().convert(np.full((48, 64, 3), 90, np.uint8))
    with caplog.at_level(logging.WARNING):
        for encoder, used in ((RGB_X264, RGB_X264), (BROKEN, X264)):
            live = LiveEncoder("H264", (64, 48), 500_000, h264=encoder)
            packet = live.encode(picture, 0, keyframe=True)
            assert packet is not None
            assert packet.is_keyframe
            assert live.encoder is used
            decoder = av.CodecContext.create("h264", "r")
            (decoded,) = [*decoder.decode(packet), *decoder.decode(None)]
            assert decoded.to_ndarray(format="rgb24").mean() == pytest.approx(90, abs=4)
    assert "broken cannot be opened" in caplog.text
    assert LiveEncoder("VP8", (64, 48), 500_000, h264=BROKEN).encoder is None


def test_statements_are_put_before_packets_with_start_codes_only() -> None:
    assert set(START_CODES) <= {encoder.codec for encoder in ENCODERS.values()}
