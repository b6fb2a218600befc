"""How one session does, as its client is told twice a second, and what limits its quality now."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from threading import Lock
from typing import Literal

import numpy as np

from vivace import messages
from vivace.serve.fanout import OutFrame

STAGES = ("receive", "wait", "prepare", "denoise", "refine", "encode", "server")
WINDOW_S = 3.0
KEPT = 512
"""Times of each kind that are kept: 3 s at 120 frames a second, and some."""

SMOOTH_FPS = 24.0
"""Below it motion is seen to jerk."""
LOSS_SEEN = 0.02
RTT_SEEN_MS = 150.0
LATE_SEEN = 0.1
"""Shares and times from which a person notices."""

Limit = Literal["none", "network", "device", "camera"]
StageSink = Callable[[str, float], None]


@dataclass(frozen=True, slots=True)
class NetworkReport:
    """What a transport knows about the way to the client; None where it does not."""

    rtt_ms: float | None = None
    loss: float | None = None
    """Share of packets, 0 to 1."""
    bitrate_kbps: float | None = None
    """Sent."""
    available_kbps: float | None = None
    """What the receiver says it could take."""


class _Window:
    """Times of the last seconds. Not thread-safe."""

    def __init__(self) -> None:
        self._items: deque[tuple[float, float]] = deque(maxlen=KEPT)

    def add(self, now_s: float, value: float) -> None:
        self._items.append((now_s, value))

    def since(self, from_s: float) -> list[float]:
        while self._items and self._items[0][0] < from_s:
            self._items.popleft()
        return [value for _, value in self._items]

    def rate(self, now_s: float) -> float | None:
        """Events a second over the window; None before there are two."""
        self.since(now_s - WINDOW_S)
        if len(self._items) < 2:
            return None
        # Counted up to the last event or a silence that is longer than usual, so that a stop shows at once.
        usual_s = (self._items[-1][0] - self._items[0][0]) / (len(self._items) - 1)
        silence_s = now_s - self._items[-1][0]
        span_s = (len(self._items) - 1) * usual_s + max(0.0, silence_s - 2 * usual_s)
        return (len(self._items) - 1) / span_s if span_s > 0 else None


class Vitals:
    """Collects what happened to the frames of one session. Thread-safe, constant memory."""

    def __init__(self, clock: Callable[[], float], on_stage: StageSink | None = None) -> None:
        """Begin; `on_stage` also gets every stage's time, ms (the server's own histograms)."""
        self._clock = clock
        self._on_stage = on_stage
        self._lock = Lock()
        self._began_s = clock()
        self._in, self._out, self._late, self._shown = _Window(), _Window(), _Window(), _Window()
        self._stages = {stage: _Window() for stage in STAGES}
        self._reports_sent = False
        self.drops: Counter[str] = Counter()
        """By reason, since the beginning."""
        self.network = NetworkReport()
        self.frame_index = -1
        self.age_ms: float | None = None
        self.newest_out_s: float | None = None
        self.prompt_to_pixel_ms: float | None = None

    def arrived(self, now_s: float) -> None:
        """A frame was pushed."""
        with self._lock:
            self._in.add(now_s, 0.0)

    def dropped(self, reason: str, frames: int = 1) -> None:
        """Frames were let go of."""
        with self._lock:
            self.drops[reason] += frames
            if reason == "late":
                self._late.add(self._clock(), 0.0)

    def left(self, frame: OutFrame, now_s: float) -> None:
        """The engine has made a frame and given it to the subscribers."""
        before_s = frame.capture_time_s
        with self._lock:
            self.frame_index = frame.index
            self.newest_out_s = now_s
            self.age_ms = (now_s - frame.capture_time_s) * 1e3
            self._out.add(now_s, 0.0)
            for stage in ("receive", "wait", "prepare", "denoise", "refine"):
                after_s = frame.marks.get(stage)
                if after_s is not None:
                    self._stage(stage, now_s, after_s - before_s)
                    before_s = after_s
            if not self._reports_sent:
                self._stage("server", now_s, now_s - frame.capture_time_s)

    def sent(self, frame: OutFrame, sent_s: float) -> None:
        """A transport has encoded a frame and sent it; from the first time on, `server` ends here."""
        ready_s = max(frame.marks.values(), default=frame.capture_time_s)
        with self._lock:
            self._reports_sent = True
            self._stage("encode", sent_s, sent_s - ready_s)
            self._stage("server", sent_s, sent_s - frame.capture_time_s)

    def presented(self, shown: Sequence[tuple[int, float]]) -> None:
        """A client has measured glass-to-glass times, `(frame index, ms)`."""
        now_s = self._clock()
        with self._lock:
            for _, time_ms in shown:
                if 0 <= time_ms < 3_600_000:  # what a client says is not to be trusted, NaN included
                    self._shown.add(now_s, time_ms)

    def _stage(self, stage: str, now_s: float, took_s: float) -> None:
        took_ms = max(0.0, took_s * 1e3)
        self._stages[stage].add(now_s, took_ms)
        if self._on_stage is not None:
            self._on_stage(stage, took_ms)

    def stats(self, *, effort: float | None, recording: str | None) -> messages.Stats:
        """Return the last seconds as a message."""
        now_s = self._clock()
        with self._lock:
            fps_in, fps_out = self._in.rate(now_s), self._out.rate(now_s)
            arrived, late = (len(each.since(now_s - WINDOW_S)) for each in (self._in, self._late))
            stages = {stage: _stage_of(times.since(now_s - WINDOW_S)) for stage, times in self._stages.items()}
            shown = self._shown.since(now_s - WINDOW_S)
            network = self.network
            limit, text = limiting(fps_in, fps_out, late / arrived if arrived else 0.0, effort, network)
            return messages.Stats(
                time_s=now_s - self._began_s,
                frame_index=max(0, self.frame_index),
                fps_in=fps_in,
                fps_out=fps_out,
                age_ms=self.age_ms,
                stages_ms=stages,
                glass_to_glass_ms=_stage_of(shown) if shown else None,
                drops=dict(self.drops),
                effort=effort,
                prompt_to_pixel_ms=self.prompt_to_pixel_ms,
                bitrate_kbps=network.bitrate_kbps,
                loss=network.loss,
                rtt_ms=network.rtt_ms,
                limit=limit,
                limit_text=text,
                recording=recording,
            )


def _stage_of(times_ms: Sequence[float]) -> messages.Stage:
    if not times_ms:
        return messages.Stage(p50=None, p95=None)
    p50, p95 = np.percentile(times_ms, (50, 95))
    return messages.Stage(p50=round(float(p50), 2), p95=round(float(p95), 2))


def limiting(
    fps_in: float | None, fps_out: float | None, late_share: float, effort: float | None, network: NetworkReport
) -> tuple[Limit, str]:
    """Return what limits quality now and the sentence that says so, from measured numbers.

    Each cause is measured against what a person notices (1.0); the one that is furthest beyond it is named.
    """
    if fps_in is None:
        return "camera", "No pictures are coming in; check that the camera is on and not muted."
    loss, rtt_ms = network.loss or 0.0, network.rtt_ms or 0.0
    spent = 1.0 if effort is None else effort
    causes: list[tuple[float, Limit, str]] = [
        (loss / LOSS_SEEN, "network", f"The network loses {loss:.0%} of the packets on the way to you."),
        (rtt_ms / RTT_SEEN_MS, "network", f"The network takes {rtt_ms:.0f} ms there and back."),
        (
            late_share / LATE_SEEN,
            "device",
            f"The server's device is busy: it paints {fps_out or 0:.0f} of {fps_in:.0f} pictures a second.",
        ),
        (
            1.0 + (1.0 - spent) if spent < 1 else 0.0,
            "device",
            f"The server's device keeps up by painting with {spent:.0%} of the full work.",
        ),
        (SMOOTH_FPS / fps_in if fps_in < SMOOTH_FPS * 0.95 else 0.0, "camera", _camera(fps_in)),
    ]
    if network.available_kbps is not None and network.bitrate_kbps:
        text = f"The network carries only {network.available_kbps:.0f} kbit/s to you."
        causes.append((network.bitrate_kbps / max(1.0, network.available_kbps), "network", text))
    severity, limit, text = max(causes, key=lambda cause: cause[0])
    if severity <= 1.0:
        return "none", "Nothing holds the picture back."
    return limit, text


def _camera(fps_in: float) -> str:
    return f"Only {fps_in:.0f} pictures a second come in; more light or another camera mode may help."
