"""What a frame costs on this machine, measured in a fresh process.

Run as `python -m vivace.bench.speed JOB`, with a job as JSON; it prints one JSON event a line, `{"progress": …}` and at
last `{"result": …}` or `{"error": …}`. A process of its own makes resident memory and the time to the first frame mean
something.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Callable, Generator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vivace.bench.measure import Spread, intervals_ms, peak_resident_mib, resident_mib, spread, window_median
from vivace.errors import VivaceError

if TYPE_CHECKING:
    from vivace.media.frame import Rgb
    from vivace.media.sink import Sink
    from vivace.media.source import Source
    from vivace.models.base import StreamModel
    from vivace.stream import Stats

WARMUP_FRAMES = 30
"""Left out: caches, kernels and the memory's window fill up in the first frames."""
MODEL_STEPS = 60
LOOP_FRAMES = 48
"""Pictures a long run shows over and over: decoded once, so that only the stream's own cost can change."""
EARLY_FRAME = 200
WINDOW_FRAMES = 200
PROGRESS_S = 0.2

Report = Callable[[int, int], None]
"""Called with frames done and frames to do."""


@dataclass(frozen=True, slots=True)
class Job:
    """One size to measure."""

    clip: str
    model: str
    size: tuple[int, int]
    frames: int
    prompt: str
    threads: int | None = None
    long_frames: int | None = None
    started_s: float = 0.0
    """`time.monotonic()` when the process was started; the clock is the system's, not the process's."""


@dataclass(frozen=True, slots=True)
class LongRun:
    """Early frames of an endless stream against late ones."""

    frames: int
    early_ms: float
    """Median cost of a frame in the window around frame 200."""
    late_ms: float
    """The same around the last frame."""
    early_mib: float
    late_mib: float

    @property
    def ratio(self) -> float:
        """Late cost over early cost: 1 for a stream that may go on forever."""
        return self.late_ms / self.early_ms


@dataclass(frozen=True, slots=True)
class Speed:
    """What one size costs. Times in ms unless named otherwise; `docs/bench.md` explains each."""

    size: tuple[int, int]
    frames: int
    fps: float
    frame_ms: Spread
    latency_ms: dict[str, float | None]
    stages_ms: dict[str, float | None]
    """Median of each stage."""
    model_ms: Spread
    first_frame_s: float
    peak_resident_mib: float
    runtime: str
    device: str
    precision: str
    long_run: LongRun | None = None


def measure(job: Job, report: Report) -> Speed:
    """Time the whole stream from the clip to an mp4, then the model alone, then the long run if one is wanted."""
    from vivace.media.sink import open_sink
    from vivace.media.source import open_source
    from vivace.models import load_model

    model = load_model(job.model, threads=job.threads)
    total = WARMUP_FRAMES + job.frames
    with tempfile.TemporaryDirectory(prefix="vivace-bench-") as folder:
        sink = open_sink(Path(folder) / "out.mp4")
        times_s, _, stats = _stream(model, open_source(job.clip), sink, job, lambda done: report(done, total))
    steady_s = times_s[WARMUP_FRAMES:]
    speed = Speed(
        size=job.size,
        frames=len(steady_s),
        fps=(len(steady_s) - 1) / (steady_s[-1] - steady_s[0]),
        frame_ms=spread(intervals_ms(steady_s)),
        latency_ms=dict(stats.latency_ms),
        stages_ms={name: times["p50"] for name, times in stats.stages_ms.items()},
        model_ms=_model_alone(model, job),
        first_frame_s=times_s[0] - job.started_s,
        peak_resident_mib=peak_resident_mib(),
        runtime=model.runtime.runtime,
        device=model.runtime.device,
        precision=model.runtime.precision,
    )
    if job.long_frames is None:
        return speed
    return replace(speed, long_run=_long_run(model, job, report))


def _stream(
    model: StreamModel, source: Source, sink: Sink, job: Job, report: Callable[[int], None]
) -> tuple[list[float], list[float], Stats]:
    """Run a source through the model into a sink, every frame.

    Returns the monotonic time at which each frame was written, resident MiB at each `WINDOW_FRAMES`-th, and statistics.
    """
    from vivace.stream import Stream

    written_s: list[float] = []
    memory_mib: list[float] = []
    told_s = 0.0
    with sink, Stream(model, prompt=job.prompt, size=job.size) as stream:
        for frame in stream.run(source, live=False):
            sink.write(frame)
            now_s = time.monotonic()
            written_s.append(now_s)
            if len(written_s) % WINDOW_FRAMES == 0:
                memory_mib.append(resident_mib())
            if now_s - told_s > PROGRESS_S:
                told_s = now_s
                report(len(written_s))
        return written_s, memory_mib, stream.stats()


def _model_alone(model: StreamModel, job: Job) -> Spread:
    """Time single steps on random pictures."""
    import numpy as np

    from vivace.models.base import Chunk

    rng = np.random.default_rng(0)
    state = model.open(job.size)
    embeds = model.encode_prompt(job.prompt).embeds
    shape = (model.spec.chunk_frames, job.size[1], job.size[0], 3)
    times_ms = []
    for _ in range(WARMUP_FRAMES + MODEL_STEPS):
        chunk = Chunk(rng.integers(0, 256, shape, np.uint8), embeds, model.spec.denoising_steps[0])
        began_s = time.perf_counter()
        model.step([state], [chunk])
        times_ms.append((time.perf_counter() - began_s) * 1000.0)
    return spread(times_ms[WARMUP_FRAMES:])


def _long_run(model: StreamModel, job: Job, report: Report) -> LongRun:
    """Compare early frames with late ones on pictures that cost the same to deliver at any time."""
    from vivace.media.sink import open_sink
    from vivace.media.source import open_source

    assert job.long_frames is not None
    with open_source(job.clip) as clip:
        pictures = [frame.rgb for frame, _ in zip(clip, range(LOOP_FRAMES), strict=False)]
    source = _looped(pictures, job.long_frames)
    total = job.long_frames
    times_s, memory_mib, _ = _stream(model, source, open_sink("null"), job, lambda done: report(done, total))
    cost_ms = intervals_ms(times_s)
    early = EARLY_FRAME + WINDOW_FRAMES // 2
    return LongRun(
        frames=len(times_s),
        early_ms=window_median(cost_ms, early, WINDOW_FRAMES),
        late_ms=window_median(cost_ms, len(cost_ms), WINDOW_FRAMES),
        early_mib=memory_mib[early // WINDOW_FRAMES],
        late_mib=memory_mib[-1],
    )


def _looped(pictures: Sequence[Rgb], frames: int) -> Source:
    """Return a source that shows the same pictures over and over, `frames` in all."""
    from fractions import Fraction

    from vivace.media.frame import Frame
    from vivace.media.source import Source, SourceInfo

    class Looped(Source):
        def _read(self) -> Generator[Frame, None, None]:
            for index in range(frames):
                yield Frame(pictures[index % len(pictures)], index, index, Fraction(1, 30), time.monotonic())

    height, width = pictures[0].shape[:2]
    return Looped(SourceInfo(name="loop", size=(width, height), fps=30.0, frames=frames))


def to_job(text: str) -> Job:
    """Return the job written by `json.dumps(asdict(job))`."""
    fields = json.loads(text)
    return Job(**{**fields, "size": tuple(fields["size"])})


def to_speed(fields: dict[str, Any]) -> Speed:
    """Return the result that came as a JSON event."""
    long_run = fields["long_run"]
    return Speed(
        **{
            **fields,
            "size": tuple(fields["size"]),
            "frame_ms": Spread(**fields["frame_ms"]),
            "model_ms": Spread(**fields["model_ms"]),
            "long_run": None if long_run is None else LongRun(**long_run),
        }
    )


def main(argv: Sequence[str]) -> int:
    """Do one job and print its events."""

    def tell(**event: object) -> None:
        print(json.dumps(event), flush=True)

    try:
        speed = measure(to_job(argv[0]), lambda done, total: tell(progress=[done, total]))
    except VivaceError as error:
        tell(error=str(error), kind=type(error).__name__)
        return error.exit_code
    tell(result=asdict(speed))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
