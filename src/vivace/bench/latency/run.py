"""Live sessions as seen by a viewer, measured inside a fresh process; started by `benchmark`."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import closing
from threading import Event, Thread

from vivace.bench.inputs.loops import Camera
from vivace.bench.job import Found, Job, Report
from vivace.bench.latency.take import Script, Shown, Take, figures, script_of, series
from vivace.bench.systems.system import Clock, LiveSystem, Runner

Wait = Callable[[float], object]


def play(
    system: LiveSystem,
    script: Script,
    watch: Callable[[int], None],
    *,
    clock: Clock = time.monotonic,
    wait: Wait | None = None,
) -> Take:
    """Return the take of a script played live; `watch` is called with the index of every picture shown.

    Camera, session and viewer are in one process, with only Vivace between them. The viewer sees a picture as soon as
    the session outputs it; the screen's own delay is not included. `wait` makes the camera wait for a number of
    seconds.

    Raises:
        VivaceError: the session cannot be opened, or fails for good.
    """
    request = script.request
    asked_s = clock()
    runner = system.open(request, clock)
    camera = Camera(script.pictures, request.fps, script.frames, clock=clock, wait=wait)
    shown: list[Shown] = []
    typist = Typist(runner, script, clock)
    with closing(runner), typist:
        with closing(runner.run(camera, live=True)) as frames:
            for frame in frames:
                shown.append(Shown(frame.index, frame.capture_time_s, clock(), frame.control_index))
                watch(frame.index)
        stats = runner.stats()
    if stats is None:
        drops = {"source": camera.lost, "late": max(0, script.frames - camera.lost - len(shown))}
    else:
        drops = dict(stats.drops)
    return Take(
        fps=request.fps,
        frames=script.frames,
        asked_s=asked_s,
        start_s=asked_s if camera.start_s is None else camera.start_s,
        shown=shown,
        switches=typist.sent,
        drops=drops,
        effort=effort_of(stats),
        stages_ms={} if stats is None else stats.stages_ms,
    )


def effort_of(stats: object) -> float | None:
    """Return a session's mean share of the full work; None if it does not report it.

    Sessions of older checkouts do not report the work done; there it is the work requested.
    """
    asked: float | None = getattr(stats, "kept_token_ratio", None)
    done: float | None = getattr(stats, "work_share", asked)
    return done


class Typist:
    """Thread that sends prompts at intervals. A context manager."""

    def __init__(self, runner: Runner, script: Script, clock: Clock) -> None:
        self.sent: list[tuple[float, int]] = []
        """Time (s) and number of each accepted change."""
        self._runner = runner
        self._script = script
        self._clock = clock
        self._left = Event()
        self._error: BaseException | None = None
        self._thread = Thread(target=self._type, name="vivace-bench-typist", daemon=True)

    def _type(self) -> None:
        try:
            for prompt in self._script.prompts:
                if self._left.wait(self._script.prompt_every_s):
                    return
                sent_s = self._clock()
                number = self._runner.change_prompt(prompt)
                if number is not None:
                    self.sent.append((sent_s, number))
        except BaseException as error:  # noqa: BLE001  (raised in the thread of the take)
            self._error = error

    def __enter__(self) -> Typist:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        self._left.set()
        self._thread.join()
        if self._error is not None and error is None:
            raise self._error


def live(job: Job, report: Report) -> Found:
    """Return the figures of one live session.

    `job.settings`: `case`, `size`, `fps`, `frames`, `prompt`, `prompts`, `prompt_every_s`, `seed`.
    """
    settings = job.settings
    frames: int = settings["frames"]
    system = job.system.load()
    found = Found(system.about)
    script = script_of(settings)
    every = max(1, frames // 50)

    def watch(index: int) -> None:
        if index % every == 0:
            report(index, frames)

    take = play(system, script, watch)
    found.values = figures(settings["case"], take)
    found.series = series(settings["case"], take)
    if not take.switches:
        found.not_run["prompt_to_pixel_ms"] = f"{job.system.name} takes no prompt while it runs"
    if not take.stages_ms:
        found.not_run["live stages"] = f"{job.system.name} does not say what its stages take"
    report(frames, frames)
    return found
