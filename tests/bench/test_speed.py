"""The benchmark measures what it says, and its document reads back. What it finds is never judged here."""

from __future__ import annotations

import io
import json
from dataclasses import asdict
from pathlib import Path

import pytest
from rich.console import Console

from vivace.bench import command
from vivace.bench.command import MIN_LONG_FRAMES, SpeedOptions, cost_table, long_table, speed_command, stage_table
from vivace.bench.measure import Spread
from vivace.bench.speed import Job, LongRun, Speed, to_job, to_speed
from vivace.cli import main
from vivace.errors import ControlError, UnknownModelError
from vivace.media.source import open_source

SPEED = Speed(
    size=(256, 256),
    frames=300,
    fps=41.5,
    frame_ms=Spread(20.0, 25.0, 30.0),
    latency_ms={"p50": 60.0, "p95": 70.0, "p99": None},
    stages_ms={"capture": 1.0, "prepare": 2.0, "denoise": 15.0, "refine": 0.1, "encode": None},
    model_ms=Spread(14.0, 16.0, 18.0),
    first_frame_s=1.9,
    peak_resident_mib=400.0,
    runtime="openvino",
    device="CPU",
    precision="bf16",
    long_run=LongRun(frames=20_000, early_ms=10.0, late_ms=10.2, early_mib=300.0, late_mib=300.0),
)


def test_a_job_and_a_result_survive_the_way_through_json() -> None:
    job = Job("clip.mp4", "mini", (256, 128), 30, "ink", threads=2, long_frames=700, started_s=1.5)
    assert to_job(json.dumps(asdict(job))) == job
    assert to_speed(json.loads(json.dumps(asdict(SPEED)))) == SPEED


def test_an_endless_stream_has_a_ratio_of_one() -> None:
    assert SPEED.long_run is not None
    assert SPEED.long_run.ratio == pytest.approx(1.02)


def test_tables_fit_a_terminal_and_show_every_figure() -> None:
    out = io.StringIO()
    console = Console(file=out, width=80)
    for table in (cost_table([SPEED]), stage_table([SPEED]), long_table(SPEED)):
        console.print(table)
    shown = out.getvalue()
    for figure in ("41.5", "20.0", "25.0", "30.0", "70.0", "14.0", "419", "1.90", "15.0", "10.20", "1.020"):
        assert figure in shown
    assert "…" not in shown


def test_every_column_is_explained() -> None:
    guide = (Path(__file__).parents[2] / "docs" / "bench.md").read_text("utf-8")
    for table in (cost_table([SPEED]), stage_table([SPEED])):
        for column in table.columns:
            assert f"{column.header}" in guide


def test_a_clip_has_the_frames_and_size_that_are_measured(tmp_path: Path) -> None:
    command.render_clip(tmp_path / "clip.mp4", (64, 48), 5)
    with open_source(tmp_path / "clip.mp4") as source:
        frames = list(source)
    assert len(frames) == 5
    assert frames[0].size == (64, 48)


@pytest.mark.parametrize("tokens", [["--frames", "3"], ["--long", str(MIN_LONG_FRAMES - 1)], ["--size", "12"]])
def test_too_little_to_measure_is_refused(tokens: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "speed", *tokens]) == 2
    assert tokens[1] in capsys.readouterr().err


@pytest.mark.parametrize(
    ("model", "size", "error"), [("nimi", (64, 64), UnknownModelError), ("mini", (65, 65), ControlError)]
)
def test_an_error_in_the_measuring_process_is_raised_here(
    model: str, size: tuple[int, int], error: type[Exception], tmp_path: Path
) -> None:
    command.render_clip(tmp_path / "clip.mp4", (64, 48), 3)
    with pytest.raises(error):
        command.run_job(Job(str(tmp_path / "clip.mp4"), model, size, 20, "ink drawing"), lambda done, total: None)


@pytest.mark.e2e
def test_the_command_ends_with_its_document(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = SpeedOptions("mini", ((64, 64),), frames=20, json_path=tmp_path / "speed.json")
    speed_command(options)
    last = capsys.readouterr().out.splitlines()[-1]
    document = json.loads(last)
    assert json.loads((tmp_path / "speed.json").read_text()) == document
    (result,) = document["results"]
    assert result["frames"] == 20
    assert result["size"] == [64, 64]
    assert result["fps"] > 0
    assert result["first_frame_s"] > 0
    assert document["machine"]["cores"] >= 1
