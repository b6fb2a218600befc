"""A busy 1280x720 picture between a real browser and the server: it arrives complete, both ways."""

from __future__ import annotations

from pathlib import Path

import pytest

from e2e.browsers import CHROMIUM, FIREFOX
from e2e.line import over_line
from rtc_relay import BadLine

pytestmark = pytest.mark.e2e

FPS = 10.0
"""Frame rate that a busy machine encodes and decodes."""


@pytest.mark.skipif(CHROMIUM is None, reason="needs chromium (Debian: apt-get install chromium)")
@pytest.mark.parametrize("loss", [0.0, pytest.param(0.02, marks=pytest.mark.slow)])
def test_chromium_sends_and_gets_720p(loss: float, tmp_path: Path) -> None:
    assert CHROMIUM is not None
    samples, _ = over_line(CHROMIUM, tmp_path / "profile", frames=60, fps=FPS, line=lambda: BadLine(loss=loss))
    last = samples[-1]
    assert (last["out"]["frameWidth"], last["out"]["frameHeight"]) == (1280, 720)
    assert (last["in"]["frameWidth"], last["in"]["frameHeight"]) == (1280, 720)
    assert last["pair"]["availableOutgoingBitrate"] > 1_500_000
    assert 8 * last["out"]["bytesSent"] / last["out"]["framesEncoded"] > 1_500_000 / 15
    assert last["out"]["qualityLimitationDurations"]["bandwidth"] < 1.0


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="needs chromium (Debian: apt-get install chromium)")
def test_chromium_and_we_stay_within_a_narrow_line(tmp_path: Path) -> None:
    assert CHROMIUM is not None
    samples, line = over_line(
        CHROMIUM, tmp_path / "profile", frames=150, fps=FPS, line=lambda: BadLine(rate_bps=1_000_000)
    )
    assert samples[-1]["pair"]["availableOutgoingBitrate"] < 1_500_000
    for end, waits in line.waits_s.items():
        waited = [wait_s for _, wait_s in waits]
        assert max(waited[len(waited) // 2 :]) < 1.0, f"{end}: seconds wait"
    assert samples[-1]["in"]["framesDecoded"] > 20


@pytest.mark.slow
@pytest.mark.skipif(FIREFOX is None, reason="needs Firefox (Debian: apt-get install firefox-esr)")
def test_firefox_is_not_held_down(tmp_path: Path) -> None:
    """Without a start bitrate and with a slow encoder it climbs by itself; that takes a while: no size is checked."""
    assert FIREFOX is not None
    samples, _ = over_line(FIREFOX, tmp_path / "profile", frames=100, fps=FPS)
    half = len(samples) // 2
    sent = [
        sample["out"]["bytesSent"] / max(1, sample["out"]["framesEncoded"]) for sample in (samples[half], samples[-1])
    ]
    assert 8 * sent[1] > 1_000_000 / 15
    assert samples[-1]["out"]["frameWidth"] >= 960
    assert samples[-1]["in"]["framesDecoded"] > 10
