"""Quality metrics: pure functions of footage.

`METRICS` and `measure` need the extra `bench`; the definitions of footage and metrics (`footage`) need nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vivace.bench.metrics.registry import METRICS, measure

__all__ = ["METRICS", "measure"]


def __getattr__(name: str) -> Any:
    """Return a public name, imported on first use: metrics import OpenCV and scikit-image."""
    if name in __all__:
        from vivace.bench.metrics import registry

        return getattr(registry, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
