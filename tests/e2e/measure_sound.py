"""Measure lip sync and the delay of pictures with sound in a browser: `python tests/e2e/measure_sound.py --help`.

A page sends numbered pictures that flash and a tone that beeps, both every two seconds, through `vivace serve` and
back. The number in the picture tells when the flash is on screen; the audio graph tells when the beep is heard, just
before the loudspeaker. So *apart* is the whole difference between them: capture, both encoders, the server, and the
browser's synchronisation; positive is late sound. A recording runs beside it and is analysed in the same way, and then
played, and sought in at 40 places, in both browsers. Both are reported for the first and for the last minute. The last
lines say for every five seconds how long the browser kept pictures and sound waiting, how long it had to, and was
asked to (ms), and the median way of the pictures: what is not the network's or the server's is seen there. Nothing here
is asserted.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import av
import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))
from e2e import browsers
from e2e.browsers import CHROMIUM, FIREFOX
from e2e.studio import Serving
from stream_peers import free_port

PAGE = Path(__file__).with_name("sound.html")
PLAYER = """<!doctype html><meta charset="utf-8"><script type="module">
const src = URL.createObjectURL(await (await fetch("recording.mp4")).blob());
const video = Object.assign(document.createElement("video"), { muted: true, preload: "auto", src });
const happens = (event) => new Promise((resolve, reject) => {
  video.addEventListener(event, resolve, { once: true });
  video.addEventListener("error", () => reject(new Error(video.error.message)), { once: true });
});
const [canvas, BITS] = [Object.assign(document.createElement("canvas"), { width: 48, height: 8 }), 12];
const ctx = canvas.getContext("2d", { willReadFrequently: true });
const read = () => {
  const strip = 2 * Math.round(video.videoWidth / BITS / 2);
  ctx.drawImage(video, 0, 0, video.videoWidth, strip, 0, 0, 48, 8);
  const { data } = ctx.getImageData(0, 0, 48, 8);
  let number = 0;
  for (let bit = 0; bit < BITS; bit += 1) {
    const [upper, lower] = [2, 6].map((row) => data[4 * (row * 48 + 4 * bit + 2)]);
    if (upper > lower) number |= 1 << bit;
  }
  return number;
};
const look = async () => {
  await happens("loadeddata");
  await video.play();
  while (video.currentTime < 2) await new Promise((resolve) => setTimeout(resolve, 50));
  video.pause();
  const numbers = [];
  for (const time of TIMES) {
    video.currentTime = time;
    await happens("seeked");
    await new Promise((resolve) => setTimeout(resolve, 200));  // it may come before the picture
    numbers.push(read());
  }
  return { seconds: video.duration, numbers };
};
const report = await look().catch((error) => ({ error: error.message }));
await fetch("/report", { method: "POST", body: JSON.stringify(report) });
</script>"""
"""Page that plays a recording for two seconds, and reads the number at each of some times."""
BITS, PERIOD = 12, 60
WINDOW_S = 60.0


def summary(values: list[float]) -> dict[str, Any]:
    """Return the count, and percentiles in ms; for differences, their largest size in 95 of 100."""
    if not values:
        return {"n": 0}
    p50, p95 = np.percentile(values, [50, 95]).round(1)
    return {"n": len(values), "p50_ms": float(p50), "p95_ms": float(p95)}


def apart(values: list[float]) -> dict[str, Any]:
    """Return the same for differences, in either order."""
    return (
        {"median_ms": float(np.median(values).round(1)), **summary([abs(value) for value in values])} if values else {}
    )


def number_in(rgb: np.ndarray) -> int | None:
    """Return the number in the strip of a picture, as the page draws it."""
    width = rgb.shape[1]
    square = width / BITS
    strip = 2 * round(square / 2)
    found = 0
    for bit in range(BITS):
        columns = slice(int((bit + 0.3) * square), int((bit + 0.7) * square))
        upper = rgb[int(strip * 0.15) : int(strip * 0.35), columns].mean()
        lower = rgb[int(strip * 0.65) : int(strip * 0.85), columns].mean()
        if abs(upper - lower) < 60:
            return None
        found |= int(upper > lower) << bit
    return found


def of_recording(path: Path) -> dict[str, Any]:
    """Return the content of a recording, and the difference between flash and beep in it."""
    flashes: dict[int, float] = {}
    frames, newest, period_s = 0, -1, 1 / 30
    with av.open(str(path)) as film:
        for frame in film.decode(video=0):
            frames += 1
            number = number_in(frame.to_ndarray(format="rgb24"))
            if number is not None and number % PERIOD < 3 and newest != number // PERIOD:
                newest = number // PERIOD
                flashes[len(flashes)] = float(frame.time) - (number % PERIOD) * period_s
        last_s = float(frame.time)
    beeps, quiet_s, at_s = [], 1e9, 0.0
    with av.open(str(path)) as film:
        for sound in film.decode(audio=0):
            samples = np.abs(sound.to_ndarray().astype(np.float32).mean(axis=0))
            loud = np.flatnonzero(samples > 0.1)
            at_s = float(sound.pts * sound.time_base)
            if len(loud):
                if quiet_s + loud[0] / sound.sample_rate > 0.5:
                    beeps.append(at_s + loud[0] / sound.sample_rate)
                quiet_s = (len(samples) - 1 - loud[-1]) / sound.sample_rate
            else:
                quiet_s += len(samples) / sound.sample_rate
    near = np.array(beeps)
    told: dict[str, Any] = {
        "frames": frames, "seconds": round(last_s, 1), "sound_seconds": round(at_s, 1), "flashes": len(flashes),
        "beeps": len(beeps), "mib": round(path.stat().st_size / 2**20, 1),
    }  # fmt: skip
    for name, since_s, until_s in (("first", 0.0, WINDOW_S), ("last", last_s - WINDOW_S, last_s)):
        inside = [at for at in flashes.values() if since_s <= at < until_s]
        gaps = [1000 * float(near[np.abs(near - at).argmin()] - at) for at in inside] if len(near) else []
        told[f"{name}_minute_apart"] = apart([gap for gap in gaps if abs(gap) < 1000])
    return told


def played(program: str, path: Path, profile: Path) -> dict[str, Any]:
    """Play a recording in a browser; return its length, and how many of the places sought in showed their picture."""
    with av.open(str(path)) as film:
        shown = [(float(frame.time), number_in(frame.to_ndarray(format="rgb24"))) for frame in film.decode(video=0)]
    readable = [index for index, (_, number) in enumerate(shown[:-1]) if number is not None]
    places = [readable[at] for at in np.random.default_rng(20).integers(0, len(readable), 40)]
    times = [(shown[place][0] + shown[place + 1][0]) / 2 for place in places]
    told = browsers.report_of(program, PLAYER.replace("TIMES", json.dumps(times)), {"recording.mp4": path}, profile)
    if "error" in told:
        return dict(told)
    right = sum(shown[place][1] == number for place, number in zip(places, told["numbers"], strict=True))
    return {"seconds": round(told["seconds"], 1), "sought": len(places), "right": right}


def main() -> None:
    """Measure, and print one JSON document."""
    parser = argparse.ArgumentParser()
    parser.add_argument("browser", choices=["chromium", "firefox"])
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--size", default="512x288", help="of the output and of what is sent")
    parser.add_argument("--silent", action="store_true", help="without sound, to see what it costs")
    parser.add_argument("--keep", type=Path, help="folder for the recording")
    options = parser.parse_args()
    program = CHROMIUM if options.browser == "chromium" else FIREFOX
    assert program is not None, "not installed"
    with tempfile.TemporaryDirectory() as folder:
        server = Serving(Path(folder), slots=2, port=free_port(), environ={"VIVACE_SERVE_SIZE": options.size})
        words = {
            '"SECONDS" / 1': str(options.seconds),
            "SIZE": options.size,
            "SERVER": server.url.rstrip("/"),
            '"WITH"': '"silent"' if options.silent else '"sound"',
        }
        page = PAGE.read_text("utf-8")
        for word, value in words.items():
            page = page.replace(word, value)
        with browsers._served(page, {}, {}) as (url, reports):
            server.environ["VIVACE_SERVE_ALLOWED_ORIGINS"] = url.rstrip("/")
            server.start()
            profile = Path(folder) / "profile"
            profile.mkdir()
            try:
                server.wait()
                with (profile / "log").open("wb") as log:
                    process = subprocess.Popen(browsers._command(program, url, profile), stdout=log, stderr=log)
                try:
                    found = json.loads(reports.get(timeout=options.seconds + 180))
                finally:
                    process.terminate()
                    process.wait(60)
            finally:
                server.stop(signal.SIGTERM)
        if "error" in found:
            sys.exit(f"{found['error']}\n{server.log()[-2000:]}")
        windows = found.pop("windows")
        told: dict[str, Any] = {"browser": options.browser, "load": os.getloadavg(), **found}
        for name, window in zip(("first_minute", "last_minute"), windows, strict=True):
            told[name] = {"glass_to_glass": summary(window["glassMs"]), "flashes": window["flashes"]}
            if all(ms is not None for ms in window["displayMs"]):  # Firefox does not tell when a picture came
                told[name]["received_to_displayed"] = summary(window["displayMs"])
            told[name]["apart"] = apart(window["apartMs"])
        for path in (Path(folder) / "recordings").glob("*.mp4"):
            told["recording"] = of_recording(path)
            for player in filter(None, (CHROMIUM, FIREFOX)):
                told["recording"][Path(player).name] = played(player, path, Path(folder) / f"{Path(player).name}-plays")
            if options.keep is not None:
                options.keep.mkdir(parents=True, exist_ok=True)
                path.rename(options.keep / path.name)
        course = told.pop("held")
        print(json.dumps(told, indent=1), *map(json.dumps, course), sep="\n")


if __name__ == "__main__":
    main()
