"""Description of a runtime."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class RuntimeInfo:
    """Runtime, device and precision of a network."""

    runtime: str
    """Name such as `openvino`, `eager`."""
    device: str
    """Name such as `CPU: AMD EPYC …`."""
    precision: str
    """Name such as `bf16`, `f32`."""
    notes: tuple[str, ...] = field(default_factory=tuple)
    """Fallbacks taken, for people."""
