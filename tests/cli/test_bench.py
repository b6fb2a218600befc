"""`vivace bench`: flags become options, and impossible requests are refused before any measurement."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import vivace.bench.suite
from vivace.bench.document import read_document
from vivace.bench.quality.cases import QUICK_SCENES, TASKS
from vivace.bench.speed.benchmark import CASES, SpeedCase
from vivace.cli import main


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Record the options that a command passes to the suite."""
    found: dict[str, Any] = {}

    def bench_command(kind: str, subject: Any, out: Path, seed: int, **options: Any) -> None:
        found.update(kind=kind, subject=subject, out=out, seed=seed, **options)

    monkeypatch.setattr(vivace.bench.suite, "bench_command", bench_command)
    return found


def test_quality_flags_become_a_protocol(asked: dict[str, Any]) -> None:
    flags = ["--scenes", "walkers", "rain", "--tasks", "style", "drift", "--size", "128x96", "--seed", "7"]
    assert main(["bench", "quality", *flags]) == 0
    assert asked["kind"] == "quality"
    assert asked["quality"].protocol.scenes == ("walkers", "rain")
    assert asked["quality"].tasks == ("style", "drift")
    assert asked["quality"].size == (128, 96)
    assert asked["seed"] == asked["quality"].seed == 7


def test_quick_is_the_quick_protocol(asked: dict[str, Any]) -> None:
    assert main(["bench", "quality", "--quick"]) == 0
    assert asked["quality"].protocol.name == "quick"
    assert asked["quality"].protocol.scenes == QUICK_SCENES
    assert asked["quality"].tasks == TASKS


def test_all_measures_all(asked: dict[str, Any]) -> None:
    assert main(["bench", "all", "--quick", "--size", "128x128"]) == 0
    assert asked["speed"].cases == (SpeedCase((128, 128)),)
    assert asked["speed"].long_frames is None
    assert [case.size for case in asked["latency"].cases] == [(128, 128)]
    assert asked["quality"].size == (128, 128)


def test_a_mask_and_a_source_go_with_every_size(asked: dict[str, Any]) -> None:
    flags = ["--size", "128x96", "--size", "64x64", "--source", "256x192", "--mask"]
    assert main(["bench", "speed", *flags]) == 0
    sizes = (128, 96), (64, 64)
    assert asked["speed"].cases == tuple(SpeedCase(size, (256, 192), masked=True) for size in sizes)
    assert main(["bench", "speed", "--mask"]) == 0
    assert asked["speed"].cases == (SpeedCase((256, 256), masked=True), SpeedCase((512, 512), masked=True))
    assert main(["bench", "speed"]) == 0
    assert asked["speed"].cases == CASES


def test_another_checkout_is_the_same_model_with_other_code(asked: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "src" / "vivace").mkdir(parents=True)
    (tmp_path / "src" / "vivace" / "__init__.py").write_text("")
    for kind in ("speed", "latency"):
        assert main(["bench", kind, "--threads", "1", "--against", str(tmp_path), "--turns", "4"]) == 0
        other, own = asked[kind].against, asked[kind].system
        assert other.code == str(tmp_path / "src")
        assert other.arguments == own.arguments
        assert other.name == f"{own.name} at {tmp_path.name}"
        assert asked[kind].turns == 4


def test_a_command_is_a_system(asked: dict[str, Any]) -> None:
    assert main(["bench", "speed", "--command", "theirs --fast", "--name", "theirs", "--long", "0"]) == 0
    assert asked["speed"].system.name == "theirs"
    assert asked["speed"].system.arguments == {"command": "theirs --fast"}
    assert main(["bench", "latency", "--live", "512x288@30"]) == 0
    (case,) = asked["latency"].cases
    assert (case.size, case.fps) == ((512, 288), 30.0)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["quality", "--scenes", "moon"], "'moon' is no benchmark scene"),
        (["quality", "--tasks", "paint"], "'paint' is no task"),
        (["quality", "--model", "mini", "--command", "x"], "two systems"),
        (["latency", "--live", "wide"], "WxH"),
        (["latency", "--live", "64x64@fast"], "WxH@FPS"),
        (["speed", "--frames", "5"], "--frames is 5"),
        (["speed", "--command", "x", "--mask"], "no mask"),
        (["speed", "--turns", "0"], "--turns is 0"),
        (["quality", "--scenes", "none"], "no case is left"),
    ],
)
def test_a_mistake_is_named(arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", *arguments]) == 2
    assert words in " ".join(capsys.readouterr().err.split())


def test_a_folder_cannot_be_timed(tmp_path: Path) -> None:
    from vivace.bench.systems.subject import Subject
    from vivace.errors import UsageError

    with pytest.raises(UsageError, match="--command"):
        Subject(outputs=tmp_path).spec()


BARE = "import sys; sys.modules |= dict.fromkeys(('cv2', 'skimage', 'scipy', 'matplotlib', 'jinja2', 'torch'))"
"""First lines of a program without these packages, as in the base install."""


@pytest.mark.parametrize("arguments", [["quality", "--quick"], ["all", "--quick"], ["selfcheck"], ["export", "x"]])
def test_without_the_extra_the_remedy_is_said(arguments: list[str]) -> None:
    code = f"{BARE}; from vivace.cli import main; sys.exit(main(['bench', *{arguments}]))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 4, done.stderr
    assert "pip install '.[bench]'" in " ".join(done.stderr.split())


def test_time_is_measured_without_the_extra(tmp_path: Path) -> None:
    flags = ["--size", "64x64", "--frames", "20", "--long", "0", "--no-sessions", "--out", str(tmp_path)]
    code = f"{BARE}; from vivace.cli import main; sys.exit(main(['bench', 'speed', *{flags}]))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "pip install '.[bench]'" in " ".join(done.stdout.split())
    assert read_document(tmp_path / "speed.json").rows[0].system == "mini"
    assert not (tmp_path / "speed.html").exists()


def test_what_is_exported_can_be_measured(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The way of another team: export, repaint elsewhere, measure the folder."""
    flags = ["--quick", "--scenes", "mover", "--tasks", "style", "region", "edit", "--size", "64x64"]
    assert main(["bench", "export", str(tmp_path / "in"), *flags]) == 0
    cases = json.loads((tmp_path / "in" / "cases.json").read_text())
    assert {entry["case"].split("/")[1] for entry in cases} == {"style", "region", "edit"}
    for entry in cases:
        out = tmp_path / "out" / entry["case"]
        out.mkdir(parents=True)
        pictures = sorted((tmp_path / "in" / entry["clip"]).iterdir())[: entry["frames"]]
        masks = sorted((tmp_path / "in" / entry["mask"]).iterdir()) if entry["mask"] else [None] * len(pictures)
        for picture, mask in zip(pictures, masks, strict=False):
            source = np.asarray(Image.open(picture))
            painted = 255 - source
            if mask is not None:
                painted = np.where(np.asarray(Image.open(mask))[..., None] > 127, painted, source)
            Image.fromarray(painted).save(out / picture.name)
    asked = ["--outputs", str(tmp_path / "out"), "--name", "negative", "--out", str(tmp_path / "result")]
    assert main(["bench", "quality", *asked, *flags]) == 0
    document = read_document(tmp_path / "result" / "quality.json")
    assert [row.system for row in document.rows] == ["negative", "filter", "passthrough", "frozen"]
    summary = {interval.metric: interval.value for interval in document.rows[0].summary}
    assert summary["untouched_exact"] == 1
    assert summary["edge_agreement"] > 0.9
    assert (tmp_path / "result" / "quality.html").read_text().count("<script") == 0
    assert "negative" in capsys.readouterr().out
