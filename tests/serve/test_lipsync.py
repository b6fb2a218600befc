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
