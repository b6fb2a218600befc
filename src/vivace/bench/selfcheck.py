"""Self-check of the benchmark: faults are planted into a sound system, and each must move its metric."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from vivace.bench.document import Measurement, PlantedFault
from vivace.bench.speed.benchmark import SpeedCase, SpeedOptions, measure_speed
from vivace.bench.stats.intervals import summarise
from vivace.bench.suite import Parts, need_bench_extra, progress_bar, publish, to_settings
from vivace.bench.systems.faults import FAULTS, LEAK, Faulty, leaky_spec
from vivace.bench.systems.subject import Subject, open_system

if TYPE_CHECKING:
    from vivace.bench.quality.benchmark import QualityOptions
    from vivace.bench.speed.benchmark import Report

LEAK_SIZE = (128, 128)
LEAK_FRAMES = 500
"""Frames of the leak test, enough for a slope."""
TIMED_FRAMES = 60
"""Timed frames before the long run; only its slope matters here."""


def selfcheck_command(subject: Subject, out: Path, options: QualityOptions) -> int:
    """Plant every fault, print and write the results, and return 1 if any was missed, else 0.

    Raises:
        VivaceError: a measurement failed.
    """
    need_bench_extra("the self-check")
    parts = Parts(options.seed, {"selfcheck": to_settings(options)})
    with progress_bar() as report:
        if subject.ours:
            _time(parts, subject, options.seed, report)
        _pictures(parts, subject, options, report)
    document = parts.document()
    publish(document, None, out, "selfcheck", Console())
    return int(not all(fault.caught for fault in document.planted_faults))


def _pictures(parts: Parts, subject: Subject, options: QualityOptions, report: Report) -> None:
    from vivace.bench.quality.benchmark import QualityRun, quality_infos
    from vivace.bench.systems.baselines import Once

    system, _ = open_system(subject)
    once = Once(system)
    tasks = tuple(dict.fromkeys(fault.task for fault in FAULTS))
    run = QualityRun(replace(options, tasks=tasks), [once, *(Faulty(once, fault) for fault in FAULTS)])
    run.run(report)
    clean, *spoilt = run.judged
    parts.metrics |= {info.key: info for info in quality_infos()}
    parts.add(clean.system.name, "subject", clean.system.about, clean.measurements)
    for fault, judged in zip(FAULTS, spoilt, strict=True):
        parts.planted_faults.append(
            planted(fault.key, fault.title, fault.metric, clean.measurements, judged.measurements, options.seed)
        )


def _time(parts: Parts, subject: Subject, seed: int, report: Report) -> None:
    found = []
    for spec in (subject.spec(), leaky_spec(subject.model, subject.threads)):
        cases = (SpeedCase(LEAK_SIZE),)
        options = SpeedOptions(spec, cases, frames=TIMED_FRAMES, long_frames=LEAK_FRAMES, session_fps=(), seed=seed)
        found.append(measure_speed(options, report))
    clean, spoilt = found
    parts.metrics |= {info.key: info for info in clean.metrics}
    parts.add(subject.spec().name, "subject", clean.about, clean.measurements)
    parts.planted_faults.append(
        planted("leak", LEAK, "cost_growth_pct_per_1000", clean.measurements, spoilt.measurements, seed)
    )


def planted(
    key: str, about: str, metric: str, clean: list[Measurement], spoilt: list[Measurement], seed: int = 0
) -> PlantedFault:
    """Return a fault's effect on its metric; it is caught if the value lies outside the clean run's interval."""
    before, after = (
        next(interval for interval in summarise(found, seed=seed) if interval.metric == metric)
        for found in (clean, spoilt)
    )
    return PlantedFault(
        fault=key,
        about=about,
        clean=before,
        value=after.value,
        caught=not before.low <= after.value <= before.high,
    )
