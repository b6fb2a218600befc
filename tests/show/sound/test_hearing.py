"""Sources of sound: the video's own, a file, a microphone that may disappear."""

from __future__ import annotations

import errno
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from fakes import FakeModel, FakeSource, picture, pictures
from media.clips import beep, write_clip
from patience import PATIENCE_S
from show.sound.drums import drums, write_wav
from vivace.errors import SourceError, SourceNotFoundError, SourceUnsupportedError, UsageError
from vivace.media.hearing import LATE_S, DeviceSound, TrackSound, open_microphone, open_sound
from vivace.media.live_sound import LiveSound, SoundPacket
from vivace.media.open import open_source
from vivace.show.drive import Driven, followers
from vivace.show.sound.analysis import HOP_S, RATE, Analyser
from vivace.show.sound.hearing import DeviceHearing, Hearing, TrackHearing, open_hearing
from vivace.stream import Stream


def read(path: Path, until_s: float) -> Any:
    sound = open_sound(str(path), RATE)
    samples = np.concatenate([*sound.until(until_s)])
    sound.close()
    return samples


@pytest.mark.parametrize(("rate", "channels"), [(RATE, 1), (44_100, 2), (8_000, 1)])
def test_a_file_is_heard_as_it_is(tmp_path: Path, rate: int, channels: int) -> None:
    t = np.arange(rate * 2) / rate
    tone = (np.sin(2 * np.pi * 440 * t) * (t > 1) * 0.5).astype(np.float32)
    samples = read(write_wav(tmp_path / "tone.wav", tone, rate, channels), 10.0)
    assert samples.dtype == np.float32
    # Silent before its beginning and after its end.
    began = np.flatnonzero(np.abs(samples) > 0.05)
    assert began[0] / RATE == pytest.approx(1, abs=0.02)
    assert began[-1] / RATE == pytest.approx(2, abs=0.02)
    assert len(samples) / RATE == pytest.approx(10, abs=0.1)
    spectrum = np.abs(np.fft.rfft(samples[RATE : 2 * RATE]))
    assert np.argmax(spectrum) == pytest.approx(440, abs=2)


def test_a_file_is_read_no_further_than_it_is_heard(tmp_path: Path) -> None:
    path = write_wav(tmp_path / "long.wav", drums(120, 30)[0])
    sound = open_sound(str(path), RATE)
    assert sum(len(samples) for samples in sound.until(1.0)) < 1.5 * RATE
    assert sum(len(samples) for samples in sound.until(1.0)) == 0
    sound.close()


def test_the_moment_of_a_frame_is_of_what_was_heard_until_then(tmp_path: Path) -> None:
    samples, _ = drums(120, 6)
    hearing = TrackHearing(open_sound(str(write_wav(tmp_path / "a.wav", samples)), RATE), of_the_source=True)
    # Frames a quarter of a second apart, starting at another time than 0, some of them requested twice.
    for frame in pictures(20, fps=4):
        heard = hearing.at(frame, frame.pts_s + 100)
        analyser = Analyser()
        analyser.feed(samples[: round(np.ceil(frame.pts_s / HOP_S) * HOP_S * RATE)])
        assert heard.level == pytest.approx(analyser.heard.level, abs=1e-3)
        assert (heard.beats, heard.onsets) == (analyser.heard.beats, analyser.heard.onsets)
        assert hearing.at(frame, frame.pts_s + 100) is heard
    hearing.close()


@pytest.mark.parametrize("late_s", [0.0, 0.3])
def test_live_sound_that_comes_after_its_pictures_is_late_and_whole(late_s: float) -> None:
    """With silence in its place and the sound after that, the delay would grow with each packet."""
    live = LiveSound("studio", codec="pcm_s16le", rate=RATE, channels=1, open_decoder=pcm)
    sound = TrackSound(live.open_audio(), RATE, late_s=LATE_S)
    sound.begin(0.0)
    count = round(0.02 * RATE)
    heard: list[np.ndarray] = []
    for number in range(200):  # packets of 20 ms, a picture with each, and none of either after 3 s
        if number < 150:
            ramp = np.full(count, number, np.int16).tobytes()
            live.put(SoundPacket(ramp, 0.02 * number))
        heard += sound.until(0.02 * (number + 1) + late_s)
    levels = np.rint(np.concatenate(heard) * 2**15).astype(int)
    assert list(levels[: 150 * count : count]) == list(range(150))
    assert len(levels) == pytest.approx((4.0 + late_s - LATE_S) * RATE, abs=count)
    assert not levels[150 * count :].any(), "silence, once it is later than any network"
    sound.close()


def pcm() -> Any:
    decoder: Any = av.CodecContext.create("pcm_s16le", "r")
    decoder.layout, decoder.sample_rate = "mono", RATE
    return decoder


def test_a_source_is_heard_by_itself_and_what_has_no_sound_says_so(tmp_path: Path) -> None:
    silent = tmp_path / "silent.mp4"
    write_clip(silent, [picture(0, (64, 64))] * 3)
    with open_source(silent) as source, pytest.raises(UsageError, match=r"silent\.mp4 has no sound .*--sound mic"):
        open_hearing(None, source)
    with pytest.raises(SourceNotFoundError, match="nowhere"):
        open_sound(str(tmp_path / "nowhere.wav"), RATE)
    with pytest.raises(SourceUnsupportedError, match="has no sound"):
        open_sound(str(silent), RATE)
    with pytest.raises(SourceError, match=r"text\.wav"):
        (tmp_path / "text.wav").write_text("no sound at all")
        open_sound(str(tmp_path / "text.wav"), RATE)


def containers(*names: Path | int) -> Callable[[str], Any]:
    """Return an opener of a device: one file after another, or an error."""
    left = iter(names)

    def open_next(_name: str) -> Any:
        found = next(left, errno.ENODEV)
        if isinstance(found, int):
            raise OSError(found, "No such device")
        return av.open(str(found))

    return open_next


def test_a_microphone_that_is_unplugged_is_silent_and_waited_for(tmp_path: Path) -> None:
    first = write_wav(tmp_path / "first.wav", drums(120, 5)[0])
    device = containers(first, errno.ENODEV, first)
    waits: list[float] = []
    taken: list[Any] = []
    told: list[str] = []
    back, over, gone_again = threading.Event(), threading.Event(), threading.Event()

    def lost(text: str) -> None:
        told.append(text)
        if back.is_set():
            gone_again.set()

    def wait(seconds: float) -> bool:
        waits.append(seconds)
        return over.wait(PATIENCE_S) if len(waits) > 1 else False

    sound = DeviceSound("", RATE, taken.append, lost, back.set, device, wait)
    assert gone_again.wait(PATIENCE_S)
    over.set()
    sound.close()
    assert sum(map(len, taken)) == 10 * RATE
    assert told[0] == "the microphone: gives no more sound; it is waited for, and the stream goes on"
    assert waits[0] == 2.0


def test_an_unplugged_microphone_leaves_the_stream_going(tmp_path: Path) -> None:
    path = write_wav(tmp_path / "first.wav", drums(120, 2)[0])
    hearing = DeviceHearing("", containers(path))
    model = FakeModel()
    with Stream(model, prompt="red") as stream:
        driven = Driven(followers(["strength=level"], model), hearing)
        frames = pictures(400)

        notes: list[str] = []

        def paced(index: int) -> None:
            while index == 100 and not notes:  # until it is gone
                notes.extend(hearing.notes())

        made = list(stream.run(FakeSource(frames, before_frame=paced), steered_by=[driven]))
    assert len(made) == 400
    assert stream.controls.strength == 0
    assert notes == ["the microphone: gives no more sound; it is waited for, and the stream goes on"]
    hearing.close()


def test_a_microphone_that_is_not_there_is_said_before_anything_begins() -> None:
    with pytest.raises(SourceError, match=r"the microphone: .*No such device"):
        DeviceHearing("", containers())


@pytest.fixture
def alsa(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Return an ALSA device that plays a file, so that the real code is used."""
    if "alsa" not in av.formats_available:
        pytest.skip("this FFmpeg has no ALSA")
    samples, _ = drums(120, 3)
    raw = tmp_path / "mic.raw"
    raw.write_bytes((np.repeat(np.repeat(samples, 3), 2) * 32767).astype("<i2").tobytes())
    config = tmp_path / "asound.conf"
    config.write_text(
        f'pcm.test {{ type file slave {{ pcm {{ type null }} }} file "/dev/null" infile "{raw}" format raw }}'
    )
    monkeypatch.setenv("ALSA_CONFIG_PATH", str(config))
    return "test"


def test_a_microphone_of_alsa_is_heard(alsa: str) -> None:
    taken: list[Any] = []
    enough = threading.Event()

    def take(samples: Any) -> None:  # of this device one sample at a time
        taken.append(samples)
        if len(taken) > 3 * RATE:
            enough.set()

    sound = DeviceSound(alsa, RATE, take, lambda _text: None, lambda: None, open_microphone)
    assert enough.wait(PATIENCE_S)
    sound.close()
    heard = np.concatenate(taken)
    assert len(heard) > RATE / 2
    assert np.abs(heard).max() > 0.3


def test_a_live_source_is_heard_by_the_microphone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = write_wav(tmp_path / "mic.wav", drums(120, 1)[0])
    monkeypatch.setattr("vivace.show.sound.hearing.open_microphone", containers(path))
    opened: list[str] = []

    class Named(DeviceHearing):
        def __init__(self, name: str = "", open_device: Any = None) -> None:
            opened.append(name)
            super().__init__(name, open_device or containers(path))

    monkeypatch.setattr("vivace.show.sound.hearing.DeviceHearing", Named)
    source = FakeSource((), live=True)
    found: list[Hearing] = [open_hearing(None, source), open_hearing("mic:hw:1", source)]
    for hearing in found:
        hearing.close()
    assert opened == ["", "hw:1"]


def test_the_sound_of_a_source_is_heard_at_the_times_of_its_frames(tmp_path: Path) -> None:
    clip = tmp_path / "clip.mp4"
    write_clip(clip, [picture(0, (64, 64))] * 50, sound=beep(2.0, at_s=1.0))
    levels = {}
    with open_source(clip) as source:
        hearing = open_hearing(None, source)
        for frame in source:
            levels[round(frame.pts_s, 2)] = hearing.at(frame, 0.0).level
        hearing.close()
    # A picture at 1.04 s is the first after the tone has begun.
    assert max(level for at_s, level in levels.items() if at_s < 0.95) == 0
    assert min(levels[1.04], levels[1.08]) > 0.9


def test_what_was_before_the_first_frame_is_not_heard(tmp_path: Path) -> None:
    sound = open_sound(str(write_wav(tmp_path / "a.wav", np.linspace(0, 1, 4 * RATE, dtype=np.float32))), RATE)
    sound.begin(3.0)
    samples = np.concatenate([*sound.until(3.5)])
    assert len(samples) / RATE == pytest.approx(0.5, abs=0.1)
    assert samples[0] == pytest.approx(0.75, abs=0.02)
    sound.close()


def test_a_microphone_that_cannot_be_had_says_what_else_there_is(monkeypatch: pytest.MonkeyPatch) -> None:
    class Missing(DeviceHearing):
        def __init__(self, name: str = "") -> None:
            super().__init__(name, containers())

    monkeypatch.setattr("vivace.show.sound.hearing.DeviceHearing", Missing)
    with pytest.raises(SourceError, match=r"No such device\); plug one in, name another .*music\.mp3"):
        open_hearing("mic", FakeSource(()))
