"""Be a painting in a video call: a camera goes in, the virtual camera that the call is given comes out.

    python examples/video_call.py camera --prompt "anime cel shading"

`vivace run camera -p "anime cel shading" -o virtual` does the same; this shows what an application adds of its own:
while nobody moves in the picture's middle, the call sees the look "a moonlit night" instead. Needs v4l2loopback on
Linux, see docs/outputs.md; elsewhere give `--output window` and let OBS make a camera of it. The call's own microphone
is not touched: pictures are about a tenth of a second late.
"""

from __future__ import annotations

import argparse
from collections import deque

import numpy as np

import vivace
from vivace.errors import VivaceError

AWAY = "a moonlit night"
STILL = 3.0
"""Mean change of the middle's brightness, 0 to 255, below which nobody moves there."""
STILL_FRAMES = 90


def middle(rgb: np.ndarray) -> np.ndarray:
    """Return the brightness of the middle of a picture, coarsely."""
    height, width = rgb.shape[:2]
    cut = rgb[height // 4 : -height // 4 : 8, width // 3 : -width // 3 : 8]
    return cut.mean(axis=2)


def main() -> None:
    """Read the arguments and paint until the call is over."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("source", nargs="?", default="camera", help="what `vivace run` takes")
    parser.add_argument("--prompt", default="anime cel shading")
    parser.add_argument("--output", default="virtual", help="what `vivace run -o` takes")
    parser.add_argument("--size", default="640x360", help="WxH, which the call sees")
    parser.add_argument("--frames", type=int, help="stop after so many")
    options = parser.parse_args()
    width, height = (int(side) for side in options.size.split("x"))

    shown = 0
    try:
        with (
            vivace.open_source(options.source, size=(width, height)) as source,
            vivace.open_sink(options.output, fps=30, warn=print) as sink,
            vivace.Stream("mini", prompt=options.prompt, size=(width, height)) as stream,
        ):
            print(f"{source.info.name} goes to {sink.name}; choose that camera in the call, Ctrl-C ends")
            seen: deque[np.ndarray] = deque(maxlen=2)
            still, away = 0, False
            for frame in stream.run(source, live=True):
                sink.write(frame)
                shown += 1
                assert frame.source_rgb is not None
                seen.append(middle(frame.source_rgb))
                moved = len(seen) < 2 or float(np.abs(seen[0] - seen[1]).mean()) > STILL
                still = 0 if moved else still + 1
                if (still > STILL_FRAMES) != away:
                    away = not away
                    stream.update(prompt=AWAY if away else options.prompt)
                if shown == options.frames:
                    break
    except KeyboardInterrupt:
        pass
    except VivaceError as error:
        raise SystemExit(f"{error}") from None
    print(f"{shown} frames")


if __name__ == "__main__":
    main()
