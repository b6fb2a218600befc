#!/usr/bin/env bash
# libx264 with `tune=zerolatency` (PyAV 18.1.0, FFmpeg inside): a stream whose pictures come more slowly than the `framerate` that
# the encoder was opened for gets proportionally less bitrate, although every picture carries its right `pts`. The tune sets
# `force-cfr`, so that rate control gives each picture maxrate / framerate and never looks at timestamps: a live picture painted
# at 10 fps by an encoder opened for 30 is held to a third of `maxrate`, and looks it.
#
# Expected: with pts in the time base of the context, `maxrate` is bits per second, whatever the pace of the pictures.
# Remedy: open the encoder for the pace at which pictures really come, and open it again when that changes much. `force-cfr=0`
# gives the bitrate too, but then x264 holds one picture back, which is what the tune was chosen against.
#
# Seen, bits per second of noise with maxrate 1,000,000, fed at 30, 15, 10 and 5 fps:
#   opened for 30 fps                    1003 k, 502 k, 334 k, 167 k
#   opened for the pace                  1003 k, 1004 k, 1001 k, 999 k
#   opened for 30 fps, force-cfr=0       994 k, 999 k, 999 k, 902 k, and nothing comes out for the first picture
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install -q "av==18.1.0" "numpy==2.3.5"
env/bin/python - <<'PYTHON'
from fractions import Fraction

import av
import numpy as np
from av.video.frame import PictureType

CLOCK_HZ = 90_000
MAXRATE = 1_000_000


def encoded(fed_fps: int, opened_fps: int, **options: str) -> tuple[float, bool]:
    """Return bits per second, and whether a packet came out for the first picture at once."""
    context = av.CodecContext.create("libx264", "w")
    context.width, context.height, context.pix_fmt = 320, 240, "yuv420p"
    context.time_base, context.framerate = Fraction(1, CLOCK_HZ), Fraction(opened_fps)
    context.options = {
        "preset": "ultrafast", "tune": "zerolatency", "crf": "20",
        "maxrate": str(MAXRATE), "bufsize": str(MAXRATE * 4 // 10), **options,
    }
    noise, sizes = np.random.default_rng(0), []
    for number in range(90):
        rgb = noise.integers(0, 256, (240, 320, 3), dtype=np.uint8)
        picture = av.VideoFrame.from_ndarray(rgb, "rgb24").reformat(format="yuv420p")
        picture.pts, picture.time_base = number * CLOCK_HZ // fed_fps, context.time_base
        picture.pict_type = PictureType.NONE
        sizes.append(sum(packet.size for packet in context.encode(picture)))
    return 8 * sum(sizes[30:]) * fed_fps / len(sizes[30:]), sizes[0] > 0


for fed_fps in (30, 15, 10, 5):
    fixed, _ = encoded(fed_fps, 30)
    followed, at_once = encoded(fed_fps, fed_fps)
    by_time, held_none_back = encoded(fed_fps, 30, **{"x264-params": "force-cfr=0"})
    print(f"{fed_fps:2} fps: opened for 30 {fixed:,.0f}, for the pace {followed:,.0f}, with force-cfr=0 {by_time:,.0f} bit/s")
    assert abs(fixed / MAXRATE - fed_fps / 30) < 0.1 * fed_fps / 30, "x264 looks at timestamps now"
    assert abs(followed / MAXRATE - 1) < 0.1 and abs(by_time / MAXRATE - 1) < 0.15
    assert at_once and not held_none_back, "force-cfr=0 holds nothing back any more"
PYTHON
echo "as described"
