"""Stand-ins for the benchmarks of time: systems over fake models, and a camera and a viewer in lockstep."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from threading import Condition
from typing import Any

from fakes import FakeClock, FakeModel
from vivace.bench.job import Job
from vivace.bench.systems.system import LiveSystem, ProcessorRunner, Request, StreamRunner, SystemSpec
from vivace.media.frame import Frame
from vivace.stream import Stream

SIZE = (64, 48)
LIMIT_S = 20.0


def job_of(system: Any, **settings: Any) -> Job:
    """Return a job whose system is given."""
    defaults = {"size": SIZE, "fps": 30.0, "prompt": "red", "seed": 0, "warmup_frames": 30, "cold_frames": 30}
    defaults |= {"budget_s": None, "steps_alone": True, "masked": False, "case": f"{SIZE[0]}x{SIZE[1]}"}
    return Job("", AtHand(system), {**defaults, **settings})


class AtHand(SystemSpec):
    """Spec of a system that already exists."""

    def __init__(self, system: Any, name: str = "fake") -> None:
        super().__init__(name)
        object.__setattr__(self, "system", system)

    def load(self) -> Any:
        return self.system


def costly(clock: FakeClock, cost_s: Callable[[int], float], **options: Any) -> FakeModel:
    """Return a model whose `n`-th step takes `cost_s(n)`."""
    steps = iter(range(10**9))
    return FakeModel(on_step=lambda chunk: clock.advance(cost_s(next(steps))), record=False, **options)


class Lockstep(LiveSystem):
    """Streams whose camera looks at the clock only when nobody else has anything to do.

    So every noted time depends on the script alone, not on the speed of threads.
    """

    def __init__(self, model: FakeModel) -> None:
        self.about = "fake"
        self.model = model

    def open(self, request: Request, clock: Callable[[], float]) -> LockstepRunner:
        stream = Stream(self.model, prompt="red", size=request.size, clock=clock, detect_cuts=False, crossfade_s=0)
        runner = LockstepRunner(stream, self.model.spec.output_lag_frames)
        step = self.model.step

        def stepped(*args: Any) -> Any:
            made = step(*args)
            runner.advance(stepped=1)
            return made

        self.model.step = stepped  # type: ignore[method-assign]
        return runner


class LockstepRunner(StreamRunner):
    def __init__(self, stream: Stream, lag: int) -> None:
        super().__init__(stream)
        self._lag = lag
        self._shown = self._stepped = 0
        self._turn = Condition()

    def run(self, source: Any, *, live: bool) -> Generator[Frame, None, None]:
        for frame in super().run(_Waiting(source, self._until_shown), live=live):
            yield frame
            self.advance(shown=1)

    def advance(self, *, shown: int = 0, stepped: int = 0) -> None:
        with self._turn:
            self._shown += shown
            self._stepped += stepped
            self._turn.notify_all()

    def _until_shown(self, given: int) -> None:
        with self._turn:
            done = self._turn.wait_for(lambda: self._shown >= given - self._lag and self._stepped >= given, LIMIT_S)
        assert done, f"{given} frames went in, {self._stepped} were painted, {self._shown} shown"


@dataclass
class _Waiting:
    """Source that gives its next frame when all given before are shown."""

    source: Any
    until_shown: Callable[[int], None]

    @property
    def info(self) -> Any:
        return self.source.info

    def __iter__(self) -> Iterator[Frame]:
        frames = iter(self.source)
        for given in range(10**9):
            self.until_shown(given)
            frame = next(frames, None)
            if frame is None:
                return
            yield frame

    def close(self) -> None:
        self.source.close()


class Queueing(LiveSystem):
    """Foreign system with an unbounded queue, on a clock of events: `wait` is the camera's sleep."""

    def __init__(self, clock: FakeClock, service_s: float) -> None:
        self.clock = clock
        self.service_s = service_s
        self.busy_until_s = 0.0
        self.queue: deque[tuple[float, int, Any]] = deque()
        self.turn = Condition()
        self.listening = self.due = self.ended = False

    def open(self, *_: Any) -> ProcessorRunner:
        return ProcessorRunner(self)

    def send(self, index: int, rgb: Any) -> bool:
        with self.turn:
            self.busy_until_s = max(self.clock(), self.busy_until_s) + self.service_s
            self.queue.append((self.busy_until_s, index, rgb))
            return True

    def wait(self, seconds: float) -> None:
        target_s = self.clock() + seconds
        with self.turn:
            while self.queue and self.queue[0][0] <= target_s:
                assert self.turn.wait_for(lambda: self.listening, LIMIT_S)
                self._advance_to(self.queue[0][0])
                self.due = True
                self.turn.notify_all()
                assert self.turn.wait_for(lambda: self.listening and not self.due, LIMIT_S)
            self._advance_to(target_s)

    def _advance_to(self, time_s: float) -> None:
        self.clock.advance(max(0.0, time_s - self.clock()))

    def receive(self) -> tuple[int, Any] | None:
        with self.turn:
            self.listening = True
            self.turn.notify_all()
            assert self.turn.wait_for(lambda: self.due or self.ended, LIMIT_S)
            self.listening = self.due = False
            if not self.queue:
                return None
            done_s, index, rgb = self.queue.popleft()
            self._advance_to(done_s)
            return index, rgb

    def finish(self) -> None:
        with self.turn:
            self.ended = True
            self.turn.notify_all()

    def close(self) -> None:
        self.finish()
