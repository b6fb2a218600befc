"""Metrics for Prometheus."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
from prometheus_client.parser import text_string_to_metric_families

from fakes import SIZE
from http_fakes import OFFER, SDP_HEADERS, Running, running, settings_for


def samples(server: Running) -> dict[tuple[str, ...], float]:
    """Return every sample by its name and label values."""
    answer = server.client.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain")
    families = text_string_to_metric_families(answer.text)
    return {(s.name, *s.labels.values()): s.value for family in families for s in family.samples}


def test_sessions_slots_and_the_queue_are_counted() -> None:
    with running(settings_for(slots=1)) as server:
        live = server.open()
        server.open()
        now = samples(server)
        assert now["vivace_sessions", "live"] == 1
        assert now["vivace_sessions", "waiting"] == 1
        assert now["vivace_slots", "fake"] == 1
        assert now["vivace_slots_used", "fake"] == 1
        assert now["vivace_queue_length", "fake"] == 1
        assert now["vivace_engine_up", "fake"] == 1
        server.manager.end(live["id"], "client")
        after = samples(server)
        assert after["vivace_sessions_opened_total",] == 2
        assert after["vivace_sessions_ended_total", "client"] == 1
        assert after["vivace_queue_length", "fake"] == 0


def test_viewers_are_the_connections_that_only_watch() -> None:
    with running(settings_for(slots=2)) as server:
        for _ in range(2):
            session = server.open()
            secret = {"x-session-secret": session["secret"]}
            server.client.post(session["whip_url"], content=OFFER, headers={**SDP_HEADERS, **secret})
        watched = [server.client.post(session["whep_url"], content=OFFER, headers=SDP_HEADERS) for _ in range(2)]
        assert samples(server)["vivace_viewers",] == 2
        server.client.delete(watched[0].headers["location"])
        assert samples(server)["vivace_viewers",] == 1


def test_memory_and_the_process_are_there() -> None:
    with running() as server:
        now = samples(server)
        assert now["process_resident_memory_bytes",] > 0
        assert now["vivace_state_limit_bytes", "fake"] > 0
        assert math.isnan(now["vivace_newest_frame_age_seconds",])


def test_stages_are_histograms_with_buckets_around_the_frame_budget() -> None:
    with running() as server:
        ended, live = (server.manager.get(server.open()["id"]) for _ in range(2))
        ended.account.stage("denoise", 21.0)
        live.account.stage("denoise", 9_000.0)
        server.manager.end(ended.id, "client")
        now = samples(server)
        edges = sorted(float(key[1]) for key in now if key[0] == "vivace_stage_seconds_bucket" and key[2] == "denoise")
        assert sum(0.010 <= edge <= 0.050 for edge in edges) >= 5
        assert edges[-1] == math.inf
        counts = [now["vivace_stage_seconds_bucket", _text(edge), "denoise"] for edge in edges]
        assert counts == sorted(counts), "cumulative"
        assert now["vivace_stage_seconds_bucket", "0.02", "denoise"] == 0
        assert now["vivace_stage_seconds_bucket", "0.025", "denoise"] == 1
        assert now["vivace_stage_seconds_count", "denoise"] == 2
        assert now["vivace_stage_seconds_sum", "denoise"] == 9.021


def _text(edge: float) -> str:
    return "+Inf" if math.isinf(edge) else f"{edge:g}"


def test_drops_are_counted_by_reason() -> None:
    with running(settings_for(slots=1)) as server:
        server.open()
        waiting = server.manager.get(server.open()["id"])
        waiting.push(np.zeros((SIZE[1], SIZE[0], 3), np.uint8))
        assert samples(server)["vivace_frames_dropped_total", "waiting"] == 1


def test_the_docs_name_every_metric() -> None:
    text = (Path(__file__).parents[2] / "docs" / "operators.md").read_text("utf-8")
    with running() as server:
        families = text_string_to_metric_families(server.client.get("/metrics").text)
        names = {family.name for family in families if family.name.startswith("vivace_")} - {"vivace_info"}
    for name in names:
        assert name in text, f"docs/operators.md does not tell of {name}"
