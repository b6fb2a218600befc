"""Display of a running stream: one live line, and at the end one sentence."""

from __future__ import annotations

import time
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from vivace.cli.keys import PromptLine

if TYPE_CHECKING:
    from vivace.stream import Stats

REFRESH_S = 0.25
"""Four times a second reads as alive and costs less than a thousandth of the time."""
SHOWN_PROMPT_CHARS = 48


class LiveLine:
    """The line under a running stream. On something that is not a terminal it shows nothing."""

    def __init__(self, keys: PromptLine, console: Console, clock: Callable[[], float] = time.monotonic) -> None:
        self._keys = keys
        self._console = console
        self._clock = clock
        self._live = Live(console=console, auto_refresh=False, transient=True)
        self._due_s = 0.0

    def __enter__(self) -> LiveLine:
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()

    def notice(self, text: str) -> None:
        """Print a sentence above the line, where it stays: it may have something to explain."""
        self._console.print(text, style="yellow", highlight=False, markup=False)

    def update(self, stats: Callable[[], Stats]) -> None:
        """Redraw if it is time to; `stats` is only called then."""
        now_s = self._clock()
        if now_s < self._due_s or not self._console.is_terminal:
            return
        self._due_s = now_s + REFRESH_S
        lines = [status_line(stats())]
        if self._keys.active:
            hint = Text("type and press Enter", style="dim")
            lines.append(Text.assemble(("new prompt: ", "dim"), self._keys.text or hint))
        self._live.update(Group(*lines), refresh=True)


def status_line(stats: Stats) -> Text:
    """Return rate, latency, drops, effort and prompt in one line."""
    parts = [
        _frames(stats.frames_out),
        f"{_number(stats.recent_fps)} fps",
        f"p95 {_number(stats.latency_ms.get('p95'))} ms",
        *([] if stats.latency_floor_ms is None else [f"floor {stats.latency_floor_ms:.0f} ms"]),
        f"{stats.dropped} dropped",
    ]
    if stats.effort is not None:
        parts.append(f"effort {stats.effort:.0%}")
    if stats.region_cache is not None:
        parts.append(f"kept {stats.region_cache.kept_share:.0%}")
    parts.append(shorten(stats.prompt) if stats.prompt else "no prompt")
    return Text(" · ".join(parts), no_wrap=True, overflow="ellipsis")


def summary(stats: Stats, frames_written: int, where: str, elapsed_s: float) -> str:
    """Return what a run did, in one sentence."""
    p50, p95 = (_number(stats.latency_ms.get(name)) for name in ("p50", "p95"))
    return (
        f"{_frames(frames_written)} to {where} in {elapsed_s:.1f} s with its start: {_number(stats.fps)} fps "
        f"while painting, latency p50 {p50} ms, p95 {p95} ms, {stats.dropped} dropped "
        f"({stats.runtime.runtime} {stats.runtime.precision})"
    )


def stills_summary(stats: Stats, pictures_written: int, where: str, elapsed_s: float) -> str:
    """Return what painting photographs did, in one sentence."""
    pictures = "1 picture" if pictures_written == 1 else f"{pictures_written} pictures"
    return f"{pictures} to {where} in {elapsed_s:.1f} s ({stats.runtime.runtime} {stats.runtime.precision})"


def not_found(stats: Stats) -> str:
    """Return which places of the prompts were not found and how often, in one sentence; empty where all were."""
    said = ", ".join(
        name if count == stats.frames_out else f"{name} in {count} of {_frames(stats.frames_out)}"
        for name, count in sorted(stats.absent.items())
    )
    return said and f"not found in the picture: {said}"


def shorten(prompt: str) -> str:
    """Return a prompt that fits a line, in quotes."""
    text = " ".join(prompt.split())
    return f'"{text}"' if len(text) <= SHOWN_PROMPT_CHARS else f'"{text[: SHOWN_PROMPT_CHARS - 1]}…"'


def _frames(count: int) -> str:
    return "1 frame" if count == 1 else f"{count} frames"


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.1f}"
