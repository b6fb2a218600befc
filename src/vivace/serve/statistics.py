"""Statistics that a session's client is told twice a second, and what limits its quality now."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from vivace import messages
from vivace.media.frame import Frame
from vivace.media.size import Size
from vivace.serve.sound import State as SoundState
from vivace.stream.account import Account
from vivace.stream.histogram import Histogram

SMOOTH_FPS = 24.0
"""Below it motion is seen to jerk."""
LOSS_SEEN = 0.02
RTT_SEEN_MS = 150.0
LATE_SEEN = 0.1
"""Shares and times from which a person notices."""

Limit = Literal["none", "network", "device", "camera"]


@dataclass(frozen=True, slots=True)
class NetworkReport:
    """Measurements of the network path to the client; None where unknown."""

    rtt_ms: float | None = None
    loss: float | None = None
    """Share of packets, 0 to 1."""
    bitrate_kbps: float | None = None
    """Sent."""
    wanted_kbps: float | None = None
    """Bitrate that busy pictures would take."""
    available_kbps: float | None = None
    """Bitrate that the path carried when it was too full; None while it carries all."""


def session_stats(
    account: Account,
    network: NetworkReport,
    *,
    time_s: float,
    effort: float | None,
    size: Size | None,
    recording: str | None,
    sound: SoundState = "none",
    newest: Frame | None = None,
) -> messages.Stats:
    """Return the last seconds of a session, which has gone on for `time_s`, and its newest output as a message."""
    lately, kept = account.lately(), account.kept
    limit, text = limiting(lately.fps_in, lately.fps_out, lately.late_share, effort, network)
    return messages.Stats(
        time_s=time_s,
        frame_index=max(0, account.frame_index),
        fps_in=lately.fps_in,
        fps_out=lately.fps_out,
        age_ms=account.age_ms,
        stages_ms={stage: _stage_of(times) for stage, times in lately.stages.items()},
        glass_to_glass_ms=_stage_of(lately.presented) if lately.presented.count else None,
        drops=dict(account.drops),
        effort=effort,
        kept=None if kept is None else kept.kept_share,
        audit_db=None if kept is None else kept.audit_db,
        size=size,
        prompt_to_pixel_ms=account.prompt_to_pixel_ms,
        bitrate_kbps=network.bitrate_kbps,
        loss=network.loss,
        rtt_ms=network.rtt_ms,
        limit=limit,
        limit_text=text,
        recording=recording,
        sound=sound,
        painted=newest is not None and newest.painted,
        absent=[] if newest is None else list(newest.absent),
        note=account.note,
    )


def _stage_of(times: Histogram) -> messages.Stage:
    return messages.Stage(**times.summary(50, 95, digits=2))


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
    if network.available_kbps is not None and network.wanted_kbps:
        text = f"The network carries only {network.available_kbps:.0f} kbit/s to you."
        causes.append((network.wanted_kbps / max(1.0, network.available_kbps), "network", text))
    severity, limit, text = max(causes, key=lambda cause: cause[0])
    if severity <= 1.0:
        return "none", "Nothing holds the picture back."
    return limit, text


def _camera(fps_in: float) -> str:
    return f"Only {fps_in:.0f} pictures a second come in; more light or another camera mode may help."
