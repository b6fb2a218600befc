"""Repaint live video with diffusion.

    import vivace

    stream = vivace.Stream("mini", prompt="ink sketch", size=(512, 512))
    for frame in stream.run(vivace.open_source("camera")):
        show(frame.rgb)  # uint8 [h, w, 3]

A model whose files are fetched, in a style, with options and events of its own:

    model = vivace.load_model("live2diff", options=vivace.LoadOptions(style="felted"))
    stream = vivace.Stream(model, prompt="a felt puppet dancing", options={"depth_every": 2})
    stream.update(strength=0.4)  # implemented by the model instead of blending
    stream.update(events=["anchor"])

The names below are imported on first use, so that `import vivace` stays cheap.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from vivace.media.registry import SOURCES, Kind

__version__ = "0.1.0"

if TYPE_CHECKING:
    from vivace.errors import (
        BackendUnavailableError,
        CapacityError,
        CheckpointError,
        ControlError,
        DecodeError,
        DeviceError,
        MediaError,
        PolicyError,
        SessionClosedError,
        SinkError,
        SinkUnsupportedError,
        SinkWriteError,
        SourceError,
        SourceLostError,
        SourceNotFoundError,
        SourceStalledError,
        SourceUnsupportedError,
        StepError,
        UnknownModelError,
        UnknownPromptError,
        UsageError,
        VivaceError,
    )
    from vivace.media.frame import Frame
    from vivace.media.open import open_sink, open_source
    from vivace.models import LoadOptions, list_models, load_model
    from vivace.stream import Ack, Stats, Stream

_HOMES = {
    "vivace.errors": (
        "BackendUnavailableError",
        "CapacityError",
        "CheckpointError",
        "ControlError",
        "DecodeError",
        "DeviceError",
        "MediaError",
        "PolicyError",
        "SessionClosedError",
        "SinkError",
        "SinkUnsupportedError",
        "SinkWriteError",
        "SourceError",
        "SourceLostError",
        "SourceNotFoundError",
        "SourceStalledError",
        "SourceUnsupportedError",
        "StepError",
        "UnknownModelError",
        "UnknownPromptError",
        "UsageError",
        "VivaceError",
    ),
    "vivace.media.frame": ("Frame",),
    "vivace.media.open": ("open_sink", "open_source"),
    "vivace.models": ("LoadOptions", "list_models", "load_model"),
    "vivace.stream": ("Ack", "Stats", "Stream"),
}
SOURCES.add(
    Kind(
        name="scene",
        texts="`scene`, `scene:city`, `scene:city?seed=3&frames=90`, `scene:walkers?edit=night`",
        about="a procedural scene, or one of the benchmark's, which `edit` alters; endless unless `frames` is given",
        opener="vivace.worlds.source:open_scene",
        words=("scene", "scene:"),
    )
)

_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "Ack",
    "BackendUnavailableError",
    "CapacityError",
    "CheckpointError",
    "ControlError",
    "DecodeError",
    "DeviceError",
    "Frame",
    "LoadOptions",
    "MediaError",
    "PolicyError",
    "SessionClosedError",
    "SinkError",
    "SinkUnsupportedError",
    "SinkWriteError",
    "SourceError",
    "SourceLostError",
    "SourceNotFoundError",
    "SourceStalledError",
    "SourceUnsupportedError",
    "Stats",
    "StepError",
    "Stream",
    "UnknownModelError",
    "UnknownPromptError",
    "UsageError",
    "VivaceError",
    "__version__",
    "list_models",
    "load_model",
    "open_sink",
    "open_source",
]


def __getattr__(name: str) -> Any:
    """Return a public name, imported from its home on first use."""
    home = _HOME_OF.get(name)
    if home is None:
        raise AttributeError(f"module 'vivace' has no attribute {name!r}")
    value = getattr(import_module(home), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
