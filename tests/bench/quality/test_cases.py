"""The protocol: the same cases for everybody, all styles distributed, names that describe their case."""

from __future__ import annotations

import pytest

from vivace.bench.inputs.scenes import scene_worlds
from vivace.bench.metrics import METRICS
from vivace.bench.quality.cases import QUICK_SCENES, TASKS, cases_of, check_tasks, drift_case, make_protocol
from vivace.errors import UsageError
from vivace.models.mini.styles import STYLE_KEYS


def all_cases():
    protocol = make_protocol()
    infos = scene_worlds()
    return [
        case
        for number, scene in enumerate(protocol.scenes)
        for case in cases_of(scene, number, protocol, infos[scene], masked=True)
    ]


def test_every_case_has_a_name_of_its_own() -> None:
    names = [case.name for case in all_cases()]
    assert len(set(names)) == len(names)
    assert all(case.name.split("/") == [case.clip, case.task, case.request] for case in all_cases())


def test_every_style_is_asked_for_and_no_clip_is_painted_twice_in_one() -> None:
    dealt = [case.request for case in all_cases() if case.task == "style"]
    assert set(dealt) == set(STYLE_KEYS[: len(dealt)])
    for scene in scene_worlds():
        styles = [case.request for case in all_cases() if case.clip == scene and case.task in ("style", "region")]
        assert len(set(styles)) == len(styles)


def test_every_metric_is_about_some_task() -> None:
    cases = {case.task: case for case in all_cases()}
    for metric in METRICS:
        assert any(case.judges(metric) for case in cases.values()), metric.key


def test_a_metric_of_the_whole_picture_does_not_judge_a_region() -> None:
    region = next(case for case in all_cases() if case.task == "region")
    judged = {metric.key for metric in METRICS if region.judges(metric)}
    assert "untouched_psnr" in judged
    assert "warp_error" not in judged
    assert "edit_gain" not in judged


def test_a_video_without_a_mask_is_run_in_styles_only() -> None:
    tasks = {case.task for case in cases_of("walk", 20, make_protocol(), None, masked=False)}
    assert tasks == {"style"}


def test_quick_is_less_of_the_same() -> None:
    quick, full = make_protocol(quick=True), make_protocol()
    assert quick.scenes == QUICK_SCENES
    assert set(quick.scenes) < set(full.scenes)
    assert quick.frames < full.frames
    assert drift_case(quick).frames < drift_case(full).frames


def test_drift_runs_for_its_minutes() -> None:
    protocol = make_protocol()
    assert drift_case(protocol).frames == protocol.drift_minutes * 60 * protocol.drift_fps
    assert protocol.drift_period < drift_case(protocol).frames / 10


def test_what_there_is_not_is_refused_by_name() -> None:
    with pytest.raises(UsageError, match=r"'moon'.*walkers"):
        make_protocol(["walkers", "moon"])
    with pytest.raises(UsageError, match=r"'paint'.*style"):
        check_tasks(["paint"])
    assert make_protocol(["none"]).scenes == ()
    assert check_tasks(None) == TASKS
    assert check_tasks(["drift", "style"]) == ("style", "drift")
