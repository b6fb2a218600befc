"""What a runtime says of itself."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class RuntimeInfo:
    """Where the network runs."""

    runtime: str
    """E.g. `openvino`, `eager`."""
    device: str
    """E.g. `CPU: AMD EPYC …`."""
    precision: str
    """E.g. `bf16`, `f32`."""
    notes: tuple[str, ...] = field(default_factory=tuple)
    """Fallbacks taken, for people."""
