"""Long run of one live stream over a bad network, with its resources: `python tests/long_run.py --minutes 60`.

A second process sends MPEG-TS over UDP on this machine: moving scenes with a hard cut every few seconds, one packet in
a hundred lost, and silences longer than a stream waits, so that it reconnects. The stream repaints them live while
prompt, strength and seed change. Memory, descriptors and threads are read every few seconds; after a tenth of the run,
in which everything is used once, none of them may grow. Linux only; not in continuous integration.
"""

from __future__ import annotations

import argparse
import itertools
import os
import random
import socket
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import av

import vivace
from vivace.errors import SourceError
from vivace.media import open_source
from vivace.media.frame import Rgb

SIZE = (384, 216)
FPS = 20
LOSS = 0.01
CUT_FRAMES = 4 * FPS
SILENCE_S = 13.0
"""Duration of a silence: longer than the timeout of a live source (`STALL_TIMEOUT_S`), shorter than all its attempts to
reconnect."""
SCENES = ("city", "gallery", "boat")
PROMPTS = ("oil painting", "ink drawing", None, "neon city at night", "a pencil sketch, half as strong", "snow")
PACKET = 7 * 188
SAMPLE_S = 5.0
MOST_GROWTH = 0.02


class LossyUdp:
    """Output of a muxer: packets of seven cells over UDP, some of which are lost."""

    def __init__(self, port: int, loss: float) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._to = ("127.0.0.1", port)
        self._loss = loss
        self._random = random.Random(0)
        self._rest = b""

    def write(self, data: bytes) -> int:
        self._rest += bytes(data)
        while len(self._rest) >= PACKET:
            packet, self._rest = self._rest[:PACKET], self._rest[PACKET:]
            if self._random.random() >= self._loss:
                self._socket.sendto(packet, self._to)
        return len(data)


def scenes() -> Iterator[Rgb]:
    """Yield endless pictures, with a new scene every `CUT_FRAMES`."""
    for seed in itertools.count():
        with open_source(f"scene:{SCENES[seed % len(SCENES)]}?frames={CUT_FRAMES}&seed={seed}", size=SIZE) as source:
            yield from (frame.rgb for frame in source)


def send(port: int, silence_every_s: float) -> None:
    """Send until killed."""
    line = LossyUdp(port, LOSS)
    began_s, silent_s = time.monotonic(), 0.0
    with av.open(line, "w", format="mpegts") as container:
        stream = container.add_stream("libx264", rate=FPS, options={"preset": "ultrafast", "tune": "zerolatency"})
        stream.width, stream.height = SIZE
        stream.pix_fmt, stream.gop_size = "yuv420p", FPS
        for index, rgb in enumerate(scenes()):
            for packet in stream.encode(av.VideoFrame.from_ndarray(rgb)):
                container.mux(packet)
            if index and index % round(silence_every_s * FPS) == 0:
                silent_s += SILENCE_S
                time.sleep(SILENCE_S)
            time.sleep(max(0.0, began_s + silent_s + index / FPS - time.monotonic()))


def held() -> tuple[float, int, int]:
    """Return this process's memory in MiB, its descriptors and its threads."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    descriptors = len(list(Path("/proc/self/fd").iterdir()))
    return pages * os.sysconf("SC_PAGESIZE") / 2**20, descriptors, threading.active_count()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--port", type=int, default=45871)
    parser.add_argument("--send", type=float, metavar="SECONDS", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.send is not None:
        send(arguments.port, arguments.send)

    length_s = 60.0 * arguments.minutes
    sender = subprocess.Popen(
        [sys.executable, __file__, "--port", str(arguments.port), "--send", str(max(30.0, length_s / 12))]
    )
    samples: list[tuple[float, float, int, int]] = []
    began_s = sample_s = change_s = time.monotonic()
    prompts = itertools.cycle(PROMPTS)
    try:
        source = open_source(f"udp://127.0.0.1:{arguments.port}", size=(256, 256))
        with source, vivace.Stream("mini", prompt=next(prompts), size=(256, 256)) as stream:
            for frame in stream.run(source, live=True):
                now_s = time.monotonic()
                if now_s > change_s + 3.0:
                    change_s = now_s
                    stream.update(prompt=next(prompts), strength=0.5 + frame.index % 6 / 10, seed=frame.index)
                if now_s > sample_s + SAMPLE_S:
                    sample_s = now_s
                    samples.append((now_s - began_s, *held()))
                if now_s > began_s + length_s:
                    break
            stats = stream.stats()
    except SourceError as error:
        print(f"ended after {time.monotonic() - began_s:.0f} s: {error}")
        return 1
    finally:
        sender.kill()
        sender.wait()

    warm = [sample for sample in samples if sample[0] > length_s / 10]
    tenth = max(1, len(warm) // 10)
    print(f"{stats.frames_in} frames in, {stats.frames_out} out, drops {dict(stats.drops)}, {stats.cuts} cuts")
    print(f"latency {dict(stats.latency_ms)}, memory begun anew {dict(stats.resets)}, last error {stats.last_error}")
    print(f"{getattr(source, 'reconnects', None)} reconnects, {len(source.warnings)} warnings")
    grew = False
    for place, name in enumerate(("MiB", "descriptors", "threads"), 1):
        first = statistics.median(sample[place] for sample in warm[:tenth])
        last = statistics.median(sample[place] for sample in warm[-tenth:])
        most = max(sample[place] for sample in warm)
        print(f"{name}: {first:.1f} in the first tenth after warm-up, {last:.1f} in the last, {most:.1f} at most")
        grew |= last > first * (1 + MOST_GROWTH)
    return 1 if grew else 0


if __name__ == "__main__":
    sys.exit(main())
