"""A video that changes its look at every bar of a piece of music, and pulses with the beat.

    python examples/beat_show.py scene:gallery music.mp3 show.mp4

The same is near at hand without a program (`vivace run scene:gallery --sound music.mp3 --drive strength=beat:0.5..1`);
this one shows how an application steers by what is heard, and what else might: at each frame it says what is due.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from typing import Any

import vivace
from vivace.media.hearing import open_sound
from vivace.models.base import StreamModel
from vivace.show.sound.analysis import RATE
from vivace.show.sound.hearing import TrackHearing
from vivace.stream.automation import Change
from vivace.stream.controls import Controls, check_changes
from vivace.stream.moderation import NOBODY

LOOKS = ("ink", "neon", "watercolour", "8-bit pixel art")
BEATS_A_LOOK = 4


class BeatShow:
    """Steers a stream by music: the next look each bar, strong on the beat and weaker until the next."""

    def __init__(self, music: str, model: StreamModel[Any]) -> None:
        self._hearing = TrackHearing(open_sound(music, RATE), of_the_source=False)
        self._model = model
        self._shown: dict[str, object] = {}

    def prepare(self, _size: tuple[int, int]) -> None:
        """Encode the looks before the first frame, so that none waits for it."""
        for look in LOOKS:
            self._model.encode_prompt(look)

    def due(self, frame: vivace.Frame, time_s: float, _controls: Callable[[], Controls]) -> Iterator[Change]:
        """Yield what is to be another from this frame on."""
        heard = self._hearing.at(frame, time_s)
        look = LOOKS[heard.beats // BEATS_A_LOOK % len(LOOKS)]
        wanted = {"prompt": look, "strength": round(0.4 + 0.6 * heard.beat, 2)}
        changes = {name: value for name, value in wanted.items() if self._shown.get(name) != value}
        self._shown = wanted
        if changes:
            yield Change(changes, check_changes(changes, self._model, moderator=NOBODY))

    def close(self) -> None:
        """Let go of the music."""
        self._hearing.close()


def main() -> None:
    """Repaint a video to a piece of music."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", help="what to repaint, as of `vivace run`")
    parser.add_argument("music", help="a file with sound")
    parser.add_argument("output", help="where to, e.g. show.mp4")
    parser.add_argument("--frames", type=int, default=600)
    given = parser.parse_args()

    stream = vivace.Stream("mini", prompt=LOOKS[0], crossfade_s=0.1, size=(256, 144))
    source = vivace.open_source(given.source)
    with stream, vivace.open_sink(given.output, fps=source.info.fps) as sink:
        frames = stream.run(source, live=False, steered_by=[BeatShow(given.music, stream.model)])
        for count, frame in enumerate(frames, 1):
            sink.write(frame)
            if count == given.frames:
                break
        frames.close()


if __name__ == "__main__":
    main()
