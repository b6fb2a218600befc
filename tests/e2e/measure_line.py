"""Measure the video that a real browser sends and receives, of a busy 1280x720 picture.

Usage: `python tests/e2e/measure_line.py --help`.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from itertools import pairwise
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
from e2e.browsers import CHROMIUM, FIREFOX
from e2e.line import over_line
from rtc_relay import BadLine


def main() -> None:
    """Print one line per second."""
    parser = argparse.ArgumentParser()
    parser.add_argument("browser", choices=["chromium", "firefox"])
    parser.add_argument("--frames", type=int, default=300, help="sent before it ends")
    parser.add_argument("--fps", type=float, default=15.0)
    parser.add_argument("--loss", type=float, default=0.0, help="share of packets")
    parser.add_argument("--rate", type=float, help="of the line, each way, bit/s")
    options = parser.parse_args()
    browser = CHROMIUM if options.browser == "chromium" else FIREFOX
    assert browser is not None, "not installed"
    with tempfile.TemporaryDirectory() as folder:
        samples, line = over_line(
            browser,
            Path(folder) / "profile",
            frames=options.frames,
            fps=options.fps,
            line=lambda: BadLine(loss=options.loss, rate_bps=options.rate),
        )
    first_s = samples[0]["t_s"]
    for before, sample in pairwise(samples):
        span_s = sample["t_s"] - before["t_s"]
        text = f"{sample['t_s'] - first_s:5.1f} s"
        for way, key, done in (("out", "bytesSent", "framesEncoded"), ("in", "bytesReceived", "framesDecoded")):
            now, then = sample.get(way, {}), before.get(way, {})
            kbps = 8e-3 * (now.get(key, 0) - then.get(key, 0)) / span_s
            fps = (now.get(done, 0) - then.get(done, 0)) / span_s
            size = f"{now.get('frameWidth', 0)}x{now.get('frameHeight', 0)}"
            text += f"   {way} {size:>9} {kbps:5.0f} kbit/s {fps:4.1f} fps"
        out, pair = sample.get("out", {}), sample.get("pair", {})
        available = pair.get("availableOutgoingBitrate", 0) / 1000
        encoded = out.get("framesEncoded", 0) - before.get("out", {}).get("framesEncoded", 0)
        qp = (out.get("qpSum", 0) - before.get("out", {}).get("qpSum", 0)) / max(1, encoded)
        print(
            f"{text}   available {available:5.0f} kbit/s, qp {qp:.0f}, limited by {out.get('qualityLimitationReason')}"
        )
    for end, waits in line.waits_s.items():
        if waits:
            second_half = [wait for _, wait in waits[len(waits) // 2 :]]
            print(
                f"queue of the {end}'s packets: at most {max(w for _, w in waits):.2f} s, then {max(second_half):.2f} s"
            )
    for way in ("out", "in"):
        asked = {
            name: samples[-1].get(way, {}).get(name) for name in ("nackCount", "pliCount", "firCount", "freezeCount")
        }
        print(way, {name: count for name, count in asked.items() if count is not None})
    print(f"packets passed {line.passed}, lost {line.lost}")


if __name__ == "__main__":
    main()
