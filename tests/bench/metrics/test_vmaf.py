import stat
import sys
from dataclasses import replace

import numpy as np
import pytest

import moving
from vivace.bench.metrics.vmaf import NEEDED, Vmaf
from vivace.errors import BackendUnavailableError, DeviceError

FAKE = """#!{python}
import json, sys
if "-filters" in sys.argv:
    print(" .. libvmaf           VV->V      Calculate the VMAF between two video streams.")
    sys.exit(0)
size = sys.argv[sys.argv.index("-s") + 1]
width, height = map(int, size.split("x"))
first, second = [sys.argv[i + 1] for i, arg in enumerate(sys.argv) if arg == "-i"]
one, other = open(first, "rb").read(), open(second, "rb").read()
if len(one) != len(other) or {fails}:
    print("libvmaf: cannot", file=sys.stderr)
    sys.exit(1)
frame = width * height * 3
frames = []
for i in range(len(one) // frame):
    part = slice(i * frame, (i + 1) * frame)
    # the first input is the judged one: brighter than wanted gets under 100
    lost = (sum(one[part]) - sum(other[part])) / frame
    frames.append({{"frameNum": i, "metrics": {{"vmaf": 100 - lost}}}})
json.dump({{"frames": frames}}, open("vmaf.json", "w"))
"""


@pytest.fixture
def make(tmp_path):
    def write(fails=False, text=FAKE):
        path = tmp_path / "ffmpeg"
        path.write_text(text.format(python=sys.executable, fails=fails))
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
        return str(path)

    return write


@pytest.fixture(scope="module")
def clip():
    plain = moving.footage(3)
    source = np.clip(plain.source, 0, 240)
    return replace(plain, source=source, output=source + 5, exact=source, reference=source + 5)


def test_every_frame_gets_the_value_of_ffmpeg_with_the_output_judged_first(make, clip):
    found = Vmaf(make()).measure(clip)
    assert found["vmaf"] == pytest.approx([95] * 3)
    assert found["edit_vmaf"] == pytest.approx([100] * 3)


def test_only_what_there_is_to_compare_with_is_compared(make, clip):
    assert list(Vmaf(make()).measure(replace(clip, reference=None))) == ["vmaf"]
    assert Vmaf(make()).measure(replace(clip, reference=None, exact=None)) == {}


def test_an_ffmpeg_that_has_it_is_enough(make):
    assert Vmaf(make()).reason() is None


def test_without_it_there_is_a_reason_and_never_a_value(make, clip, monkeypatch):
    bare = Vmaf(make(text="#!{python}\nprint(' ... vmafmotion  V->V  x')\n"))
    monkeypatch.setenv("PATH", "")
    for judge in (bare, Vmaf()):
        assert judge.reason() == NEEDED
        with pytest.raises(BackendUnavailableError, match="libvmaf"):
            judge.measure(clip)


def test_a_failing_ffmpeg_says_why(make, clip):
    with pytest.raises(DeviceError, match="libvmaf: cannot"):
        Vmaf(make(fails=True)).measure(clip)
