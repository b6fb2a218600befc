"""Measure in a real Chromium: `python tests/e2e/measure_studio.py [seconds [WxH]]`, with WxH the size of the output.

It measures the time of a page to its first painted picture, from the request (a camera's tile is pressed as soon as
there is one) and from that press; pictures a second with and without presets being painted beside them, in turn; then
glass-to-glass and prompt-to-pixel.

A separate page uses `vivace.js` like any application. Each frame it sends carries its number in a strip of black and
white squares that the mask leaves untouched; the number is read again from the picture on screen. So the studio's own
figure, which comes from timestamps, is checked by one from pixels. Nothing here is asserted.
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
from e2e.studio import Serving, browser_with_camera
from vivace.media.size import parse_size

SECONDS = 20.0
STARTS = 11
"""Number of opened pages; the first of a server is left out."""

START = """
(() => {
  const look = () => {
    const tile = document.querySelector("#tiles button");
    if (!tile || document.body.dataset.state !== "idle") return setTimeout(look, 5);
    document.getElementById("prompt").value = "ink";
    const pressed = performance.now();
    document.getElementById("after").requestVideoFrameCallback((_now, { expectedDisplayTime }) => {
      window.startMs = { page: expectedDisplayTime, press: expectedDisplayTime - pressed };
    });
    tile.click();
  };
  addEventListener("DOMContentLoaded", look);
})();
"""
"""Script of a person who does not wait. Times of a page count from its navigation."""

MEASURE = """
async ({ seconds, prompts, px }) => {
  const { connect } = await import("/vivace.js");
  const { drawScene, SCENE_SIZE: [w, h] } = await import("/studio/scene.js");
  const BITS = 12, SQUARE = w / BITS, STRIP = 2 * Math.round(SQUARE / 2);
  const canvas = Object.assign(document.createElement("canvas"), { width: w, height: h });
  const ctx = canvas.getContext("2d", { alpha: false });

  // Number in the upper half of the strip, its complement in the lower.
  const drawnMs = new Map();
  let number = 0;
  const draw = () => {
    number = (number + 1) % (1 << BITS);
    drawScene(ctx, performance.now() / 1000);
    for (let bit = 0; bit < BITS; bit += 1) {
      const on = (number >> bit) & 1;
      ctx.fillStyle = on ? "#fff" : "#000";
      ctx.fillRect(bit * SQUARE, 0, SQUARE, STRIP / 2);
      ctx.fillStyle = on ? "#000" : "#fff";
      ctx.fillRect(bit * SQUARE, STRIP / 2, SQUARE, STRIP / 2);
    }
    drawnMs.set(number, performance.now());
  };
  const timer = setInterval(draw, 1000 / 30);
  draw();

  const mask = Object.assign(document.createElement("canvas"), { width: w, height: h });
  const maskCtx = mask.getContext("2d");
  maskCtx.fillRect(0, 0, w, h);
  maskCtx.fillStyle = "#fff";
  maskCtx.fillRect(0, STRIP, w, h - STRIP);

  const controls = { prompt: prompts[0], crossfade_s: 0, mask: mask.toDataURL("image/png") };
  const session = await connect({ controls });
  const video = Object.assign(document.createElement("video"), { muted: true, playsInline: true, width: w, height: h });
  document.body.replaceChildren(video);
  const live = new Promise((resolve) => {
    session.addEventListener("state", ({ detail }) => detail.state === "live" && resolve());
  });
  session.play(video);
  await session.limitSize(px);
  await session.publish(canvas.captureStream(30));
  await live;

  const look = new OffscreenCanvas(BITS, 2).getContext("2d", { willReadFrequently: true });
  const glassMs = [];
  let unread = 0;
  const next = (_now, { expectedDisplayTime }) => {
    let read = 0, sure = true;
    for (let bit = 0; bit < BITS; bit += 1) {
      const x = ((bit + 0.25) * SQUARE * video.videoWidth) / w, half = (STRIP / 2 / h) * video.videoHeight;
      look.drawImage(video, x, half * 0.25, (SQUARE / 2 / w) * video.videoWidth, half / 2, 0, 0, 1, 1);
      look.drawImage(video, x, half * 1.25, (SQUARE / 2 / w) * video.videoWidth, half / 2, 0, 1, 1, 1);
      const { data } = look.getImageData(0, 0, 1, 2);
      if (Math.abs(data[0] - data[4]) < 60) sure = false;
      if (data[0] > data[4]) read |= 1 << bit;
    }
    if (sure && drawnMs.has(read)) glassMs.push(expectedDisplayTime - drawnMs.get(read));
    else unread += 1;
    video.requestVideoFrameCallback(next);
  };
  const wait = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
  await wait(2000);
  video.requestVideoFrameCallback(next);

  const promptMs = [];
  session.addEventListener("shown", ({ detail }) => promptMs.push(detail.ms));
  for (let turn = 1; turn <= seconds; turn += 1) {
    await wait(1000);
    await session.update({ prompt: prompts[turn % prompts.length] });
  }
  await wait(500);
  const own = session.glass.summary(), { fps_out, drops, stages_ms } = session.stats;
  clearInterval(timer);
  session.end();
  return { glassMs, promptMs, own, unread, fps_out, drops, server_p50_ms: stages_ms.server?.p50 };
}
"""


SHOWN = "studio.stage.after.getVideoPlaybackQuality().totalVideoFrames"
"""Number of pictures that the page has shown."""
TURNS = 2
TURN_MS = 8_000
"""About as long as the presets' pictures take, ms."""


def summary(values: list[float]) -> dict[str, Any]:
    """Return the count, and percentiles in ms."""
    p50, p95, p99 = np.percentile(values, [50, 95, 99]).round(1)
    return {"n": len(values), "p50_ms": p50, "p95_ms": p95, "p99_ms": p99}


def start_times(browser: Any, url: str) -> dict[str, Any]:
    """Return the times of successive pages to their first painted picture."""
    found = []
    for _ in range(STARTS):
        page = browser.new_page()
        page.add_init_script(START)
        page.goto(url)
        while (times := page.evaluate("window.startMs")) is None:
            page.wait_for_timeout(50)
        found.append(times)
        with page.expect_event("close"):
            page.close(run_before_unload=True)
    return {since: summary([times[since] for times in found[1:]]) for since in ("page", "press")}


def beside_presets(browser: Any, url: str) -> dict[str, list[float]]:
    """Return pictures shown a second while the presets' own are painted, and while they are not."""
    fps: dict[str, list[float]] = {"painted": [], "not_painted": []}
    for _ in range(TURNS):
        for name, found in fps.items():
            page = browser.new_page()
            asked: list[str] = []
            page.on("request", lambda request, asked=asked: asked.append(request.url))
            if name == "not_painted":
                page.route("**/thumbnail", lambda route: route.fulfill(status=503, json={"code": "no_thumbnail"}))
            page.add_init_script(START)
            page.goto(url)
            page.wait_for_selector('body[data-state="live"]')
            while not any(address.endswith("/thumbnail") for address in asked):
                page.wait_for_timeout(50)
            before = page.evaluate(f"[{SHOWN}, performance.now()]")
            page.wait_for_timeout(TURN_MS)
            after = page.evaluate(f"[{SHOWN}, performance.now()]")
            found.append(round(1e3 * (after[0] - before[0]) / (after[1] - before[1]), 1))
            with page.expect_event("close"):
                page.close(run_before_unload=True)
    return fps


def main(seconds: float, size: str) -> None:
    """Measure, and print one JSON document."""
    width, height = parse_size(size)
    os.environ["VIVACE_SERVE_SIZE"] = size
    with tempfile.TemporaryDirectory() as folder, browser_with_camera(Path(folder), (1280, 720)) as browser:
        server = Serving(Path(folder), slots=2)  # a page that leaves keeps its slot for a moment
        server.start()
        try:
            server.wait()
            starts = start_times(browser, server.url)
            beside = beside_presets(browser, server.url)
            page = browser.new_page()
            page.goto(server.url)
            asked = {"seconds": seconds, "prompts": ["ink", "a moonlit night", "watercolour"], "px": width * height}
            found = page.evaluate(MEASURE, asked)
        finally:
            server.stop(signal.SIGKILL)
    told: dict[str, Any] = {"first_painted": starts, "fps_with_presets": beside}
    for name, key in (("glass_to_glass", "glassMs"), ("prompt_to_pixel", "promptMs")):
        told[name] = summary(found.pop(key))
    print(json.dumps({**told, **found}, indent=1))


if __name__ == "__main__":
    main(float((sys.argv[1:] or [SECONDS])[0]), (sys.argv[2:] or ["342x192"])[0])
