#!/usr/bin/env bash
# PyAV 18.1.0: an audio encoder takes frames whose `time_base` differs, which each of them states rightly, and stamps the packets
# wrongly without a word. The first frame fixes the unit in which the encoder's own resampler counts; later frames are read as if they
# counted in that one. Frames come so by themselves: those of an MPEG transport stream count in 1/90000, and `AudioResampler` hands
# through what needs no change (1/90000) and gives 1/rate for what does, as when a recording turns from stereo to 5.1 half way.
#
# Expected: pts of the packets rise by 1024 for each 1024 samples, or an error names the two time bases.
# Remedy: set `frame.pts` and `frame.time_base` in samples (1/rate) on every frame before `encode`.
#
# Seen, steps between the packets' pts, of 1024 samples each:
#   all frames in 1/48000                                1024 throughout
#   the first second in 1/90000, the second in 1/48000   1024, then a jump back of more than 10,000
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install -q "av==18.1.0" "numpy==2.3.5"
env/bin/python - <<'PYTHON'
from fractions import Fraction

import av
import numpy as np

RATE, SAMPLES = 48_000, 1024


def steps(base_of: dict[bool, Fraction]) -> list[int]:
    """Return the steps between the packets of two seconds of silence, the halves of which count in these units."""
    encoder = av.CodecContext.create("aac", "w")
    encoder.format, encoder.layout, encoder.sample_rate = "fltp", "stereo", RATE
    encoder.time_base = Fraction(1, RATE)
    packets = []
    for number in range(2 * RATE // SAMPLES):
        frame = av.AudioFrame.from_ndarray(np.zeros((2, SAMPLES), np.float32), format="fltp", layout="stereo")
        base = base_of[number * SAMPLES >= RATE]
        frame.sample_rate, frame.time_base = RATE, base
        frame.pts = round(Fraction(number * SAMPLES, RATE) / base)
        packets += encoder.encode(frame)
    times = [packet.pts for packet in packets]
    return [later - earlier for earlier, later in zip(times, times[1:])]


print("PyAV", av.__version__)
same = steps({False: Fraction(1, RATE), True: Fraction(1, RATE)})
mixed = steps({False: Fraction(1, 90_000), True: Fraction(1, RATE)})
print("one unit ", sorted(set(same)))
print("two units", min(mixed), "to", max(mixed))
assert set(same) == {SAMPLES}, "an encoder no longer counts in samples"
assert min(mixed) < -10_000, "PyAV rescales, or refuses, now"
PYTHON
echo "as described"
