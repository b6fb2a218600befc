"""Measure models that paint chunks in the studio: `python tests/e2e/measure_chunks.py [seconds [PROFILE …]]`.

A real Chromium shows its camera through a server whose model is the tiny mirror of a profile of the causal Wan family.
Printed are the gaps between pictures on the page in periods of the camera, those that were dropped, and the delay and
the latency floor that the page tells people. Nothing here is asserted.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))
import wan_mirror
from e2e.studio import CAMERA_FPS, Serving, Studio, browser_with_camera

SECONDS = 8.0
WARM_UP_MS = 4_000
"""Time in which the window of most profiles fills, ms."""
WATCH = """
(id) => {
  const video = document.getElementById(id);
  window.shownMs = [];
  const next = (_now, { presentationTime }) => {
    window.shownMs.push(presentationTime);
    video.requestVideoFrameCallback(next);
  };
  video.requestVideoFrameCallback(next);
}
"""


def measure(browser: Any, folder: Path, name: str, seconds: float) -> dict[str, Any]:
    """Return what the studio shows of one profile."""
    path = wan_mirror.write(name, folder)
    environ = {"VIVACE_MODELS_DIR": str(folder / "mirror"), "VIVACE_SERVE_MODELS": str(path)}
    server = Serving(folder, slots=1, environ={**environ, "VIVACE_SERVE_SIZE": "64x64"})
    server.start()
    try:
        server.wait()
        studio = Studio(browser, server.url).open("a red mug")
        studio.start_camera()
        studio.wait_state("live")
        studio.page.wait_for_timeout(WARM_UP_MS)
        studio.page.evaluate(WATCH, "after")
        studio.page.wait_for_timeout(seconds * 1e3)
        shown = studio.page.evaluate("window.shownMs")
        told = {key: studio.page.inner_text(f"#{key}") for key in ("f-glass", "f-glass-sub", "f-fps", "f-drops")}
        if folder_of_pictures := os.environ.get("PICTURES"):
            studio.page.screenshot(path=str(Path(folder_of_pictures) / f"{name}.png"))
        studio.context.close()
    finally:
        server.stop(signal.SIGKILL)
    gaps = np.diff(shown) * CAMERA_FPS / 1e3
    p50, p95, most = (np.percentile(gaps, at).round(2) for at in (50, 95, 100)) if len(gaps) else (None,) * 3
    return {"profile": name, "pictures": len(shown), "gap_p50": p50, "gap_p95": p95, "gap_max": most, "told": told}


def main(seconds: float, names: list[str]) -> None:
    """Measure each profile, and print a line of JSON each."""
    for name in names or wan_mirror.PROFILES:
        with tempfile.TemporaryDirectory() as folder, browser_with_camera(Path(folder)) as browser:
            print(json.dumps(measure(browser, Path(folder), name, seconds)), flush=True)


if __name__ == "__main__":
    main(float((sys.argv[1:] or [SECONDS])[0]), sys.argv[2:])
