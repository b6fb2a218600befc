"""The quality run: every case measured, the same figures each time, planted faults found."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from tolerance import ROUNDING
from vivace.bench.document import Measurement
from vivace.bench.metrics.footage import Footage, Frames, Series
from vivace.bench.quality.benchmark import (
    SERVED,
    QualityOptions,
    QualityRun,
    Showing,
    open_judges,
    plan,
    quality_infos,
    to_measurement,
)
from vivace.bench.quality.cases import make_protocol
from vivace.bench.selfcheck import planted
from vivace.bench.systems.baselines import Frozen, Once, Passthrough
from vivace.bench.systems.faults import FAULTS, Faulty
from vivace.bench.systems.system import Painted, Request, System
from vivace.errors import UsageError

SIZE = (96, 64)
SCENES = ["mover", "table"]


class Posterised(System):
    """System that is quick, keeps the structure and respects masks."""

    name, about = "posterised", "fewer levels"

    def __init__(self) -> None:
        self.requests: list[Request] = []

    def run(self, request: Request, source: Frames) -> Painted:
        self.requests.append(request)
        if request.task == "edit" and "remove" in request.prompt:
            return Painted(source, refused="cannot remove")
        painted = source // 32 * 32 + 16
        return Painted(painted if request.mask is None else np.where(request.mask[..., None], painted, source))


@pytest.fixture(scope="module")
def options() -> QualityOptions:
    return QualityOptions(make_protocol(SCENES, quick=True), SIZE)


def run(options: QualityOptions, *, faulty: bool = False) -> tuple[QualityRun, list[Showing]]:
    shown: list[Showing] = []
    once = Once(Posterised())
    systems = [once, *(Faulty(once, fault) for fault in FAULTS)] if faulty else [once, Passthrough(), Frozen(once)]
    done = QualityRun(options, systems, exact=Passthrough(), show=shown.append)
    done.run(lambda *_: None)
    return done, shown


@pytest.fixture(scope="module")
def done(options: QualityOptions) -> tuple[QualityRun, list[Showing]]:
    return run(options)


def by_key(measurements: list[Measurement]) -> dict[tuple[str, str], Measurement]:
    return {(m.metric, m.case): m for m in measurements}


def test_every_planned_case_is_measured_and_shown(options: QualityOptions, done) -> None:
    quality, shown = done
    planned = {case.name for entry in plan(options) for case in entry.cases}
    assert {showing.case.name for showing in shown} == planned
    assert {m.case for m in quality.judged[0].measurements} == planned


def test_a_system_gets_nothing_of_the_truth(options: QualityOptions) -> None:
    system = Posterised()
    QualityRun(options, [system]).run(lambda *_: None)
    for request in system.requests:
        assert (request.mask is not None) == (request.task == "region")
        assert (request.style is None) == (request.task == "edit")


def test_two_runs_give_the_same_figures(options: QualityOptions, done) -> None:
    again, _ = run(options)
    for first, second in zip(done[0].judged, again.judged, strict=True):
        before, after = by_key(first.measurements), by_key(second.measurements)
        assert before.keys() == after.keys()
        for key, measurement in before.items():
            other = after[key]
            assert (measurement.value is None) == (other.value is None), key
            if measurement.value is not None:
                assert measurement.value == pytest.approx(other.value, rel=ROUNDING, abs=0), key


def test_another_seed_is_another_run(options: QualityOptions, done) -> None:
    other, _ = run(dataclasses.replace(options, seed=1, tasks=("style",)))
    before, after = by_key(done[0].judged[0].measurements), by_key(other.judged[0].measurements)
    assert any(before[key].value != m.value for key, m in after.items() if key[0] == "edge_agreement")


def test_every_measured_metric_is_explained(done) -> None:
    known = {info.key for info in quality_infos()}
    assert {m.metric for judged in done[0].judged for m in judged.measurements} <= known


def test_refusals_are_counted_and_named(done) -> None:
    quality, _ = done
    found = by_key(quality.judged[0].measurements)
    refused = [case for (metric, case), m in found.items() if metric == "served" and m.value == 0]
    assert refused == [entry.what for entry in quality.refusals]
    assert all("cannot remove" in entry.reason for entry in quality.refusals)
    for case in refused:
        assert found[("edit_gain", case)].value == 0


def test_doing_nothing_is_seen_as_that(done) -> None:
    def mean(place: int, metric: str) -> float:
        values = [m.value for m in done[0].judged[place].measurements if m.metric == metric and m.value is not None]
        return float(np.mean(values))

    assert mean(1, "untouched_exact") == 1
    assert mean(1, "edit_gain") == 0
    assert mean(1, "style_strength") < 0.1
    assert mean(2, "motion_explained") <= 0
    assert mean(2, "depth_order") <= 0
    assert mean(0, "motion_explained") > 0.3


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.key)
def test_a_planted_fault_moves_its_metric_beyond_the_clean_interval(options: QualityOptions, fault, faulty_run) -> None:
    clean, *spoilt = faulty_run.judged
    found = spoilt[FAULTS.index(fault)]
    verdict = planted(fault.key, fault.title, fault.metric, clean.measurements, found.measurements)
    assert verdict.caught, verdict
    other = planted(fault.key, fault.title, fault.metric, clean.measurements, clean.measurements)
    assert not other.caught


@pytest.fixture(scope="module")
def faulty_run(options: QualityOptions) -> QualityRun:
    return run(options, faulty=True)[0]


def test_blocks_are_the_means_of_quarter_seconds() -> None:
    values = np.array([1, 2, 3, 4, 5, 6, np.nan, np.nan, np.nan, np.nan, np.nan, np.nan, 8.0])
    found = to_measurement("m", "c", values)
    assert found.value == pytest.approx((21 + 8) / 7)
    assert found.blocks == [3.5, None, 8.0]
    assert to_measurement("m", "c", np.full(3, np.nan)).value is None


def test_nothing_to_run_is_said() -> None:
    with pytest.raises(UsageError, match="no case"):
        plan(QualityOptions(make_protocol(["none"])))


def test_a_judge_that_cannot_run_is_listed_and_gives_no_figure(tmp_path) -> None:
    ready, missing = open_judges(tmp_path)
    assert missing
    assert all(entry.reason.startswith("needs") for entry in missing)
    assert not {judge.name for judge in ready} & {entry.what for entry in missing}


def test_a_judge_is_asked_about_its_own_cases_only(options: QualityOptions) -> None:
    class Likes:
        name = "likes"
        readings = (dataclasses.replace(SERVED, key="liked", needs=("reference",)),)

        def reason(self) -> str | None:
            return None

        def measure(self, footage: Footage) -> dict[str, Series]:
            assert footage.reference is not None
            return {"liked": np.ones(len(footage.output)), "other": np.ones(len(footage.output))}

    quality = QualityRun(dataclasses.replace(options, tasks=("style", "edit")), [Posterised()], judges=[Likes()])
    quality.run(lambda *_: None)
    found = by_key(quality.judged[0].measurements)
    assert {case.split("/")[1] for metric, case in found if metric == "liked"} == {"edit"}
    assert not any(metric == "other" for metric, _ in found)
