"""Sound to listen to, not to pass on: mono, at one rate, of a file up to a moment or of a microphone as it comes."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.audio.resampler import AudioResampler
from av.container import InputContainer
from numpy.typing import NDArray

from vivace.errors import SourceError, SourceNotFoundError, SourceUnsupportedError
from vivace.media.audio import AudioTrack, Sound
from vivace.media.paths import URL, naming
from vivace.media.reader import open_error
from vivace.media.source import Source
from vivace.redaction import redact_address

Samples = NDArray[np.float32]
"""`float32 [n]`, mono, -1 to 1."""

DeviceOpener = Callable[[str], InputContainer]

GAP_S = 0.05
"""Gap between packets, s, beyond which there is silence; less is rounding."""
LATE_S = 1.0
"""Lateness of live sound behind its pictures, s, beyond which there is silence."""
ADDRESS_TIMEOUT_S = 10.0
REOPEN_S = 2.0
"""After which a device that is gone is tried again."""

_PLATFORM: str = sys.platform
_ALSA_CONFIG = Path("/usr/share/alsa")


class _Mono:
    """Brings decoded sound to one channel and rate, whatever it is and becomes."""

    def __init__(self, rate: int) -> None:
        self._rate = rate
        self._form: tuple[int, str, str] | None = None
        self._resampler: AudioResampler | None = None

    def __call__(self, frame: Any) -> Samples:
        form = (frame.sample_rate, frame.layout.name, frame.format.name)
        if self._resampler is None or form != self._form:
            self._form, self._resampler = form, AudioResampler("flt", "mono", self._rate)
        frame.pts = None
        made = [resampled.to_ndarray()[0] for resampled in self._resampler.resample(frame)]
        return np.concatenate(made) if made else np.zeros(0, np.float32)


class TrackSound:
    """The sound of a track from a time on, without a gap."""

    def __init__(self, track: Sound, rate: int, *, late_s: float = GAP_S) -> None:
        """Read `track`, which is closed with this, at `rate` Hz, from its time 0 on.

        Sound that has not come `late_s` after its time is silence, and left out should it come after all.
        """
        self._track = track
        self._rate = rate
        self._late_s = late_s
        self._mono = _Mono(rate)
        self._from_s = 0.0
        self._given = 0

    def begin(self, time_s: float) -> None:
        """Give nothing of what was before a time; before anything is given."""
        self._from_s = time_s

    def until(self, time_s: float) -> Iterator[Samples]:
        """Yield the samples of what begins before a time; silence where there is none, and after the end."""
        for packet in self._track.packets_until(time_s):
            try:
                frames = self._track.decode(packet)
            except av.FFmpegError:
                continue  # its place is silent
            for frame in frames:
                at_s = float(packet.pts * self._track.time_base if frame.pts is None else frame.pts * frame.time_base)
                at_s -= self._from_s
                missing = round(at_s * self._rate) - self._given
                if missing > GAP_S * self._rate:
                    yield self._silence(missing)
                samples = self._mono(frame)
                if -missing > GAP_S * self._rate:
                    samples = samples[-missing:]
                if at_s >= 0 and samples.size:
                    yield self._counted(samples)
        if (missing := round((time_s - self._from_s - self._late_s) * self._rate) - self._given) > 0:
            yield self._silence(missing)

    def _silence(self, samples: int) -> Samples:
        return self._counted(np.zeros(samples, np.float32))

    def _counted(self, samples: Samples) -> Samples:
        self._given += len(samples)
        return samples

    def close(self) -> None:
        """Close the track."""
        self._track.close()


def open_sound(spec: str, rate: int) -> TrackSound:
    """Open the sound of a file or address.

    Raises:
        SourceNotFoundError, SourceUnsupportedError: it is not there, cannot be read, or has no sound.
    """
    if URL.match(spec):
        track = AudioTrack.open(spec, spec)
    else:
        with naming(spec, SourceNotFoundError) as path:
            path.stat()
            track = AudioTrack.open(str(path), spec)
    if track is None:
        raise SourceUnsupportedError(f"{spec}: has no sound; name a file with sound, or `mic`")
    return TrackSound(track, rate)


def sound_of(source: Source, rate: int) -> TrackSound | None:
    """Open the sound that belongs to a source's pictures; None where there is none."""
    track = source.open_audio() if source.info.has_audio else None
    return None if track is None else TrackSound(track, rate, late_s=LATE_S if source.info.live else GAP_S)


def open_microphone(name: str) -> InputContainer:
    """Open a microphone: the default one, or one as the system calls it.

    Raises what `av.open` raises.
    """
    if _PLATFORM == "darwin":
        return av.open(f":{name or 'default'}", format="avfoundation")
    if _PLATFORM == "win32":
        return av.open(f"audio={name or _first_windows()}", format="dshow")
    if _ALSA_CONFIG.exists():
        # The wheel's ALSA looks for its configuration where the wheel was built.
        os.environ.setdefault("ALSA_CONFIG_DIR", str(_ALSA_CONFIG))
    return av.open(name or "default", format="alsa")


def _first_windows() -> str:
    import av.device

    devices = av.device.enumerate_input_devices("dshow")
    found = next((device.description for device in devices if "audio" in device.media_types), None)
    if found is None:
        raise OSError("no microphone")
    return str(found)


def open_address(address: str) -> InputContainer:
    """Open a live address. Raises what `av.open` raises."""
    return av.open(address, timeout=ADDRESS_TIMEOUT_S)


class DeviceSound:
    """A microphone, read in a thread of its own. One that goes away is waited for."""

    def __init__(
        self,
        name: str,
        rate: int,
        take: Callable[[Samples], None],
        on_loss: Callable[[str], None],
        on_return: Callable[[], None],
        open_device: DeviceOpener = open_microphone,
        wait: Callable[[float], bool] | None = None,
    ) -> None:
        """Open it.

        Args:
            name: as the system calls it; empty is the default one.
            rate: of the samples, Hz.
            take: is given them, in the thread.
            on_loss: is told, in words, that it is gone.
            on_return: is told that it is back.
            open_device: opens it; raises what `av.open` raises.
            wait: waits some seconds before it is tried again; returns whether all is over.

        Raises:
            SourceError: it cannot be opened.
        """
        self.name = redact_address(name) or "the microphone"
        self._spec = name
        self._rate = rate
        self._take, self._on_loss, self._on_return = take, on_loss, on_return
        self._open_device = open_device
        self._stop = threading.Event()
        self._wait = wait or self._stop.wait
        self._container: InputContainer | None = self._opened()
        # A daemon: a driver that hangs in its read must not keep the process alive.
        self._thread = threading.Thread(target=self._run, name="vivace-hear", daemon=True)
        self._thread.start()

    def _opened(self) -> InputContainer:
        try:
            container = self._open_device(self._spec)
        except (av.FFmpegError, OSError, ValueError) as error:
            raise open_error(self.name, error) from error
        if not container.streams.audio:
            container.close()
            raise SourceUnsupportedError(f"{self.name}: has no sound")
        return container

    def _run(self) -> None:
        while not self._stop.is_set():
            if self._container is None and not self._opened_again():
                if self._wait(REOPEN_S):
                    return
                continue
            assert self._container is not None
            with self._container as container:
                reason = self._read(container)
            self._container = None
            if not self._stop.is_set():
                self._on_loss(f"{self.name}: {reason}; it is waited for, and the stream goes on")

    def _opened_again(self) -> bool:
        try:
            self._container = self._opened()
        except SourceError:
            return False  # it was told when it went
        self._on_return()
        return True

    def _read(self, container: InputContainer) -> str:
        """Take what comes until there is no more; return why."""
        mono = _Mono(self._rate)
        try:
            for frame in container.decode(audio=0):
                if self._stop.is_set():
                    return ""
                self._take(mono(frame))
        except (av.FFmpegError, OSError, ValueError) as error:
            return f"is gone ({getattr(error, 'strerror', None) or error})"
        return "gives no more sound"

    def close(self) -> None:
        """Let it go after the sound being read; a driver that hangs is not waited for."""
        self._stop.set()
        self._thread.join(REOPEN_S)
