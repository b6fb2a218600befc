"""Fault run: exposes servers to the world's faults and checks their state: `python tests/fault_run.py --minutes 10`.

A real `vivace serve` on a free port of this machine meets killed clients, garbage, floods, malformed media, slow and
oversized requests, bad tokens and bad networks, round after round. After each fault the server is ready, holds no
session, and paints for a well-behaved client. After the rounds it holds no more memory, threads, tasks or files than
after the first ones, and every ended session had a reason. Finally it is told to end while it records, and another one
is killed. Faults that must be planted inside (a failing model, a full disk) are planted in servers of this process.

In continuous integration `tests/serve/faults` runs the short form.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import inspect
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from serve.faults import doors, endings, media, offers, planted, sockets
from serve.faults.process import Held, Served, wait_for
from serve.faults.rough import LONG, SHORT, Amount
from serve.faults.visitor import visit

Fault = Callable[[Served, Amount], Awaitable[None]]

FAULTS: tuple[Fault, ...] = (
    offers.garbage_offers,
    offers.hostile_candidates,
    offers.changed_offers,
    doors.large_bodies,
    doors.traversals,
    doors.bad_tokens,
    doors.strange_requests,
    sockets.nonsense,
    sockets.floods,
    sockets.deaf,
    sockets.cut,
    media.random_media,
    media.decoder_bombs,
    media.large_channel_messages,
    media.endless_message,
    media.many_sources,
    media.lossy_line,
    media.cycles,
)
WAITS: tuple[Fault, ...] = (doors.slow_requests, media.killed_publishers)
"""Faults that mostly wait until the server notices them; run beside the others."""

MOST_GROWTH = 0.05
SETTLE_S = 30.0
"""Time for connections that never stood to be given up, s."""
POOLS = {"asyncio_": 32, "AnyIO worker": 40, "vivace-open": 2}
"""Largest number of threads that wait for work, by name."""


@dataclass
class Report:
    """Findings of a run."""

    began_s: float = field(default_factory=time.monotonic)
    times_s: dict[str, list[float]] = field(default_factory=dict)
    held: list[Held] = field(default_factory=list)

    def say(self, text: str) -> None:
        print(f"{time.monotonic() - self.began_s:7.1f} s  {text}", flush=True)

    async def timed(self, name: str, act: Awaitable[None]) -> None:
        began_s = time.monotonic()
        try:
            await act
        except BaseException as error:
            error.add_note(f"while the server met: {name}")
            raise
        self.times_s.setdefault(name, []).append(time.monotonic() - began_s)
        self.say(f"{name} ({time.monotonic() - began_s:.1f} s)")


async def one_round(server: Served, amount: Amount, report: Report) -> None:
    """Meet every fault; after each, the server is ready and paints for a well-behaved client."""
    first = not report.held

    async def others() -> None:
        for fault in FAULTS:
            await report.timed(fault.__name__, fault(server, amount))
            await asyncio.to_thread(wait_for, server.ready, "the server to be ready", server.log)
            if first or amount is not SHORT:
                await visit(server)
        await visit(server)

    async with asyncio.TaskGroup() as tasks:
        if first or amount is not SHORT:
            for fault in WAITS:
                tasks.create_task(report.timed(fault.__name__, fault(server, amount)))
        tasks.create_task(others())


def settled(server: Served, report: Report) -> Held:
    """Wait until all sessions and connections have ended, and return the resources that the server then holds."""
    nothing = {"vivace_sessions", "vivace_slots_used", "vivace_queue_length", "vivace_viewers", "vivace_recordings"}

    def quiet() -> bool:
        left = {name: value for name, value in server.metrics().items() if name.partition("{")[0] in nothing and value}
        tasks = server.hold().tasks
        unnamed = sum(name.startswith("Task-") for name in tasks)  # two are uvicorn's; a request ends by itself
        return not left and unnamed <= 2 and not any(name.startswith("vivace-rtc") for name in tasks)

    wait_for(quiet, "sessions and connections to end", lambda: f"{server.log()}\n{server.hold()}", SETTLE_S)
    held = server.hold()
    report.held.append(held)
    report.say(
        f"round {len(report.held)}: {held.rss_mib:.1f} MiB, {len(held.threads)} threads, {len(held.tasks)} tasks, "
        f"{held.files} files"
    )
    return held


def check_held(amount: Amount, report: Report) -> None:
    """Check that later rounds left no more behind than the first ones."""
    warm, last = report.held[amount.warm_rounds - 1], report.held[-1]
    growth = last.rss_mib / warm.rss_mib - 1
    report.say(f"memory {warm.rss_mib:.1f} -> {last.rss_mib:.1f} MiB ({growth:+.1%}) in {len(report.held)} rounds")
    assert growth <= MOST_GROWTH, f"memory has grown by {growth:.1%}: {[held.rss_mib for held in report.held]}"
    for pool, most in POOLS.items():
        assert sum(name.startswith(pool) for name in last.threads) <= most, last.threads
    assert _own_threads(last) <= _own_threads(warm), (warm.threads, last.threads)
    assert len(last.tasks) <= len(warm.tasks), (warm.tasks, last.tasks)
    assert last.files <= warm.files, (warm.files, last.files)


def _own_threads(held: Held) -> int:
    return sum(not name.startswith(tuple(POOLS)) for name in held.threads)


def check_ends(server: Served, report: Report) -> None:
    """Check that every opened session has ended, with a reason, and none by an internal error."""
    now = server.metrics()
    ends = {name: value for name, value in now.items() if name.startswith("vivace_sessions_ended_total")}
    assert sum(ends.values()) == now["vivace_sessions_opened_total"], now
    assert all('reason=""' not in name for name in ends), ends
    reasons = {name.split('"')[1]: int(value) for name, value in sorted(ends.items())}
    report.say(f"sessions ended: {reasons}")
    log = server.log()
    assert "Traceback" not in log, log[log.index("Traceback") - 2_000 :][:6_000]


def run_real(folder: Path, amount: Amount, report: Report, *, minutes: float = 0.0) -> None:
    """Expose one real server to everything, for some rounds, then end it; kill another one."""
    until_s = time.monotonic() + 60 * minutes
    with Served(folder) as server:
        report.say("the server is ready")
        while len(report.held) < amount.rounds or time.monotonic() < until_s:
            asyncio.run(one_round(server, amount, report))
            settled(server, report)
        check_held(amount, report)
        check_ends(server, report)
        with ThreadPoolExecutor(1) as starting:  # the other one starts meanwhile
            other = starting.submit(Served(folder, "other").__enter__)
            asyncio.run(report.timed("told_to_end", endings.told_to_end(server)))
    with contextlib.closing(other.result()) as server:
        asyncio.run(report.timed("killed", endings.killed(server)))


def run_planted(folder: Path, report: Report) -> None:
    """Let servers of this process fail inside."""
    for fault in (planted.step_raises, planted.step_has_a_bug, planted.step_out_of_memory, planted.full_disk):
        act = fault(folder) if "folder" in inspect.signature(fault).parameters else fault()
        asyncio.run(report.timed(fault.__name__, act))


def main() -> None:
    """Run for the requested time."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--minutes", type=float, default=10.0, help="how long the rounds go on, four at least")
    options.add_argument("--short", action="store_true", help="as little of everything as in continuous integration")
    flags = options.parse_args()
    report = Report()
    with tempfile.TemporaryDirectory(prefix="vivace-faults-") as folder:
        run_planted(Path(folder), report)
        run_real(Path(folder), SHORT if flags.short else LONG, report, minutes=flags.minutes)
    report.say("the server has survived all of it")


if __name__ == "__main__":
    main()
