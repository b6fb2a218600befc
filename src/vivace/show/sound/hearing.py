"""Listeners: to the sound of the source or of a file at the time of each frame, or to a microphone now."""

from __future__ import annotations

import math
from collections import deque
from typing import Protocol

import numpy as np

from vivace.errors import SourceError, UsageError
from vivace.media.frame import Frame
from vivace.media.hearing import (
    LATE_S,
    DeviceOpener,
    DeviceSound,
    TrackSound,
    open_address,
    open_microphone,
    open_sound,
    sound_of,
)
from vivace.media.live_sound import LiveSound
from vivace.media.paths import URL
from vivace.media.registry import LIVE_SCHEMES
from vivace.media.source import Source
from vivace.show.sound.analysis import HOP, HOP_S, RATE, SILENCE, Analyser, Heard, Samples

MICROPHONE = "mic"


class Hearing(Protocol):
    """Signals of the sound at each frame of a run."""

    def at(self, frame: Frame, time_s: float) -> Heard:
        """Return what is heard at a frame, `time_s` after the first of the run; frames come in order."""

    def notes(self) -> list[str]:
        """Return what there is to tell people since the last time."""

    def close(self) -> None:
        """Listen no more."""


class TrackHearing:
    """Listens to a track, in step with the frames, so that a file is heard the same on any machine."""

    def __init__(self, sound: TrackSound, *, of_the_source: bool) -> None:
        """Hear it at the frames' own times, or, of another file, from the first frame on."""
        self._sound = sound
        self._of_the_source = of_the_source
        self._analyser = Analyser()
        self._ahead: Samples = np.zeros(0, np.float32)
        self._from_s: float | None = None

    def at(self, frame: Frame, time_s: float) -> Heard:
        """Return what is heard at a frame."""
        now_s = frame.pts_s if self._of_the_source else time_s
        if self._from_s is None:
            self._from_s = now_s
            self._sound.begin(now_s)
        due = (math.ceil((now_s - self._from_s) / HOP_S) - self._analyser.hops) * HOP
        if due > 0:
            # A packet reaches further than the frame, by what nobody has heard yet.
            read = np.concatenate([self._ahead, *self._sound.until(now_s)])
            self._ahead = read[due:]
            self._analyser.feed(read[:due])
        return self._analyser.heard

    def notes(self) -> list[str]:
        """Return nothing: a file that ends is silent."""
        return []

    def close(self) -> None:
        """Close the track."""
        self._sound.close()


class DeviceHearing:
    """Listens to a microphone. One that is gone is silent, and the stream goes on."""

    def __init__(self, name: str = "", open_device: DeviceOpener = open_microphone) -> None:
        """Open it.

        Raises:
            SourceError: it cannot be opened.
        """
        self._analyser = Analyser()
        self._heard = SILENCE
        self._notes: deque[str] = deque()
        self._device = DeviceSound(
            name,
            RATE,
            self._take,
            self._lost,
            lambda: self._notes.append(f"{self._device.name} is back"),
            open_device,
        )

    def _take(self, samples: Samples) -> None:
        self._analyser.feed(samples)
        self._heard = self._analyser.heard

    def _lost(self, text: str) -> None:
        beats, onsets = self._heard.beats, self._heard.onsets
        # Counts go on: a seed that follows them does not go back.
        self._heard = Heard(onsets=onsets, beats=beats, position=float(beats))
        self._notes.append(text)

    def at(self, frame: Frame, time_s: float) -> Heard:  # noqa: ARG002  (it is now, whichever frame it is)
        """Return what is heard now."""
        return self._heard

    def notes(self) -> list[str]:
        """Return what has become of it."""
        return [self._notes.popleft() for _ in range(len(self._notes))]

    def close(self) -> None:
        """Let it go."""
        self._device.close()


def hearing_of(sound: LiveSound) -> Hearing:
    """Listen to live sound, at the frames of the pictures it comes with."""
    return TrackHearing(TrackSound(sound.open_audio(), RATE, late_s=LATE_S), of_the_source=True)


def open_hearing(spec: str | None, source: Source) -> Hearing:
    """Listen to what a user names: `mic`, `mic:NAME` or a file.

    Without a name it is the source's own sound, and the microphone where a live one has none.

    Raises:
        UsageError: the source has no sound.
        SourceError: it cannot be opened.
    """
    if spec is None:
        own = sound_of(source, RATE)
        if own is not None:
            return TrackHearing(own, of_the_source=True)
        if not source.info.live:
            raise UsageError(
                f"{source.info.name} has no sound to be driven by; name one, `--sound music.mp3` or `--sound mic`"
            )
        spec = MICROPHONE
    if spec == MICROPHONE or spec.startswith(f"{MICROPHONE}:"):
        try:
            return DeviceHearing(spec[len(MICROPHONE) + 1 :])
        except SourceError as error:
            remedy = "plug one in, name another (`--sound mic:NAME`), or a file (`--sound music.mp3`)"
            raise type(error)(f"{error}; {remedy}") from error
    scheme = URL.match(spec)
    if scheme and scheme["scheme"].lower() in LIVE_SCHEMES:
        # In a thread of its own: a network that stalls must not hold up the pictures.
        return DeviceHearing(spec, open_address)
    return TrackHearing(open_sound(spec, RATE), of_the_source=False)
