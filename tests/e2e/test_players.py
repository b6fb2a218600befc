"""Written files play in browsers, completely, even those that a killed process leaves behind."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import av
import pytest

from e2e.browsers import CHROMIUM, FIREFOX, FIREFOX_HAS_H264, report_of
from vivace.trust.keys import open_key
from vivace.trust.manifest import Work
from vivace.trust.signing import sign_file

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs SIGKILL"),
]

FRAMES = 60
FPS = 25
STEP = 4
"""Grey levels between two frames: picture `i` is grey `STEP * i`."""

# Seeks to the middle of each possible frame and reads its number from the picture.
PAGE = """<!doctype html><meta charset="utf-8"><body><script type="module">
const [FPS, STEP, NAMES] = {facts};
const look = async (name) => {
  const src = URL.createObjectURL(await (await fetch(name)).blob());
  const video = Object.assign(document.createElement("video"), { muted: true, preload: "auto", src });
  const happens = (event) => new Promise((resolve, reject) => {
    video.addEventListener(event, resolve, { once: true });
    video.addEventListener("error", () => reject(new Error(video.error.message)), { once: true });
  });
  await happens("loadeddata");
  const canvas = Object.assign(document.createElement("canvas"), { width: 8, height: 8 });
  const ctx = canvas.getContext("2d", { willReadFrequently: true });
  const numbers = [];
  for (let frame = 0; (frame + 0.5) / FPS < video.duration; frame += 1) {
    video.currentTime = (frame + 0.5) / FPS;
    await happens("seeked");
    let number = -1;
    for (let patience = 50; patience > 0 && number !== frame; patience -= 1) {
      await new Promise((resolve) => setTimeout(resolve, 2));  // "seeked" may come a moment before the picture
      ctx.drawImage(video, 0, 0, 8, 8);
      number = Math.round(ctx.getImageData(4, 4, 1, 1).data[1] / STEP);
    }
    numbers.push(number);
  }
  return { duration: video.duration, numbers };
};
const all = {};
for (const name of NAMES) all[name] = await look(name).catch((error) => ({ error: error.message }));
await fetch("/report", { method: "POST", body: JSON.stringify(all) });
</script>"""

PICTURES = """
import os, signal, sys
from fractions import Fraction
import numpy as np
from vivace.media.frame import Frame
path, frames, fps, step = sys.argv[1], *map(int, sys.argv[2:5])
pictures = [Frame(np.full((48, 64, 3), step * i, np.uint8), i, i, Fraction(1, fps), i / fps) for i in range(frames)]
"""
SINK = f"""{PICTURES}
from vivace.media.open import open_sink
from vivace.media.open import open_source
sound = open_source(sys.argv[5]) if len(sys.argv) > 5 else None
sink = open_sink(path, fps=fps, audio_from=sound)
for picture in pictures:
    sink.write(picture)
"""
RECORDING = f"""{PICTURES}
import threading
from pathlib import Path
from vivace.serve.recording import Recording, RecordingLimits
sound, packets = None, []
if len(sys.argv) > 5:  # as it comes over WebRTC
    sys.path.insert(0, sys.argv[5])
    from sounds import opus, timed
    from vivace.media.live_sound import LiveSound
    sound, packets = LiveSound("test"), list(timed(opus(frames / fps, (0.3,))))
    sound.put(packets.pop(0))
limits = RecordingLimits(2**30, 3600.0, 2**34)
recording = Recording(Path(path), limits, on_closed=lambda *_: None, on_drop=lambda: None, sound=sound)
for picture in pictures:
    while packets and packets[0].time_s < picture.pts_s + 0.05:
        sound.put(packets.pop(0))
    recording.offer(picture)
    while recording.frames <= picture.index:
        threading.Event().wait(0.0005)
"""
KILL = "os.kill(os.getpid(), signal.SIGKILL)\n"


def write(path: Path, code: str, *arguments: object, killed: bool) -> None:
    """Write the numbered frames in a separate process, which is killed or ends normally."""
    code += KILL if killed else "sink.close()\n"
    command = [sys.executable, "-c", code, path, FRAMES, FPS, STEP, *arguments]
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, check=False)
    assert done.returncode == (-signal.SIGKILL if killed else 0), done.stderr


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Return files by name: written to their end, and left by a killed process."""
    folder = tmp_path_factory.mktemp("written")
    found = {name: folder / name for name in ("whole.mp4", "whole-sound.mp4", "cut.mp4", "cut-sound.mp4", "record.mp4")}
    found |= {name: folder / name for name in ("signed.mp4", "record-sound.mp4", "whole-hls-sound.mp4")}
    sound = folder / "tone.mp4"
    with av.open(str(sound), "w") as container:
        audio: Any = container.add_stream("aac", rate=48_000)
        video: Any = container.add_stream("libx264", rate=FPS)
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        samples = av.AudioFrame(format="fltp", layout="mono", samples=48_000 * FRAMES // FPS)
        for plane in samples.planes:
            plane.update(bytes(plane.buffer_size))
        samples.sample_rate = 48_000
        container.mux(audio.encode(samples))
        container.mux(audio.encode(None))
        picture = av.VideoFrame(64, 48, "yuv420p")
        container.mux(video.encode(picture))
        container.mux(video.encode(None))
    write(found["whole.mp4"], SINK, killed=False)
    write(found["whole-sound.mp4"], SINK, sound, killed=False)
    write(found["cut.mp4"], SINK, killed=True)
    write(found["cut-sound.mp4"], SINK, sound, killed=True)
    write(found["record.mp4"], RECORDING, killed=True)
    write(found["record-sound.mp4"], RECORDING, Path(__file__).parents[1], killed=True)
    write(folder / "live.m3u8", SINK, sound, killed=False)
    segments = sorted(folder.glob("live-*.m4s"))  # in order, as a player of HLS hands them on
    found["whole-hls-sound.mp4"].write_bytes(
        b"".join(path.read_bytes() for path in (folder / "live-init.mp4", *segments))
    )
    shutil.copy(found["whole-sound.mp4"], found["signed.mp4"])
    sign_file(found["signed.mp4"], Work("numbers", model="mini", painted=True), open_key(folder=folder / "keys"))
    return found


@pytest.mark.parametrize(
    "browser",
    [
        pytest.param(
            FIREFOX,
            id="firefox",
            marks=[
                pytest.mark.slow,
                pytest.mark.skipif(
                    FIREFOX is None or not FIREFOX_HAS_H264,
                    reason="needs Firefox and, on Linux, libavcodec (apt-get install firefox-esr libavcodec-extra)",
                ),
            ],
        ),
        pytest.param(
            CHROMIUM,
            id="chromium",
            marks=pytest.mark.skipif(CHROMIUM is None, reason="needs chromium (Debian: apt-get install chromium)"),
        ),
    ],
)
def test_browsers_show_every_frame_that_is_in_the_file(browser: str, files: dict[str, Path], tmp_path: Path) -> None:
    page = PAGE.replace("{facts}", json.dumps([FPS, STEP, sorted(files)]))
    seen = report_of(browser, page, files, tmp_path / "profile")
    assert {name: found.get("error") for name, found in seen.items()} == dict.fromkeys(files)
    for name, path in files.items():
        with av.open(str(path)) as container:
            there = sum(1 for _ in container.decode(video=0))
        assert there == FRAMES or (not name.startswith("whole") and there >= FRAMES - FPS // 2 - 2), name
        # Firefox ends with the track that ends first, which may be the sound, by less than a frame.
        shown = seen[name]["numbers"][:there]
        assert len(shown) >= there - ("sound" in name), name
        assert shown == list(range(len(shown))), name
