"""Measure cost and latency of outputs: `python tests/e2e/measure_outputs.py --help`.

`latency`: numbered pictures, 512x288 at 30 fps, go into each output beside a receiver in a separate process, which
notes the time at which it has decoded each. `three`: the same live run into a file alone, into file, WHIP and RTMP, and
into a file beside an RTMP server that is silent and one that is not there, in turn, and the painted frames per second.
`marks`: the same run into a file without any mark and with all of them, as fast as it goes. Nothing here is asserted.
"""

from __future__ import annotations

import argparse
import json
import os
import queue
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from fractions import Fraction
from pathlib import Path
from types import MappingProxyType
from typing import Any

import av
import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))
from http_fakes import settings_for
from live_server import live_server
from media.test_virtual_camera import Driver
from stream_peers import LISTENS, free_port
from vivace.bench.latency.webrtc_code import Code
from vivace.media.frame import Frame
from vivace.media.open import open_sink
from vivace.media.sink import Sink, SinkOptions
from vivace.media.virtual_camera import VirtualCamera, VirtualCameraSink
from vivace.serve.rtc import make_peer_factory
from vivace.serve.session import LiveSession
from vivace.worlds import make_scene

SIZE = (512, 288)
FPS = 30
CODE = Code(SIZE)

Seen = Callable[[int], None]


def receive(address: str, options: dict[str, str]) -> None:
    """Print the number and the time of every received picture; the program of a receiver."""
    print("opening", flush=True)
    with av.open(address, "r", options={"analyzeduration": "0", "fpsprobesize": "0", **options}, timeout=60) as stream:
        decoder = stream.streams.video[0].codec_context
        decoder.flags |= av.codec.context.Flags.low_delay
        for packet in stream.demux(video=0):
            for frame in packet.decode() if packet.size else ():
                number = CODE.read(frame.to_ndarray(format="rgb24"))
                print(json.dumps([number, time.monotonic()]), flush=True)


@contextmanager
def receiver(address: str, options: dict[str, str]) -> Iterator[dict[int, float]]:
    """Run a receiver; yield the time at which each number was seen."""
    seen: dict[int, float] = {}
    command = [sys.executable, __file__, "receive", address, json.dumps(options)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    assert process.stdout is not None
    process.stdout.readline()
    time.sleep(1.5)  # it listens by then

    def read() -> None:
        for line in process.stdout or ():
            number, at_s = json.loads(line)
            if number is not None:
                seen.setdefault(number, at_s)

    thread = threading.Thread(target=read, daemon=True)
    thread.start()
    try:
        yield seen
    finally:
        process.kill()
        process.wait()
        thread.join(5)


@contextmanager
def through_server(seen: dict[int, float]) -> Iterator[str]:
    """Serve WHIP, and note the pictures that arrive."""
    push = LiveSession.push

    def noting(session: LiveSession, rgb: np.ndarray, *arguments: Any, **named: Any) -> bool:
        number = CODE.read(rgb)
        if number is not None:
            seen.setdefault(number, time.monotonic())
        return push(session, rgb, *arguments, **named)

    LiveSession.push = noting  # type: ignore[method-assign]
    settings = settings_for(size=(256, 144))
    try:
        with live_server(settings, peers=make_peer_factory(settings)) as server:
            yield f"whip:{server.url}/whip"
    finally:
        LiveSession.push = push  # type: ignore[method-assign]


def watch_playlist(playlist: Path, seen: dict[int, float], stop: threading.Event) -> None:
    """Fetch parts as soon as a playlist names them, like a player of low-latency HLS."""
    taken: set[str] = set()
    while not stop.wait(0.01):
        if not playlist.exists():
            continue
        for line in playlist.read_text().splitlines():
            name = line.partition('URI="')[2].partition('"')[0]
            if line.startswith("#EXT-X-PART:") and name not in taken:
                taken.add(name)
                at_s = time.monotonic()
                parts = sorted(path for path in playlist.parent.glob(f"{name[:-7]}-*.m4s") if path.name <= name)
                data = (playlist.parent / f"{playlist.stem}-init.mp4").read_bytes()
                data += b"".join(path.read_bytes() for path in parts)
                with av.open(__import__("io").BytesIO(data)) as film:
                    for frame in film.decode(video=0):
                        number = CODE.read(frame.to_ndarray(format="rgb24"))
                        if number is not None:
                            seen.setdefault(number, at_s)


def watch_camera(device: Path, seen: dict[int, float]) -> None:
    """Read what is written to a virtual camera, in place of its driver."""
    width, height = SIZE
    with device.open("rb") as pictures:
        while data := pictures.read(2 * width * height):
            at_s = time.monotonic()
            yuyv = av.VideoFrame(width, height, "yuyv422")
            yuyv.planes[0].update(data)
            number = CODE.read(yuyv.to_ndarray(format="rgb24"))
            if number is not None:
                seen.setdefault(number, at_s)


def feed(sink: Sink, pictures: list[np.ndarray], seconds: float) -> dict[int, float]:
    """Write numbered pictures like a camera; return the time at which each was given."""
    given: dict[int, float] = {}
    began_s = time.monotonic()
    for number in range(round(seconds * FPS)):
        due_s = began_s + number / FPS
        time.sleep(max(0.0, due_s - time.monotonic()))
        marked = CODE.draw(pictures[number % len(pictures)], number)
        given[number] = time.monotonic()
        sink.write(Frame(marked, number, number, Fraction(1, FPS), given[number]))
    return given


def latency(kinds: list[str], seconds: float) -> None:
    """Print the latency of each output."""
    scene = make_scene("city", SIZE)
    pictures = [scene.render(number / FPS) for number in range(60)]
    with tempfile.TemporaryDirectory() as folder:
        for kind in kinds:
            seen: dict[int, float] = {}
            stop = threading.Event()
            with ExitStack() as opened:
                camera = None
                if kind == "whip":
                    target = opened.enter_context(through_server(seen))
                elif kind == "hls":
                    target = f"{folder}/live.m3u8"
                    watcher = threading.Thread(target=watch_playlist, args=(Path(target), seen, stop))
                    watcher.start()
                elif kind == "virtual":
                    camera = VirtualCamera(10, "Vivace", Path(f"{folder}/video10"))
                    os.mkfifo(camera.path)
                    watcher = threading.Thread(target=watch_camera, args=(camera.path, seen))
                    watcher.start()
                else:
                    target = f"{kind}://127.0.0.1:{free_port()}" + ("" if kind == "udp" else "/live/key")
                    seen = opened.enter_context(receiver(target, {"fflags": "nobuffer", **LISTENS[kind]}))
                if camera is None:
                    sink = open_sink(target, fps=FPS, endless=True)
                else:
                    sink = VirtualCameraSink(camera, SinkOptions(fps=FPS), ioctl=Driver())
                with sink:
                    given = feed(sink, pictures, seconds)
                    time.sleep(2)
                    stop.set()
            late = [1000 * (seen[number] - at_s) for number, at_s in given.items() if number in seen and number > FPS]
            told = {"output": kind, "given": len(given), "seen": len(seen)}
            if late:
                told |= dict(zip(("p50_ms", "p95_ms"), np.percentile(late, [50, 95]).round(0), strict=True))
            print(json.dumps({**told, "load": os.getloadavg()[0]}), flush=True)


@contextmanager
def silent() -> Iterator[str]:
    """Yield the URL of an RTMP server that accepts and then stays silent."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        kept: queue.SimpleQueue[Any] = queue.SimpleQueue()

        def accept() -> None:
            try:
                while True:
                    kept.put(server.accept())
            except OSError:
                pass

        threading.Thread(target=accept, daemon=True).start()
        yield f"rtmp://127.0.0.1:{server.getsockname()[1]}/live/key"
        server.shutdown(socket.SHUT_RDWR)


def three(turns: int, frames: int, size: str, model: str) -> None:
    """Print the frame rate of live runs into one output, into three, and into one beside a dead one."""
    found: dict[str, list[float]] = {"one": [], "three": [], "one and dead ones": []}
    with tempfile.TemporaryDirectory() as folder, silent() as dead:
        for _ in range(turns):
            for name in found:
                with ExitStack() as opened:
                    outputs = [f"{folder}/out.mp4"]
                    if name == "three":
                        address = f"rtmp://127.0.0.1:{free_port()}/live/key"
                        opened.enter_context(receiver(address, LISTENS["rtmp"]))
                        outputs += [address, opened.enter_context(through_server({}))]
                    elif name != "one":
                        outputs = [dead, *outputs, f"rtmp://127.0.0.1:{free_port()}/live/key"]
                    flags = ["--model", model, "--size", size, "--live", "--max-frames", str(frames), "--no-sign"]
                    found[name].append(painted_fps(Path(folder), outputs, flags))
                    print(name, found[name][-1], os.getloadavg()[0], flush=True)
    tell_ratios(found)


def marks(turns: int, frames: int, size: str, model: str) -> None:
    """Print the frame rate of runs into a file without marks and with all of them."""
    found: dict[str, list[float]] = {"none": [], "credentials,label,watermark": []}
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(turns):
            for name in found:
                flags = ["--model", model, "--size", size, "--max-frames", str(frames)]
                environment = {"VIVACE_MARKS": name, "XDG_STATE_HOME": folder}
                found[name].append(painted_fps(Path(folder), [f"{folder}/out.mp4"], flags, environment))
                print(name, found[name][-1], os.getloadavg()[0], flush=True)
    tell_ratios(found)


def painted_fps(
    folder: Path, outputs: list[str], flags: list[str], environment: Mapping[str, str] = MappingProxyType({})
) -> float:
    """Run `vivace run` on a scene; return its painted frames per second."""
    stats = folder / "stats.json"
    stats.unlink(missing_ok=True)
    command = [sys.executable, "-m", "vivace", "run", "scene:city", "-p", "ink", "--stats", str(stats), *flags]
    for output in outputs:
        command += ["-o", output]
    done = subprocess.run(command, env={**os.environ, **environment}, capture_output=True, text=True, check=False)
    print(" | ".join((done.stdout + done.stderr).splitlines()))
    return round(float(json.loads(stats.read_text())["fps"]), 2)


def tell_ratios(found: Mapping[str, list[float]]) -> None:
    """Print all frame rates, their medians, and these over the first one's."""
    medians = {name: float(np.median(values)) for name, values in found.items()}
    first = next(iter(medians.values()))
    ratios = {name: round(value / first, 2) for name, value in medians.items()}
    print(json.dumps({"fps": found, "median": medians, "of the first": ratios}))


if __name__ == "__main__":
    if sys.argv[1:2] == ["receive"]:
        receive(sys.argv[2], json.loads(sys.argv[3]))
        sys.exit()
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=["latency", "three", "marks"])
    parser.add_argument("--outputs", default="rtmp,rtsp,udp,hls,whip,virtual", help="whose latency")
    parser.add_argument("--seconds", type=float, default=12.0, help="of each output's latency")
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--frames", type=int, default=450)
    parser.add_argument("--size", default="512x288")
    parser.add_argument("--model", default="mini2")
    given = parser.parse_args()
    if given.what == "latency":
        latency(given.outputs.split(","), given.seconds)
    else:
        {"three": three, "marks": marks}[given.what](given.turns, given.frames, given.size, given.model)
