"""A system made elsewhere, as `vivace bench --command` speaks with it: frames in on stdin, frames out on stdout.

This one is a toy (it turns pictures to sepia) with nothing but the standard library; put your model where `repaint` is:

    vivace bench quality --command "python examples/foreign_system.py" --quick
"""

from __future__ import annotations

import json
import sys
import time


def repaint(rgb: bytes, prompt: str) -> bytes:
    """Return RGB bytes of the same length; a real system would look at the prompt."""
    del prompt
    grey = [(77 * r + 150 * g + 29 * b) >> 8 for r, g, b in zip(rgb[0::3], rgb[1::3], rgb[2::3], strict=True)]
    out = bytearray(len(rgb))
    out[0::3] = bytes(min(255, v * 270 >> 8) for v in grey)
    out[1::3] = bytes(v * 230 >> 8 for v in grey)
    out[2::3] = bytes(v * 180 >> 8 for v in grey)
    return bytes(out)


def main() -> int:
    """Answer every frame of one job."""
    source, sink = sys.stdin.buffer, sys.stdout.buffer
    job = json.loads(source.readline())
    if not job["prompt"]:
        sink.write(b'{"refused": "no prompt"}\n')
        return 0
    while line := source.readline():
        head = json.loads(line)
        rgb = source.read(head["bytes"])
        mask = source.read(head["mask_bytes"])
        painted = repaint(rgb, job["prompt"])
        if mask:
            # 255 where the picture may change: outside, the source's bytes are the right answer
            painted = b"".join(
                painted[3 * i : 3 * i + 3] if allowed else rgb[3 * i : 3 * i + 3] for i, allowed in enumerate(mask)
            )
        sink.write(
            json.dumps({"index": head["index"], "time_s": time.monotonic(), "bytes": len(painted)}).encode() + b"\n"
        )
        sink.write(painted)
        sink.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main())
