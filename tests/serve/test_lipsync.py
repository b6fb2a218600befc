"""Sound and picture in step, in a page: what is early is held back."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

import vivace.serve

pytestmark = pytest.mark.skipif(
    shutil.which("node") is None, reason="needs Node.js (Debian: apt-get install nodejs npm)"
)

MODULE = Path(vivace.serve.__file__).with_name("web") / "lipsync.js"
HOLD = """
import { LipSync } from MODULE;
const receivers = ["audio", "video"].map((kind) => ({ track: { kind }, jitterBufferTarget: 0 }));
const sync = new LipSync({ connectionState: "closed", getReceivers: () => receivers });
EARLY.forEach((earlyMs, at) => {
  const part = (kind, estimatedPlayoutTimestamp) => [kind, {
    type: "inbound-rtp", kind, estimatedPlayoutTimestamp, packetsReceived: at + 1,
    jitterBufferEmittedCount: 50 * at, jitterBufferTargetDelay: 50 * at * 0.02,
  }];
  sync.look(new Map(earlyMs === null ? [part("video", 1000)] : [part("audio", 1000 + earlyMs), part("video", 1000)]));
});
console.log(JSON.stringify(receivers.map(({ jitterBufferTarget }) => jitterBufferTarget)));
process.exit();
"""
"""Program that tells what sound and picture are held back, ms, after reports of sound that is so early (null: none)."""


@pytest.mark.parametrize(
    ("early", "held"),
    [
        ([-30, -50, -40], [0, 60]),
        ([30, 50, 40], [60, 0]),
        ([-40] * 3 + [30] * 3, [0, 30]),
        ([-5, 4, -6, 12, 0, -3, 5, 7], [0, 0]),
        ([-10] * 8, [0, 30]),
        ([-40, -40, None, -40, -40], [0, 0]),
    ],
)
def test_what_is_early_is_held_back_by_as_much(early: list[float | None], held: list[int]) -> None:
    """Buffers of 20 ms hold that much more; what is held back of the other is let go first."""
    program = HOLD.replace("MODULE", json.dumps(MODULE.as_uri())).replace("EARLY", json.dumps(early))
    done = subprocess.run(["node", "--input-type=module", "-e", program], capture_output=True, text=True, check=False)
    assert json.loads(done.stdout or "null") == held, done.stderr


STALLED = """
import { LipSync } from MODULE;
const receivers = ["audio", "video"].map((kind) => ({ track: { kind }, jitterBufferTarget: 0 }));
const sync = new LipSync({ connectionState: "closed", getReceivers: () => receivers });
const least = { audio: 40, video: 20 }, browser = { audio: 0, video: HELD }, target = {};
const sums = { audio: [0, 0], video: [0, 0] }, told = [];
for (let look = 1; look <= 400; look += 1) {
  for (const { track: { kind }, jitterBufferTarget } of receivers) {
    target[kind] = Math.max(least[kind], browser[kind], jitterBufferTarget);
    sums[kind][0] += 0.05 * target[kind];
    sums[kind][1] += 0.05 * least[kind];
  }
  const earlyMs = target.video - target.audio;
  const [late, early] = earlyMs > 0 ? ["video", "audio"] : ["audio", "video"];
  if (Math.abs(earlyMs) > 30) {
    if (browser[late] > least[late]) browser[late] -= Math.abs(earlyMs) / 8;
    else browser[early] = target[early] + Math.abs(earlyMs) / 8;
  }
  sync.look(new Map(["audio", "video"].map((kind) => [kind, {
    type: "inbound-rtp", kind, packetsReceived: look, estimatedPlayoutTimestamp: kind === "audio" ? earlyMs : 0,
    jitterBufferEmittedCount: 50 * look,
    jitterBufferTargetDelay: sums[kind][0], jitterBufferMinimumDelay: sums[kind][1],
  }])));
  told.push({ ...target });
}
console.log(JSON.stringify(told));
process.exit();
"""
"""Program with a browser that holds pictures back after a stall, and lets go by an eighth of the difference a look, as
Firefox does; it tells how long both are buffered, ms, at each look."""


@pytest.mark.parametrize("held_ms", [100, 220, 600])
def test_neither_waits_for_the_other_long_after_a_stall(held_ms: int) -> None:
    """Both were held for good once: the browser held pictures for late sound, and the page sound for those pictures."""
    program = STALLED.replace("MODULE", json.dumps(MODULE.as_uri())).replace("HELD", str(held_ms))
    done = subprocess.run(["node", "--input-type=module", "-e", program], capture_output=True, text=True, check=False)
    buffered = json.loads(done.stdout or "null")
    assert buffered is not None, done.stderr
    assert buffered[0]["video"] == held_ms
    assert all(abs(each["video"] - each["audio"]) <= 60 for each in buffered[3 if held_ms <= 300 else 60 :]), buffered
    assert max(buffered[-1].values()) <= 40 + 20 + 30, buffered  # what sound needs, what is let be here, and there
    assert abs(buffered[-1]["video"] - buffered[-1]["audio"]) <= 30, buffered
