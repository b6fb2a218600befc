"""Live sessions over WebRTC, measured in a client's process; started by `benchmark`."""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager, suppress
from dataclasses import dataclass, field, replace
from statistics import fmean
from typing import TYPE_CHECKING

from vivace.bench.inputs.loops import there_and_back
from vivace.bench.job import Found, Job, Report
from vivace.bench.latency.take import Script, Shown, Take, after_warmup, figures, prompt_times_ms, script_of, series
from vivace.bench.latency.webrtc_code import Code, unwrap
from vivace.bench.process import ending, environment_of, last_words, program
from vivace.bench.stats.values import Value, spread
from vivace.errors import DeviceError, UnknownPromptError, UsageError
from vivace.messages import Controls, Stats
from vivace.stream.account import STAGES

if TYPE_CHECKING:
    from vivace.client import Client, ClientSession
    from vivace.client.rtc import RtcSession

START_S = 60.0
STOP_S = 15.0
SETTLE_S = 1.0
"""Wait after the last picture was sent for those in flight, s."""
OPENERS = {"vivace.bench.systems.system:open_model": True, "vivace.bench.systems.system:open_passthrough": False}
"""Openers of systems that can be served, with true if they paint."""
SERVED = {"model", "threads"}
"""Arguments of a system that are passed on to a server."""


@dataclass(slots=True)
class Notebook:
    """Observations of one client."""

    shown: list[Shown] = field(default_factory=list)
    stamps: list[int] = field(default_factory=list)
    """RTP timestamps of the pictures shown."""
    controls: dict[int, int] = field(default_factory=dict)
    """Control index by RTP timestamp."""
    switches: list[tuple[float, int]] = field(default_factory=list)
    efforts: list[float] = field(default_factory=list)
    """Latest effort reported by the server as each picture was shown."""
    misread: int = 0
    published: int = 0


def live(job: Job, report: Report) -> Found:
    """Return the figures of the first of several live sessions on a server.

    `job.settings`: those of `vivace.bench.latency.run.live`, `sessions` and `step_ms`.

    Raises:
        UsageError: a system that cannot be served.
        VivaceError: the server or a client failed.
    """
    settings, spec = job.settings, job.system
    if spec.opener not in OPENERS:
        raise UsageError(f"{spec.name} cannot be served; over WebRTC only Vivace's own models are measured")
    if lost := sorted(spec.arguments.keys() - SERVED):
        raise UsageError(f"over WebRTC a model is measured as it is served by itself; leave out {' and '.join(lost)}")
    model = spec.arguments["model"]
    script = script_of(settings)
    if not OPENERS[spec.opener]:
        script = replace(script, request=replace(script.request, prompt=""), prompts=())
    sessions, step_ms = settings.get("sessions", 1), settings.get("step_ms")
    with serving(model, sessions, step_ms, spec.arguments.get("threads"), spec.code) as url:
        take, misread = asyncio.run(_play(url, model, script, sessions, report))
    case = settings["case"]
    found = Found(f"{spec.name}: {model} behind vivace serve, over WebRTC on loopback")
    found.values = [*figures(case, take), *_own_figures(case, take, misread)]
    found.series = series(case, take)
    if not take.switches:
        found.not_run["prompt_to_pixel_ms"] = f"{spec.name} takes no prompt while it runs"
    return found


def _own_figures(case: str, take: Take, misread_share: float) -> list[Value]:
    waits_ms = prompt_times_ms(take)
    return [
        Value("capture_to_present_ms_max", case, max((one.age_ms for one in after_warmup(take)), default=None)),
        *([Value("prompt_to_pixel_ms_p95", case, spread(waits_ms).p95)] if len(waits_ms) > 1 else []),
        Value("misread_share", case, misread_share),
    ]


@contextmanager
def serving(
    model: str, sessions: int, step_ms: float | None, threads: int | None = None, code: str | None = None
) -> Iterator[str]:
    """Run a server on a free port of this machine, with the package in the folder `code`; yield its URL.

    A server without slowdown is started by that package's own command line.

    Raises:
        DeviceError: it did not start.
    """
    if step_ms is None:
        command = ["-m", "vivace", "serve", "--port", "0", "--model", model, "--slots", str(sessions)]
    else:
        command = [*program("vivace.bench.latency.webrtc_server", code), model, f"{step_ms:g}", str(sessions)]
    ours = environment_of(code)
    environment = {name: value for name, value in ours.items() if not name.startswith("VIVACE_SERVE_")}
    environment["PYTHONUNBUFFERED"] = "1"
    if threads is not None:
        environment["VIVACE_SERVE_THREADS"] = str(threads)
    said = tempfile.TemporaryFile()  # noqa: SIM115  (closed with the process)
    process = subprocess.Popen(
        [sys.executable, *command], env=environment, stdout=subprocess.PIPE, stderr=said, text=True
    )
    try:
        assert process.stdout is not None
        for line in process.stdout:
            if (found := re.search(r"https?://\S+", line)) is not None:
                yield found.group()
                return
        raise DeviceError(f"the server {ending(process.wait())} before it listened{last_words(said)}")
    finally:
        process.terminate()
        try:
            process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        assert process.stdout is not None
        process.stdout.close()
        said.close()


async def _play(url: str, model: str, script: Script, sessions: int, report: Report) -> tuple[Take, float]:
    """Return the take and misread share of the first of several simultaneous clients."""
    from vivace.client import connect

    async with AsyncExitStack() as stack:
        client = await stack.enter_async_context(connect(url, timeout_s=START_S))
        actors = [Actor(client, model, script, report if not place else _silent) for place in range(sessions)]
        for actor in actors:
            await actor.enter(stack)
        takes = await asyncio.gather(*(actor.play() for actor in actors))
    first = actors[0].notes
    return takes[0], first.misread / max(1, first.misread + len(first.shown))


def _silent(done: int, total: int) -> None:
    """Report nothing: one client's progress is enough."""


class Actor:
    """One client: camera, viewer and keyboard."""

    def __init__(self, client: Client, model: str, script: Script, report: Report) -> None:
        self.notes = Notebook()
        self._client = client
        self._model = model
        self._script = script
        self._report = report
        self._code = Code(script.request.size)
        self._asked_s = time.monotonic()
        self._start_s = 0.0
        self._session: ClientSession
        self._media: RtcSession

    async def enter(self, stack: AsyncExitStack) -> None:
        """Open the session and connect, until the stack is closed."""
        script = self._script
        controls = Controls(
            prompt=script.request.prompt,
            seed=script.request.seed,
            crossfade_s=0.0,
            size=script.request.size,
            mask=self._code.mask_url(),
        )
        self._asked_s = time.monotonic()
        session = await self._client.open(model=self._model, controls=controls)
        self._session = await stack.enter_async_context(session)
        for notice in session.notices:  # otherwise the unpainted source would be measured
            raise UnknownPromptError(notice.message, control=notice.control, matches=tuple(notice.matches))
        await self._session.wait_live(START_S)
        media = self._session.media(fps=script.request.fps, notes=True)
        self._media = await stack.enter_async_context(media)

    async def play(self) -> Take:
        """Return the take of the script, played by this client."""
        script, notes = self._script, self.notes
        self._start_s = time.monotonic() + 0.1
        eye = asyncio.create_task(self._look())
        hands = asyncio.create_task(self._type())
        try:
            await self._film()
            await asyncio.sleep(SETTLE_S)
        finally:
            hands.cancel()
            eye.cancel()
            await asyncio.gather(hands, eye, return_exceptions=True)
        for task in (hands, eye):
            if not task.cancelled() and (error := task.exception()) is not None:
                raise error
        stats = self._session.stats
        control_indices = _control_indices(notes)
        shown = [
            Shown(one.index, one.captured_s, one.shown_s, index)
            for one, index in zip(notes.shown, control_indices, strict=True)
        ]
        return Take(
            fps=script.request.fps,
            frames=script.frames,
            asked_s=self._asked_s,
            start_s=self._start_s,
            shown=shown,
            switches=notes.switches,
            drops={} if stats is None else _drops(stats, self._media.unread),
            effort=fmean(notes.efforts) if notes.efforts else None,
            stages_ms={} if stats is None else _stages(stats),
        )

    async def _film(self) -> None:
        """Send every picture when it is due; one whose period is over is lost."""
        script = self._script
        every = max(1, script.frames // 50)
        for index in range(script.frames):
            due_s = self._start_s + index / script.request.fps
            wait_s = due_s - time.monotonic()
            if wait_s < -1 / script.request.fps:
                continue
            await asyncio.sleep(max(0.0, wait_s))
            picture = script.pictures[there_and_back(index, len(script.pictures))]
            self._media.publish(self._code.draw(picture, index))
            self.notes.published += 1
            if index % every == 0:
                self._report(index, script.frames)
        self._report(script.frames, script.frames)

    async def _look(self) -> None:
        notes, near = self.notes, 0
        async for picture in self._media.pictures():
            shown_s = time.monotonic()
            value = self._code.read(picture.rgb)
            if value is None:
                notes.misread += 1
                continue
            near = unwrap(value, near)
            notes.shown.append(Shown(near, self._start_s + near / self._script.request.fps, shown_s))
            notes.stamps.append(picture.rtp_timestamp)
            if (stats := self._session.stats) is not None and stats.effort is not None:
                notes.efforts.append(stats.effort)
            # A note may arrive after its picture.
            for stamp in notes.stamps[-8:]:
                note = self._media.note(stamp)
                if note is not None:
                    notes.controls[stamp] = note.control_index

    async def _type(self) -> None:
        for prompt in self._script.prompts:
            await asyncio.sleep(self._script.prompt_every_s)
            sent_s = time.monotonic()
            with suppress(UnknownPromptError):  # the change does not count, and the prompt before stays
                ack = await self._session.update(prompt=prompt)
                self.notes.switches.append((sent_s, ack.update_index))


def _control_indices(notes: Notebook) -> list[int]:
    """Return the control index of every picture shown; one without a note has that of the picture before."""
    indices, last = [], 0
    for stamp in notes.stamps:
        last = notes.controls.get(stamp, last)
        indices.append(last)
    return indices


def _drops(stats: Stats, unread: int) -> dict[str, int]:
    """Return the losses by the reasons that other paths have."""
    late = sum(count for reason, count in stats.drops.items() if reason not in ("unread", "recording"))
    return {"late": late, "unread": stats.drops.get("unread", 0) + unread}


def _stages(stats: Stats) -> dict[str, dict[str, float | None]]:
    """Return the stages that streams without a server have as well; servers of other versions may have others."""
    return {stage: {"p50": times.p50, "p95": times.p95} for stage, times in stats.stages_ms.items() if stage in STAGES}
