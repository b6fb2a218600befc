"""Repaint a game, or any other part of the screen, while it is played.

    python examples/game_capture.py --region 0,0,1280,720 --prompt "comic book with halftone dots"
    python examples/game_capture.py --region 0,0,1280,720 --output rtmp://live.example/app/KEY --output game.mp4

The region is where the game's window is; put the preview beside it, or it repaints itself. Several outputs may be
given: each has a thread of its own, so that a slow one costs the others nothing. A screen has no sound that could be
captured portably: let OBS add the game's.
"""

from __future__ import annotations

import argparse
from collections.abc import Generator

import numpy as np

import vivace
from vivace.errors import VivaceError
from vivace.media.frame import Frame
from vivace.media.outlet import Outlet
from vivace.media.source import Source


def region_of(text: str) -> tuple[int, int, int, int]:
    """Return `(left, top, width, height)`, px."""
    left, top, width, height = (int(number) for number in text.split(","))
    return left, top, width, height


class Part(Source):
    """A part of another source's pictures, as a source of its own."""

    def __init__(self, source: Source, region: tuple[int, int, int, int] | None) -> None:
        super().__init__(source.info)
        self._source = source
        self._region = region

    def _read(self) -> Generator[Frame, None, None]:
        for frame in self._source:
            if self._region is None:
                yield frame
                continue
            left, top, width, height = self._region
            cut = np.ascontiguousarray(frame.rgb[top : top + height, left : left + width])
            if 0 in cut.shape:
                raise SystemExit(f"the region is not on the screen, which is {frame.size[0]}x{frame.size[1]}")
            yield Frame(cut, frame.index, frame.pts, frame.time_base, frame.capture_time_s)


def main() -> None:
    """Read the arguments, and paint until Ctrl-C."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("source", nargs="?", default="screen", help="what `vivace run` takes")
    parser.add_argument("--region", type=region_of, help="LEFT,TOP,WIDTH,HEIGHT of the screen, px")
    parser.add_argument("--prompt", default="comic book with halftone dots")
    parser.add_argument("--output", action="append", help="what `vivace run -o` takes; `window` if not given")
    parser.add_argument("--size", default="640x360", help="WxH to paint at")
    parser.add_argument("--frames", type=int, help="stop after so many")
    options = parser.parse_args()
    width, height = (int(side) for side in options.size.split("x"))
    names = options.output or ["window"]

    shown = 0
    try:
        with vivace.open_source(options.source, fps=30) as source:
            # A window belongs to the thread that runs the program, the others get threads of their own.
            first = vivace.open_sink("window") if "window" in names else None
            outlets = [
                Outlet(lambda name=name: vivace.open_sink(name, fps=30), name=name, live=True)
                for name in names
                if name != "window"
            ]
            with vivace.Stream("mini", prompt=options.prompt, size=(width, height)) as stream:
                for frame in stream.run(Part(source, options.region), live=True):
                    going = [outlet.put(frame) for outlet in outlets]
                    if first is not None:
                        first.write(frame)
                        going.append(not first.finished)
                    shown += 1
                    if shown == options.frames or not any(going):
                        break
            for outlet in outlets:
                outlet.finish()
            for outlet, name in zip(outlets, (name for name in names if name != "window"), strict=True):
                outlet.join()
                ended = f", ended with: {outlet.error}" if outlet.error is not None else ""
                print(f"{outlet.frames_written} frames to {name}, {outlet.frames_dropped} lost{ended}")
            if first is not None:
                first.close()
    except KeyboardInterrupt:
        pass
    except VivaceError as error:
        raise SystemExit(f"{error}") from None
    print(f"{shown} frames painted")


if __name__ == "__main__":
    main()
