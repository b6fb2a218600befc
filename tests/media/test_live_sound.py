"""Live sound goes into a video in step with the pictures, with silence in its gaps."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from sounds import opus, samples_of, timed, tones_in
from vivace.media.live_sound import LiveSound, SoundPacket
from vivace.media.open import open_sink

from .clips import frames_of, grey, read_all

TONES_S = (0.5, 1.5, 2.5)


def record(path: Path, sound: LiveSound, packets: list[SoundPacket], seconds: float, first: int = 0) -> None:
    """Write 25 pictures per second, each when the sound up to 0.1 s after it has come."""
    waiting = sorted(packets, key=lambda packet: packet.time_s)
    with open_sink(path, fps=25, audio_from=sound) as sink:
        for frame in frames_of([grey(100)] * round(seconds * 25 - first), range(first, round(seconds * 25))):
            while waiting and waiting[0].time_s < frame.pts_s + 0.1:
                sound.put(waiting.pop(0))
            sink.write(frame)


@pytest.mark.parametrize("name", ["out.mp4", "out.webm", "out.mkv"])
@pytest.mark.parametrize("first", [0, 10])
def test_tones_stay_where_they_were_heard(tmp_path: Path, name: str, first: int) -> None:
    jitter_s = np.random.default_rng(1).uniform(-0.005, 0.005, 200)
    packets = [
        packet._replace(time_s=packet.time_s + jitter)
        for packet, jitter in zip(timed(opus(3.0, TONES_S)), jitter_s, strict=False)
    ]
    sound = LiveSound("test")
    record(tmp_path / name, sound, packets, 3.0, first)
    found = tones_in(*samples_of(tmp_path / name))
    assert found == pytest.approx([tone_s - first / 25 for tone_s in TONES_S], abs=0.03)
    assert len(read_all(tmp_path / name)) == 75 - first


def test_what_is_lost_or_muted_is_silence_and_moves_nothing(tmp_path: Path) -> None:
    sound = LiveSound("test")
    packets = list(timed(opus(3.0, TONES_S)))
    lost = [packet for packet in packets if not 0.6 <= packet.time_s < 1.3]
    record(tmp_path / "lost.mp4", sound, lost, 3.0)
    assert tones_in(*samples_of(tmp_path / "lost.mp4")) == pytest.approx(TONES_S, abs=0.03)
    path = tmp_path / "muted.mp4"
    with open_sink(path, fps=25, audio_from=sound) as sink:
        for frame in frames_of([grey(100)] * 75):
            sound.muted = 1.2 <= frame.pts_s < 2.0
            while packets and packets[0].time_s < frame.pts_s + 0.1:
                sound.put(packets.pop(0))
            sink.write(frame)
    assert tones_in(*samples_of(path)) == pytest.approx([0.5, 2.5], abs=0.03)


def test_a_clock_that_drifts_is_followed(tmp_path: Path) -> None:
    packets = [packet._replace(time_s=packet.time_s * 1.02) for packet in timed(opus(6.0, (0.5, 5.5)))]
    sound = LiveSound("test")
    record(tmp_path / "out.mp4", sound, packets, 6.0)
    assert tones_in(*samples_of(tmp_path / "out.mp4"))[-1] == pytest.approx(5.5 * 1.02, abs=0.03)


def test_what_was_heard_before_the_file_was_opened_is_not_in_it(tmp_path: Path) -> None:
    sound = LiveSound("test")
    for packet in timed(opus(1.0, (0.5,))):
        sound.put(packet)
    assert sound.heard
    record(tmp_path / "out.mp4", sound, list(timed(opus(1.0, (0.3,)), began_s=1.0)), 2.0, first=25)
    assert tones_in(*samples_of(tmp_path / "out.mp4")) == pytest.approx([0.3], abs=0.03)


def test_sound_that_begins_later_is_silence_before(tmp_path: Path) -> None:
    late = [packet for packet in timed(opus(3.0, TONES_S)) if packet.time_s > 1.0]
    record(tmp_path / "out.mp4", LiveSound("test"), late, 3.0, first=10)
    samples, rate, begins_s = samples_of(tmp_path / "out.mp4")
    assert begins_s == pytest.approx(0.0, abs=0.03)
    assert tones_in(samples, rate, begins_s) == pytest.approx([1.1, 2.1], abs=0.03)


def test_packets_that_are_no_sound_are_counted(tmp_path: Path) -> None:
    sound = LiveSound("test")
    track = sound.open_audio()
    sound.put(SoundPacket(b"\xff" * 7, 0.0))
    (packet,) = track.packets_until(1.0)
    with pytest.raises(Exception, match="Invalid data"):
        track.decode(packet)
    track.close()
    sound.put(SoundPacket(b"\xff", 0.5))
    assert not list(track.packets_until(None)), "a track that is closed gets nothing"
