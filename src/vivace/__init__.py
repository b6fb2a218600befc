"""Repaint live video with diffusion.

    import vivace

    stream = vivace.Stream("mini", prompt="ink sketch", size=(512, 512))
    for frame in stream.run(vivace.open_source("camera")):
        show(frame.rgb)  # uint8 [h, w, 3]

The names below are imported when they are first used, so that `import vivace` costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from vivace.errors import VivaceError
    from vivace.media.frame import Frame
    from vivace.media.sink import open_sink
    from vivace.media.source import open_source
    from vivace.models import list_models, load_model
    from vivace.stream import Stream

_HOMES = {
    "Frame": "vivace.media.frame",
    "Stream": "vivace.stream",
    "VivaceError": "vivace.errors",
    "list_models": "vivace.models",
    "load_model": "vivace.models",
    "open_sink": "vivace.media.sink",
    "open_source": "vivace.media.source",
}

__all__ = ["Frame", "Stream", "VivaceError", "__version__", "list_models", "load_model", "open_sink", "open_source"]


def __getattr__(name: str) -> Any:
    """Import a public name from its home on first use."""
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'vivace' has no attribute {name!r}")
    value = getattr(import_module(home), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
