"""Timing of foreign systems: both ends of a command, its refusals, and its waiting."""

from __future__ import annotations

import sys
from pathlib import Path
from queue import Queue
from typing import Any

import numpy as np
import pytest

from fakes import FakeModel, FakeSource, picture, pictures
from patience import PATIENCE_S
from timing_fakes import job_of
from vivace.bench.inputs.loops import render_clip
from vivace.bench.speed import run as speed_run
from vivace.bench.systems.foreign import command_spec
from vivace.bench.systems.system import ModelSystem, ProcessorRunner, Request, model_spec
from vivace.errors import SourceLostError, SourceNotFoundError, StepError, UnknownModelError

SIZE = (32, 16)
REQUEST = Request(SIZE, 25.0, "ink", 3)

INVERT = """
import json, sys
inside, out = sys.stdin.buffer, sys.stdout.buffer
job = json.loads(inside.readline())
{preamble}
while line := inside.readline():
    head = json.loads(line)
    rgb = inside.read(head["bytes"])
    out.write(json.dumps({{"index": head["index"], "time_s": 0.0, "bytes": len(rgb)}}).encode() + b"\\n")
    out.write(bytes(255 - value for value in rgb))
    out.flush()
"""
REFUSE = """
out.write(json.dumps({"refused": "no " + job["prompt"]}).encode() + b"\\n"); out.flush(); sys.exit(0)
"""


def command(tmp_path: Path, preamble: str = "") -> str:
    script = tmp_path / "system.py"
    script.write_text(INVERT.format(preamble=preamble), "utf-8")
    return f"{sys.executable} {script}"


class Echo:
    """Processor that answers when asked; counts the pictures inside."""

    def __init__(self, order: Any = None) -> None:
        self.waiting: Queue[tuple[int, Any] | None] = Queue()
        self.sent = 0
        self.closed = 0
        self.order = order

    def send(self, index: int, rgb: Any) -> bool:
        self.sent += 1
        self.waiting.put((index if self.order is None else self.order(index), rgb))
        return True

    def finish(self) -> None:
        self.waiting.put(None)

    def receive(self) -> tuple[int, Any] | None:
        return self.waiting.get(timeout=PATIENCE_S)

    def close(self) -> None:
        self.closed += 1


def test_a_command_gets_every_picture_and_its_answers_have_their_place(tmp_path: Path) -> None:
    system = command_spec(command(tmp_path), "invert").load()
    runner = system.open(REQUEST)
    frames = list(runner.run(FakeSource(pictures(12)), live=False))
    assert [frame.index for frame in frames] == list(range(12))
    assert all(np.array_equal(frame.rgb, 255 - picture(frame.index)) for frame in frames)
    assert [frame.capture_time_s for frame in frames] == [frame.capture_time_s for frame in pictures(12)]
    assert runner.change_prompt("red") is None
    assert runner.stats() is None
    runner.close()


def test_a_command_that_refuses_says_why(tmp_path: Path) -> None:
    runner = command_spec(command(tmp_path, REFUSE), "invert").load().open(REQUEST)
    with pytest.raises(StepError, match="no ink"):
        list(runner.run(FakeSource(pictures(3)), live=False))


def test_a_command_that_dies_or_is_not_there_says_so(tmp_path: Path) -> None:
    dying = command(tmp_path, "print('out of ink', file=sys.stderr); sys.exit(3)")
    with pytest.raises(SourceLostError, match="out of ink"):
        list(command_spec(dying, "x").load().open(REQUEST).run(FakeSource(pictures(3)), live=False))
    with pytest.raises(SourceNotFoundError):
        command_spec("/nowhere/at-all", "x").load().open(REQUEST)


def test_leaving_a_command_early_ends_it(tmp_path: Path) -> None:
    frames = command_spec(command(tmp_path), "invert").load().open(REQUEST).run(FakeSource(pictures(60)), live=False)
    assert next(frames).index == 0
    frames.close()


def test_a_command_is_timed_without_what_cannot_be_seen_from_outside(tmp_path: Path) -> None:
    render_clip(tmp_path / "clip.mp4", (64, 48), 50)
    system = command_spec(command(tmp_path), "invert").load()
    job = job_of(system, clip=str(tmp_path / "clip.mp4"), frames=20)
    found = speed_run.pace(job, lambda done, total: None, counters={"cpu_ms_per_frame": lambda: 0.0})
    metrics = {value.metric for value in found.values}
    assert {"fps", "frame_ms_p99", "first_frame_cold_s", "first_frame_warm_s"} <= metrics
    assert not [metric for metric in metrics if metric.startswith(("stage_", "cpu_", "resident", "peak", "model_"))]
    assert {"stages", "CPU time and memory", "model_step_ms"} <= found.not_run.keys()


def test_where_every_frame_counts_pictures_wait_for_answers() -> None:
    echo = Echo()
    frames = ProcessorRunner(echo, in_flight=4).run(FakeSource(pictures(100)), live=False)
    for _ in range(10):
        next(frames)
        assert echo.sent <= 10 + 4 + 1
    assert len(list(frames)) == 90
    assert echo.closed


def test_an_answer_to_a_picture_that_was_not_sent_is_refused() -> None:
    with pytest.raises(StepError, match="picture 7"):
        list(ProcessorRunner(Echo(lambda index: index + 7)).run(FakeSource(pictures(2)), live=False))


def test_a_source_that_fails_ends_after_the_frames_before_it() -> None:
    source = FakeSource(pictures(3), error=SourceLostError("unplugged"))
    seen = []
    frames = ProcessorRunner(Echo()).run(source, live=True)
    with pytest.raises(SourceLostError, match="unplugged"):
        for frame in frames:
            seen.append(frame.index)
    assert seen == [0, 1, 2]


def test_a_stream_without_a_prompt_is_the_baseline_and_paints_nothing() -> None:
    model = FakeModel()
    system = ModelSystem(model, paints=False)
    runner = system.open(Request(SIZE, 25.0, "red"))
    frames = list(runner.run(FakeSource(pictures(5)), live=False))
    assert all(np.array_equal(frame.rgb, picture(frame.index)) for frame in frames)
    assert model.chunks == []
    assert system.model is None
    assert runner.change_prompt("green") is None
    runner.close()


def test_a_system_of_no_model_is_refused_by_name() -> None:
    with pytest.raises(UnknownModelError, match="nimi"):
        model_spec("nimi").load()
