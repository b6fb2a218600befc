"""Live sessions as a viewer has them, measured inside a fresh process; `benchmark` starts it."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from threading import Event, Thread
from typing import Protocol

from vivace.bench.inputs.loops import Camera, render_loop
from vivace.bench.job import Found, Job, Report
from vivace.bench.latency.take import Shown, Take, figures, series
from vivace.bench.systems.engine import Engine, Opening, Runner
from vivace.errors import UsageError
from vivace.media.frame import Rgb

PATHS = ("in-process", "webrtc")

Clock = Callable[[], float]
Wait = Callable[[float], object]


@dataclass(frozen=True, slots=True)
class Script:
    """What happens in front of the camera and at the keyboard."""

    opening: Opening
    """The camera runs at its fps."""
    pictures: Sequence[Rgb]
    frames: int
    prompts: tuple[str, ...] = ()
    """Typed one after the other."""
    prompt_every_s: float = 2.0


class Path(Protocol):
    """A way from the camera to the viewer's eye."""

    def play(self, engine: Engine, script: Script, watch: Callable[[int], None]) -> Take:
        """Play a script and note what was shown when; `watch` is called with the index of every picture shown."""


class InProcess:
    """Camera, session and viewer in one process: nothing lies between them but Vivace.

    The viewer looks at a picture as soon as the session gives it; the screen's own delay is not in the figures.
    """

    def __init__(self, *, clock: Clock = time.monotonic, wait: Wait | None = None) -> None:
        """`wait` lets the camera wait so many seconds."""
        self._clock = clock
        self._wait = wait

    def play(self, engine: Engine, script: Script, watch: Callable[[int], None]) -> Take:
        """Play a script live.

        Raises:
            VivaceError: the session cannot be opened, or fails for good.
        """
        opening = script.opening
        asked_s = self._clock()
        runner = engine.open(opening, self._clock)
        camera = Camera(script.pictures, opening.fps, script.frames, clock=self._clock, wait=self._wait)
        shown: list[Shown] = []
        typist = Typist(runner, script, self._clock)
        with closing(runner), typist:
            with closing(runner.run(camera, live=True)) as frames:
                for frame in frames:
                    shown.append(Shown(frame.index, frame.capture_time_s, self._clock(), frame.control_index))
                    watch(frame.index)
            stats = runner.stats()
        if stats is None:
            drops = {"source": camera.lost, "late": max(0, script.frames - camera.lost - len(shown))}
        else:
            drops = dict(stats.drops)
        return Take(
            fps=opening.fps,
            frames=script.frames,
            asked_s=asked_s,
            start_s=asked_s if camera.start_s is None else camera.start_s,
            shown=shown,
            switches=typist.sent,
            drops=drops,
            effort=getattr(stats, "work_share", None),  # checkouts from before it counted something else
            stages_ms={} if stats is None else stats.stages_ms,
        )


class Typist:
    """Somebody who sends a prompt every now and then, in a thread of their own. A context manager."""

    def __init__(self, runner: Runner, script: Script, clock: Clock) -> None:
        self.sent: list[tuple[float, int]] = []
        """When each change that was accepted was sent, and its number."""
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
        except BaseException as error:  # noqa: BLE001  (raised where the take is made)
            self._error = error

    def __enter__(self) -> Typist:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        self._left.set()
        self._thread.join()
        if self._error is not None and error is None:
            raise self._error


def open_path(name: str) -> Path:
    """Return a path by name.

    Raises:
        UsageError: there is none of that name.
    """
    if name != PATHS[0]:
        raise UsageError(f"path {name!r} is not one of this process; give {PATHS[0]}")
    return InProcess()


def live(job: Job, report: Report) -> Found:
    """Play one live session and return its figures.

    `job.settings`: `case`, `path`, `size`, `fps`, `frames`, `prompt`, `prompts`, `prompt_every_s`, `seed`.
    """
    settings = job.settings
    width, height = settings["size"]
    opening = Opening((width, height), settings["fps"], settings["prompt"], settings["seed"])
    frames: int = settings["frames"]
    engine = job.engine.open()
    found = Found(engine.about)
    pictures = render_loop(opening.size, seed=opening.seed)
    script = Script(opening, pictures, frames, tuple(settings["prompts"]), settings["prompt_every_s"])
    every = max(1, frames // 50)

    def watch(index: int) -> None:
        if index % every == 0:
            report(index, frames)

    take = open_path(settings["path"]).play(engine, script, watch)
    found.values = figures(settings["case"], take)
    found.series = series(settings["case"], take)
    if not take.switches:
        found.not_run["prompt_to_pixel_ms"] = f"{job.engine.name} takes no prompt while it runs"
    if not take.stages_ms:
        found.not_run["live stages"] = f"{job.engine.name} does not say what its stages take"
    report(frames, frames)
    return found
