"""The sound of a session: in its recordings and for its viewers, and in neither when it is muted."""

from __future__ import annotations

from pathlib import Path

import pytest

from fakes import FakeClock
from serve_rig import grey, in_loop, opened, running_manager, until
from sounds import opus, samples_of, timed, tones_in
from vivace.media.live_sound import SoundPacket
from vivace.serve.sound import SessionSound

FPS = 25
TONES_S = (0.5, 1.5)


@in_loop
async def _record(folder: Path, clock: FakeClock, muted_s: tuple[float, float]) -> None:
    async with running_manager(clock=clock, recordings=folder, grace_s=1000.0, idle_s=1000.0) as manager:
        session = await opened(manager)
        began_s = clock()
        packets = list(timed(opus(2.0, TONES_S), began_s))
        session.push(grey(100), clock())
        session.hear(packets[0])
        assert session.sound.state == "on"
        session.recorder.start()
        for number in range(2 * FPS):
            at_s = number / FPS
            while packets and packets[0].time_s <= began_s + at_s + 0.05:
                session.hear(packets.pop(0))
            session.sound.mute(muted_s[0] <= at_s < muted_s[1])
            before = session.recorder.current.frames
            session.push(grey(100), clock())
            await until(lambda before=before: session.recorder.current.frames > before)
            clock.advance(1 / FPS)
        (recording,) = session.recorder.end()
        assert recording.join(100)


@pytest.mark.parametrize(("muted_s", "found_s"), [((9, 9), TONES_S), ((1.0, 1.8), TONES_S[:1])])
def test_a_recording_has_the_sound_where_it_was_heard(
    tmp_path: Path, muted_s: tuple[float, float], found_s: tuple[float, ...]
) -> None:
    _record(tmp_path, FakeClock(), muted_s)
    (path,) = tmp_path.glob("*.mp4")
    found = tones_in(*samples_of(path))
    assert [b - a for a, b in zip(found_s, found, strict=True)] == pytest.approx([0.0] * len(found_s), abs=0.045)


@in_loop
async def test_viewers_get_what_is_not_muted_and_a_delay_that_follows_the_pictures() -> None:
    clock = FakeClock(0.0)
    sound = SessionSound("s")
    feed, gone = sound.feed(clock), sound.feed(clock)
    sound.forget(gone)
    assert sound.state == "none"
    sound.take(SoundPacket(b"a", -5.0), None)
    sound.mute(True)
    sound.take(SoundPacket(b"b", -5.0), 0.0)
    assert sound.state == "muted"
    sound.mute(False)
    sound.take(SoundPacket(b"c", -4.98), 0.0)
    assert sound.state == "on"
    assert [bytes(await feed.recv()) for _ in range(2)] == [b"a", b"c"]
    assert gone.readyState == "ended"
    sound.delay.picture_took(0.2)
    assert sound.delay.value_s == 0.2
