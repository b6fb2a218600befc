"""Repaint inside a loop of OpenCV: frames come from its capture, and go to its window or its file.

    python examples/opencv_loop.py 0 --prompt "ink"
    python examples/opencv_loop.py clip.mp4 --prompt "oil painting" --output painted.avi

A picture is a `uint8` array for both, in BGR there and in RGB here. In the window, Q ends, 1 to 3 change the prompt.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2
import numpy as np

import vivace

PROMPTS = {ord("1"): "ink", ord("2"): "watercolour", ord("3"): "neon"}


def main() -> None:
    """Read the arguments and loop."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("source", help="what cv2.VideoCapture takes: a camera's number, a file or an address")
    parser.add_argument("--prompt", default="ink")
    parser.add_argument("--size", default="512x288", help="WxH to paint at")
    parser.add_argument("--output", type=Path, help="a file in place of the window, .avi")
    parser.add_argument("--frames", type=int, help="stop after so many")
    options = parser.parse_args()
    width, height = (int(side) for side in options.size.split("x"))

    capture = cv2.VideoCapture(int(options.source) if options.source.isdigit() else options.source)
    if not capture.isOpened():
        raise SystemExit(f"{options.source}: OpenCV cannot open it")
    writer = None
    if options.output is not None:
        fps = capture.get(cv2.CAP_PROP_FPS) or 30
        writer = cv2.VideoWriter(str(options.output), cv2.VideoWriter_fourcc(*"MJPG"), fps, (width, height))
    painted = 0
    with vivace.Stream("mini", prompt=options.prompt, size=(width, height)) as stream:
        while painted != options.frames:
            there, bgr = capture.read()
            if not there:
                break
            for frame in stream.push(np.ascontiguousarray(bgr[..., ::-1])):
                painted += 1
                shown = np.ascontiguousarray(frame.rgb[..., ::-1])
                if writer is not None:
                    writer.write(shown)
                    continue
                cv2.imshow("vivace", shown)
                key = cv2.waitKey(1) & 0xFF
                if key in PROMPTS:
                    stream.update(prompt=PROMPTS[key])
                if key == ord("q"):
                    options.frames = painted
        age_ms = stream.stats().latency_ms.get("p50")
    capture.release()
    if writer is not None:
        writer.release()
    print(f"{painted} frames" + ("" if age_ms is None else f", {age_ms:.0f} ms each"))


if __name__ == "__main__":
    main()
