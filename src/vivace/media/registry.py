"""Kinds of source that are named by a word, `camera:1` or `scene:city`, known without importing what opens them.

Whoever brings another kind registers it: `register_source("scene", "vivace.worlds.source:open_scene")`.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from vivace.media.clock import Clock
    from vivace.media.size import Size
    from vivace.media.source import Source


class SourceOpener(Protocol):
    """Opens a kind of source."""

    def __call__(
        self, rest: str, /, *, size: Size | None, fps: float | None, stall_timeout_s: float, clock: Clock
    ) -> Source:
        """Open what `rest`, the text behind the word and its colon, names; the others are `open_source`'s arguments."""


_OPENERS = {"camera": "vivace.media.camera:open_camera", "screen": "vivace.media.screen:open_screen"}


def register_source(word: str, opener: str) -> None:
    """Add a kind of source, or put another in its place.

    Args:
        word: what a source of the kind begins with, before a colon.
        opener: `module:function`, a `SourceOpener`; imported when the first is opened.
    """
    _OPENERS[word] = opener


def source_words() -> tuple[str, ...]:
    """Return the words of all kinds, those of this package first."""
    return tuple(_OPENERS)


def source_opener(word: str) -> SourceOpener | None:
    """Return what opens a kind of source; None where the word names none."""
    if word not in _OPENERS:
        return None
    module, _, name = _OPENERS[word].partition(":")
    opener: SourceOpener = getattr(import_module(module), name)
    return opener
