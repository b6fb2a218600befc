"""Latency over WebRTC: cases and additional metrics.

Every case starts a server in a process of its own; a client in another one sends numbered pictures and reads the
numbers back from what it receives. In between is everything that a user has: encoders, packets, the server's loop, the
model.
"""

from __future__ import annotations

from dataclasses import dataclass

from vivace.bench.latency.benchmark import LatencyCase

PROMPT_CHANGES = 20


@dataclass(frozen=True, slots=True)
class WebRtcCase(LatencyCase):
    """Live sessions on one server."""

    sessions: int = 1
    """Simultaneous sessions, each with its own client; figures are of the first."""
    step_ms: float | None = None
    """Duration that every step of the model is stretched to, ms; None leaves it as it is."""

    @property
    def name(self) -> str:
        """Name of the case in the document."""
        base = f"webrtc/{self.fps:g}fps/{self.size[0]}x{self.size[1]}"
        sessions = f"/{self.sessions} sessions" if self.sessions > 1 else ""
        return f"{base}{sessions}" + ("" if self.step_ms is None else f"/step {self.step_ms:g} ms")

    def extra(self) -> dict[str, float | int | None]:
        """Return settings that cases of the other path do not have."""
        return {"sessions": self.sessions, "step_ms": self.step_ms}


CASES = (
    WebRtcCase((256, 256), 30.0),
    WebRtcCase((512, 288), 30.0),
    WebRtcCase((256, 256), 30.0, sessions=2),
    WebRtcCase((256, 256), 30.0, step_ms=100.0),
)
"""Cases: one user, a wider picture, two users of one model, and a model that is far slower than the camera."""
