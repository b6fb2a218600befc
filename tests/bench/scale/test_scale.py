"""The simulated cluster: it adds up, failures cost no session its settings, and placement is near the best."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from vivace.bench.scale.assignment import (
    accepted_by_directory,
    accepted_exactly,
    accepted_with_hindsight,
    burst,
)
from vivace.bench.scale.benchmark import figures_of, scale_command
from vivace.bench.scale.simulation import NOTICE_S, OPEN_S, Plan, Simulation
from vivace.cli import main

BUSY = Plan(workers=12, sessions=30, hours=0.2, night=1.0, failures=3.0, restart_s=10.0)


def test_every_session_that_asked_was_accepted_or_refused_and_failures_move_them() -> None:
    simulation = Simulation(BUSY)
    outcome = simulation.run()
    assert outcome.asked == outcome.accepted + sum(outcome.refused.values())
    assert outcome.moved > 0
    assert min(outcome.resumed_s) == pytest.approx(NOTICE_S + OPEN_S)
    here = {session.record.id for session in simulation._sessions.values() if session.worker is not None}
    known = {record.id for name in simulation._workers for record in simulation.directory.sessions_of(name)}
    known |= {record.id for record in simulation.directory.lost()}
    assert here <= known, "no session is one that the directory does not know"
    for worker in simulation._workers.values():
        assert worker.admission.live <= worker.admission.slots


def test_a_run_is_the_same_for_its_seed_and_another_for_another() -> None:
    def figures(plan: Plan) -> dict[str, object]:
        return figures_of(Simulation(plan, measure=lambda: 0.0).run(), plan)

    assert figures(BUSY) == figures(BUSY)
    assert figures(BUSY) != figures(Plan(workers=12, sessions=30, hours=0.2, night=1.0, failures=3.0, seed=1))


def test_placement_gives_what_the_exact_assignment_gives_within_two_percent() -> None:
    shares = []
    for seed in range(8):
        slots, weights = burst(20, seed)
        exact = accepted_exactly(slots, weights)
        assert exact <= sum(slots)
        assert accepted_with_hindsight(slots, weights) <= exact + 1e-6
        shares.append(accepted_by_directory(slots, weights) / exact)
    assert min(shares) >= 0.98
    slots, weights = burst(300, 0)
    assert accepted_by_directory(slots, weights) >= 0.98 * accepted_with_hindsight(slots, weights)


def test_the_exact_assignment_is_one_that_can_be_seen_to_be_the_best() -> None:
    assert accepted_exactly([3, 2], [2.0, 2.0, 1.0, 1.0]) == 5.0
    assert accepted_exactly([3, 3], [4.0, 2.0]) == 2.0


def test_the_command_prints_and_writes_its_figures(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    scale_command(Plan(workers=5, sessions=10, hours=0.05), tmp_path / "scale.json")
    assert "5 workers, 10 sessions" in capsys.readouterr().out
    written = json.loads((tmp_path / "scale.json").read_text())
    assert written["acceptance"]["of_exact_at_20_worst"] >= 0.98
    assert main(["bench", "scale", "--workers", "0"]) == 2
    assert "1 to 20000 workers" in capsys.readouterr().err
