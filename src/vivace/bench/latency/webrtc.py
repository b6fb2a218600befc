"""Latency over WebRTC: the cases, and what is measured beside the figures of every live session.

A server in a process of its own, started for every case; a client in another one sends numbered pictures and reads the
numbers back from what it receives. All that a user has is in between: encoders, packets, the server's loop, the model.
"""

from __future__ import annotations

from dataclasses import dataclass

from vivace.bench.latency.benchmark import LatencyCase

PROMPT_CHANGES = 20


@dataclass(frozen=True, slots=True)
class WebRtcCase(LatencyCase):
    """Live sessions of one server."""

    sessions: int = 1
    """At the same time, each with its own client; figures are of the first."""
    step_ms: float | None = None
    """What every step of the model is stretched to; None: what it takes."""

    @property
    def name(self) -> str:
        """The case's name in the document."""
        base = f"webrtc/{self.fps:g}fps/{self.size[0]}x{self.size[1]}"
        sessions = f"/{self.sessions} sessions" if self.sessions > 1 else ""
        return f"{base}{sessions}" + ("" if self.step_ms is None else f"/step {self.step_ms:g} ms")

    def extra(self) -> dict[str, float | int | None]:
        """Return what the other path's cases do not have."""
        return {"sessions": self.sessions, "step_ms": self.step_ms}


CASES = (
    WebRtcCase((256, 256), 30.0),
    WebRtcCase((512, 288), 30.0),
    WebRtcCase((256, 256), 30.0, sessions=2),
    WebRtcCase((256, 256), 30.0, step_ms=100.0),
)
"""One user, a wider picture, two users of one model, and a model that is far slower than the camera."""
