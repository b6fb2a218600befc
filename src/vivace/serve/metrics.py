"""The server's figures for Prometheus, read from the session manager when they are asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from vivace.serve.session_manager import SessionManager
from vivace.serve.snapshot import ModelSnapshot, ServerSnapshot
from vivace.serve.version import VERSION
from vivace.stream.histogram import Histogram

BUCKETS_MS = (1, 2, 5, 10, 15, 20, 25, 30, 33.4, 40, 50, 66.7, 80, 100, 120, 150, 200, 350, 500, 1000)
"""Upper edges, dense around the frame budgets of 15 to 60 frames a second."""


class Metrics:
    """All metrics of one server."""

    def __init__(self, manager: SessionManager, viewers: Callable[[], int]) -> None:
        """Read `manager`, and from `viewers` how many connections only watch."""
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)  # memory, CPU time, open files
        PlatformCollector(registry=self._registry)
        GCCollector(registry=self._registry)
        self._registry.register(_SnapshotCollector(manager, viewers))

    def render(self) -> tuple[bytes, str]:
        """Return the text of all metrics, and its media type."""
        return generate_latest(self._registry), CONTENT_TYPE_LATEST


class _SnapshotCollector(Collector):
    """Turns a snapshot of the server into metrics."""

    def __init__(self, manager: SessionManager, viewers: Callable[[], int]) -> None:
        self._manager = manager
        self._viewers = viewers

    def describe(self) -> list[Metric]:
        """Name nothing beforehand: the manager need not have started."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics of this moment."""
        now = self._manager.snapshot()
        yield InfoMetricFamily("vivace", "The server.", {"version": VERSION})
        yield _gauge("vivace_draining", "1 while the server shuts down.", float(now.draining))
        yield _gauge("vivace_viewers", "Connections that only watch.", self._viewers())
        yield from _sessions(now)
        yield from _frames(now)
        yield from _models(now.models)


def _sessions(now: ServerSnapshot) -> Iterator[Metric]:
    states = GaugeMetricFamily("vivace_sessions", "Sessions by state; absent ones are also live.", labels=["state"])
    for state, count in (("live", now.live), ("waiting", now.waiting), ("absent", now.absent)):
        states.add_metric([state], count)
    yield states
    yield _gauge("vivace_recordings", "Recordings that are being written.", now.recordings)
    yield CounterMetricFamily("vivace_sessions_opened", "Sessions since the server began.", value=now.opened)
    refused = CounterMetricFamily(
        "vivace_requests_refused", "Prompts and pictures that are not painted, by reason.", labels=["reason"]
    )
    for reason, count in sorted(now.refused.items()):
        refused.add_metric([reason], count)
    yield refused
    ended = CounterMetricFamily("vivace_sessions_ended", "Sessions by the reason of their end.", labels=["reason"])
    for reason, count in sorted(now.ended.items()):
        ended.add_metric([reason], count)
    yield ended


def _frames(now: ServerSnapshot) -> Iterator[Metric]:
    stages = HistogramMetricFamily(
        "vivace_stage_seconds", "Time of a frame in each stage; `server` is all of them.", labels=["stage"]
    )
    for stage, times in now.stages.items():
        stages.add_metric([stage], buckets=_buckets(times), sum_value=times.sum_ms / 1e3)
    yield stages
    drops = CounterMetricFamily("vivace_frames_dropped", "Frames that were let go of.", labels=["reason"])
    for reason, count in sorted(now.drops.items()):
        drops.add_metric([reason], count)
    yield drops
    kept = now.kept
    yield CounterMetricFamily("vivace_region_cache_frames", "Painted frames of models with one.", kept.frames)
    yield CounterMetricFamily("vivace_region_cache_kept_frames", "Shares of them that it kept, added up.", kept.kept)
    yield _gauge("vivace_region_cache_saved_seconds", "Time that it saved.", kept.saved_s)
    age_s = now.newest_frame_age_s
    yield _gauge(
        "vivace_newest_frame_age_seconds",
        "Since any session gave a frame; NaN if none does.",
        float("nan") if age_s is None else age_s,
    )


def _models(models: tuple[ModelSnapshot, ...]) -> Iterator[Metric]:
    slots = GaugeMetricFamily("vivace_slots", "Sessions that fit.", labels=["model"])
    used = GaugeMetricFamily("vivace_slots_used", "Sessions that have a slot.", labels=["model"])
    waiting = GaugeMetricFamily("vivace_queue_length", "Sessions that wait for a slot.", labels=["model"])
    step = GaugeMetricFamily("vivace_step_seconds", "Median time of a step at full effort.", labels=["model"])
    state = GaugeMetricFamily("vivace_state_bytes", "Memory of all sessions' states.", labels=["model"])
    limit = GaugeMetricFamily("vivace_state_limit_bytes", "What they may take.", labels=["model"])
    alive = GaugeMetricFamily("vivace_engine_up", "1 while the engine's thread runs.", labels=["model"])
    busy = GaugeMetricFamily(
        "vivace_step_in_progress_seconds", "Age of the step that runs; long means it hangs.", labels=["model"]
    )
    for model in models:
        name = [model.name]
        slots.add_metric(name, model.slots)
        used.add_metric(name, model.live)
        waiting.add_metric(name, model.waiting)
        step.add_metric(name, model.step_ms / 1e3)
        state.add_metric(name, model.state_bytes)
        limit.add_metric(name, model.memory_limit_bytes)
        alive.add_metric(name, float(model.engine_alive))
        busy.add_metric(name, model.step_in_progress_s)
    yield from (slots, used, waiting, step, state, limit, alive, busy)


def _buckets(times: Histogram) -> list[tuple[str, float]]:
    """Return cumulative counts by upper edge in seconds, as Prometheus counts."""
    counts = zip(BUCKETS_MS, times.counts_up_to(BUCKETS_MS), strict=True)
    return [*((f"{edge_ms / 1e3:g}", float(count)) for edge_ms, count in counts), ("+Inf", float(times.count))]


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(name, text, value=value)
