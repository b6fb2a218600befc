"""Services that a session uses of the server around it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from vivace.media.size import Size
from vivace.serve.marking import Marking
from vivace.serve.recording import Recording, RecordingStore
from vivace.serve.settings import ServeSettings
from vivace.stream.finish import Finisher
from vivace.stream.moderation import NOBODY, Moderator


@dataclass(frozen=True, slots=True)
class SessionContext:
    """Services of the server for one session, which is known there by its id."""

    settings: ServeSettings
    clock: Callable[[], float]
    in_background: Callable[[Callable[[], None]], None]
    """Runs something that takes its time in another thread."""
    resize: Callable[[str, Size], None]
    """Asks for room for another size; raises RefusedError."""
    grow: Callable[[str, Size], None]
    """Asks for room that nobody else needs, for a size that nobody has asked for; raises RefusedError."""
    changed: Callable[[str], None]
    """Is told after what is in the session's record has changed."""
    ended: Callable[[str, tuple[Recording, ...]], None]
    """Is told once, with the recordings that are being closed."""
    recording_store: RecordingStore | None = None
    marking: Marking = field(default_factory=Marking)
    moderator: Moderator = NOBODY
    finishers: Callable[[str], Sequence[Finisher]] = lambda _session: ()
    """Makes those of a session from its id."""
