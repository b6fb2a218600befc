"""Counts of picture conversions, and their threads."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from av.video.reformatter import VideoReformatter

from vivace.media import convert, picture


def count_conversions(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the names of the threads that convert or scale a picture from now on, one entry each time."""
    threads: list[str] = []

    class Counted:
        def __init__(self) -> None:
            self._scaler = VideoReformatter()

        def reformat(self, frame: Any, *form: Any, **kwargs: Any) -> Any:
            if form:  # A picture of that size is only packed.
                threads.append(threading.current_thread().name)
            return self._scaler.reformat(frame, *form, **kwargs)

    monkeypatch.setattr(picture, "VideoReformatter", Counted)
    monkeypatch.setattr(convert, "_scaler", lambda *_: Counted())
    return threads
