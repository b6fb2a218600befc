"""The benchmark as a user runs it: quick, repeatable, with a document and a report at the end."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

import live2diff_mirror
from e2e.helpers import Vivace
from tolerance import ROUNDING
from vivace.bench.document import Document, read_document
from vivace.bench.quality.cases import QUICK_SCENES

TINY_RUN = ("--random-weights", "--size", "64x64", "--steps", "3", "--threads", "1")

pytestmark = pytest.mark.e2e


def quality(vivace: Vivace, out: Path, *flags: str) -> Document:
    done = vivace("bench", "quality", "--quick", "--out", out, *flags)
    assert done.code == 0, done.err
    return read_document(out / "quality.json")


@pytest.mark.slow
def test_the_quick_protocol_runs_and_says_what_the_model_is(vivace_here: Vivace, tmp_path: Path) -> None:
    document = quality(vivace_here, tmp_path)
    assert {case.case.split("/")[0] for case in document.cases} == {*QUICK_SCENES, "table"}
    rows = {row.system: {interval.metric: interval.value for interval in row.summary} for row in document.rows}
    assert list(rows) == ["mini", "per-frame", "filter", "passthrough", "frozen"]
    assert rows["mini"]["untouched_exact"] == 1
    assert rows["mini"]["style_strength"] > 0.5 > rows["passthrough"]["style_strength"] + 0.4
    assert rows["mini"]["motion_explained"] > 0 > rows["frozen"]["motion_explained"]
    assert rows["mini"]["depth_order"] > 0 > rows["frozen"]["depth_order"]
    assert abs(rows["mini"]["content_lag"]) < 0.5 < rows["frozen"]["content_lag"]
    assert rows["mini"]["fidelity_psnr"] > 40
    assert abs(rows["mini"]["drift_brightness"]) < 0.5
    assert rows["passthrough"]["edit_gain"] == 0
    assert document.not_run
    assert (tmp_path / "quality.html").stat().st_size < 6_000_000


@pytest.mark.slow
def test_two_runs_of_the_same_seed_agree(vivace_here: Vivace, tmp_path: Path) -> None:
    flags = ("--scenes", "mover", "--tasks", "style", "region", "--size", "128x128")
    runs = [quality(vivace_here, tmp_path / name, *flags) for name in "ab"]
    first, second = ({(r.system, m.metric, m.case): m.value for r in d.rows for m in r.measurements} for d in runs)
    assert first.keys() == second.keys()
    for key, value in first.items():
        if value is None:
            assert second[key] is None
        else:
            assert second[key] == pytest.approx(value, rel=ROUNDING, abs=0), key
    done = vivace_here("bench", "compare", tmp_path / "a/quality.json", tmp_path / "b/quality.json", "--fail-on-worse")
    assert done.code == 0, done.out


@pytest.fixture(scope="module")
def tiny_profile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tiny")
    live2diff_mirror.write(folder)
    return folder / "tiny.toml"


@pytest.mark.slow
def test_a_large_model_is_looked_into_beside_its_plain_form(
    vivace_here: Vivace, tmp_path: Path, tiny_profile: Path
) -> None:
    flags = ("--model", tiny_profile, *TINY_RUN, "--frames", "10", "--json", tmp_path / "copy.json")
    done = vivace_here("bench", "speed", "--out", tmp_path, *flags)
    assert done.code == 0, done.err
    assert "64x64 network: " in done.err, "a log shows how far it is"
    document = read_document(tmp_path / "speed.json")
    assert document == read_document(tmp_path / "copy.json")
    rows = {row.system: {m.metric: m.value for m in row.measurements} for row in document.rows}
    assert list(rows) == ["tiny", "plain eager", "passthrough"]
    stages = {f"model_{stage}_ms_p95" for stage in ("step", "depth", "encode", "unet", "decode")}
    assert stages <= rows["plain eager"].keys()
    assert stages | {"fps", "frame_ms_p95", "first_frame_cold_s", "peak_resident_mib"} <= rows["tiny"].keys()
    assert {"times_plain", "unet_tflops", "matrix_tflops", "unet_matrix_share"} <= rows["tiny"].keys()
    for system in ("tiny", "plain eager"):
        for metric, value in rows[system].items():
            assert value is not None, (system, metric)
            assert math.isfinite(value), (system, metric)
            assert value > 0 or metric.startswith("stage_"), (system, metric)
    assert {"cost growth", "sessions"} <= {entry.what for entry in document.not_run}


@pytest.mark.slow
def test_the_quality_of_a_model_that_trails_can_be_measured(
    vivace_here: Vivace, tmp_path: Path, tiny_profile: Path
) -> None:
    flags = ("--model", tiny_profile, *TINY_RUN, "--scenes", "mover", "--tasks", "style", "fidelity")
    document = quality(vivace_here, tmp_path, *flags)
    rows = {row.system: {interval.metric: interval.value for interval in row.summary} for row in document.rows}
    assert list(rows)[:2] == ["tiny", "per-frame"]
    assert rows["tiny"]["served"] == rows["per-frame"]["served"] == 1
    assert rows["tiny"]["fidelity_psnr"] > 30, "the exact run lies picture beside picture"
