"""The live loop: frame processing, controls, mailboxes, deadlines, latency. `Stream` is the entry point."""

from vivace.stream.controls import Ack, Controls
from vivace.stream.stats import Stats
from vivace.stream.stream import Stream

__all__ = ["Ack", "Controls", "Stats", "Stream"]
