"""A program for a test: publishes grey pictures with FFmpeg's WHIP muxer. Arguments: URL, certificate, key, frames."""

from __future__ import annotations

import sys
import time

import av
import numpy as np
from av.codec.context import Flags

url, certificate, key, frames = sys.argv[1:]
PICTURE = np.full((96, 128, 3), 60, np.uint8)
LIVE = {"preset": "ultrafast", "tune": "zerolatency", "profile": "baseline", "g": "30"}

with av.open(url, "w", format="whip", options={"cert_file": certificate, "key_file": key}) as out:
    stream = out.add_stream("libx264", rate=30, options=LIVE, width=128, height=96, pix_fmt="yuv420p")
    stream.codec_context.flags |= Flags.global_header
    began_s = time.monotonic()
    for index in range(int(frames)):
        frame = av.VideoFrame.from_ndarray(PICTURE)
        frame.pts = index
        out.mux(stream.encode(frame))
        time.sleep(max(0.0, began_s + index / 30 - time.monotonic()))
    out.mux(stream.encode(None))
