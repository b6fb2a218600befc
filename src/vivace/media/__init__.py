"""Everything that knows what a file or a camera is: frames, sources, sinks, pacing, conversion, drawing.

with open_source("clip.mp4") as source, open_sink("out.mp4", audio_from=source) as sink:
    for frame in source:
        sink.write(frame)
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vivace.media.audio import AudioTrack
    from vivace.media.camera import CameraDevice, list_cameras
    from vivace.media.clock import Clock, Sleep
    from vivace.media.convert import cover, resize
    from vivace.media.draw import caption, contact_sheet, side_by_side
    from vivace.media.frame import Frame, Rgb
    from vivace.media.open import open_sink, open_source
    from vivace.media.pacing import PacedSource
    from vivace.media.sink import NullSink, Sink
    from vivace.media.size import fit_size
    from vivace.media.source import Source, SourceInfo

_HOMES = {
    "audio": ("AudioTrack",),
    "camera": ("CameraDevice", "list_cameras"),
    "clock": ("Clock", "Sleep"),
    "convert": ("cover", "resize"),
    "size": ("fit_size",),
    "draw": ("caption", "contact_sheet", "side_by_side"),
    "frame": ("Frame", "Rgb"),
    "open": ("open_sink", "open_source"),
    "pacing": ("PacedSource",),
    "sink": ("NullSink", "Sink"),
    "source": ("Source", "SourceInfo"),
}
_HOME_OF = {name: module for module, names in _HOMES.items() for name in names}

__all__ = [
    "AudioTrack",
    "CameraDevice",
    "Clock",
    "Frame",
    "NullSink",
    "PacedSource",
    "Rgb",
    "Sink",
    "Sleep",
    "Source",
    "SourceInfo",
    "caption",
    "contact_sheet",
    "cover",
    "fit_size",
    "list_cameras",
    "open_sink",
    "open_source",
    "resize",
    "side_by_side",
]


def __getattr__(name: str) -> Any:
    """Import the module that holds `name` when it is first asked for."""
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME_OF[name]}"), name)
