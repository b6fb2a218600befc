"""`make demo`, shortened."""

from __future__ import annotations

import io
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from e2e.helpers import size_of
from vivace.demo import PROMPTS, Programme, SceneReel, report, run_demo
from vivace.media.open import open_source
from vivace.models.keyframes.model import KeyframeModel
from vivace.models.mini.state import MiniState
from vivace.trust.verify import verify

pytestmark = pytest.mark.e2e


def test_the_demo_leaves_a_video_a_sheet_and_a_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("VIVACE_MARKS")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    programme = Programme(
        prompts=("oil painting", "pencil drawing"), scenes=("boat", "city"), prompt_s=0.5, size=(96, 64), fps=10
    )
    out = io.StringIO()
    console = Console(file=out, width=100)
    stats = run_demo(tmp_path, programme, console)
    report(stats, tmp_path, 1.0, console)
    assert stats.frames_out + stats.dropped <= programme.frames
    assert stats.frames_out > 0
    width, height = size_of(tmp_path / "demo.mp4")
    assert height == 64
    assert width >= 2 * 96
    with Image.open(tmp_path / "demo.png") as sheet:
        assert sheet.width > 600
    shown = out.getvalue()
    for word in ("fps", "latency p95", "dropped", "run camera", "demo.mp4"):
        assert word in shown
    credentials = verify(str(tmp_path / "demo.mp4")).credentials
    assert credentials is not None
    assert {"vivace.watermark", "vivace.label"} <= credentials.actions[-1].parameters.keys()


def test_the_reel_is_one_stream_of_the_promised_length() -> None:
    programme = Programme(prompts=("a",), scenes=("boat", "city"), prompt_s=1.0, size=(32, 24), fps=5)
    with SceneReel(programme) as reel:
        frames = list(reel)
    assert [frame.index for frame in frames] == list(range(programme.frames))
    assert [frame.pts_s for frame in frames] == [index / 5 for index in range(programme.frames)]


def test_a_scene_named_again_goes_on() -> None:
    programme = Programme(prompts=("a",), scenes=("boat", "city", "boat"), prompt_s=1.0, size=(32, 24), fps=6)
    with SceneReel(programme) as reel, open_source("scene:boat", size=(32, 24), fps=6) as alone:
        frames = [frame.rgb for frame in reel]
        expected = [frame.rgb for frame in islice(alone, 4)]
    for shown, wanted in zip([*frames[:2], *frames[4:]], expected, strict=True):
        assert np.array_equal(shown, wanted)


def test_every_prompt_of_the_demo_is_understood(mini: KeyframeModel[MiniState]) -> None:
    for prompt in PROMPTS:
        assert mini.encode_prompt(prompt).known, prompt
