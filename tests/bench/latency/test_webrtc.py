"""The WebRTC path: numbers survive it, figures belong to the sent pictures, and a server is started and stopped."""

from __future__ import annotations

import base64
import io
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

import vivace
from fakes import FakeClock, FakeModel
from vivace.bench.job import Found, Job
from vivace.bench.latency.benchmark import LatencyOptions, latency_metrics, measure_latency, webrtc_metrics
from vivace.bench.latency.take import Shown
from vivace.bench.latency.webrtc import CASES, WebRtcCase
from vivace.bench.latency.webrtc_code import BITS, Code, unwrap
from vivace.bench.latency.webrtc_run import OPENERS, SERVED, Notebook, _control_indices, live, serving
from vivace.bench.latency.webrtc_server import SlowModel
from vivace.bench.systems.foreign import command_spec
from vivace.bench.systems.system import SystemSpec, model_spec, passthrough_spec
from vivace.errors import UsageError
from vivace.models.base import Chunk
from vivace.rtc.encoding import LiveEncoder, YuvConverter, full_bitrate

SIZES = [(128, 96), (256, 256), (512, 288)]


@pytest.mark.parametrize("size", SIZES)
@given(number=st.integers(0, 2**BITS - 1))
def test_a_number_is_read_as_it_was_drawn(size: tuple[int, int], number: int) -> None:
    code = Code(size)
    grey = np.full((size[1], size[0], 3), 90, np.uint8)
    assert code.read(code.draw(grey, number)) == number
    assert grey.max() == 90


@pytest.mark.parametrize("level", [0, 255, 120])
def test_a_picture_without_a_number_is_not_taken_for_one(level: int) -> None:
    assert Code((256, 256)).read(np.full((256, 256, 3), level, np.uint8)) is None


def test_one_wrong_cell_is_noticed() -> None:
    code = Code((256, 256))
    picture = code.draw(np.zeros((256, 256, 3), np.uint8), 1234)
    picture[:16, 48:64] = 255 - picture[:16, 48:64]
    assert code.read(picture) is None


@pytest.mark.parametrize("size", SIZES)
def test_the_mask_covers_the_cells_and_leaves_most_to_the_model(size: tuple[int, int]) -> None:
    code = Code(size)
    url = code.mask_url()
    head, _, data = url.partition(",")
    assert head == "data:image/png;base64"
    mask = np.asarray(Image.open(io.BytesIO(base64.b64decode(data))))
    assert mask.shape == (size[1], size[0])
    changed = code.draw(np.full((size[1], size[0], 3), 90, np.uint8), 1777)[..., 0] != 90
    assert not mask[changed].any()
    assert (mask == 255).mean() > 0.8


@given(near=st.integers(0, 10**6), step=st.integers(-1000, 1000))
def test_a_number_is_unwrapped_to_the_nearest(near: int, step: int) -> None:
    assert unwrap((near + step) % 2**BITS, near) == near + step


def test_a_number_survives_the_codec_that_carries_it() -> None:
    import av

    code, converter = Code((256, 256)), YuvConverter()
    encoder = LiveEncoder("H264", (256, 256), full_bitrate((256, 256)) // 4)
    decoder = av.CodecContext.create("h264", "r")
    noise = np.random.default_rng(0).integers(0, 255, (256, 256, 3), dtype=np.uint8)
    for number in range(20):
        packet = encoder.encode(converter.convert(code.draw(noise, number)), number * 3000)
        (picture,) = decoder.decode(packet)
        assert code.read(picture.to_ndarray(format="rgb24")) == number


def test_a_slow_model_takes_its_time_and_paints_the_same() -> None:
    clock = FakeClock()
    model = FakeModel()
    slow = SlowModel(model, 100.0, clock=clock, sleep=clock.advance)
    twin = FakeModel()
    prompt = model.encode_prompt("red")
    chunk = Chunk(np.zeros((1, 48, 64, 3), np.uint8), prompt.embeds, None, 1.0)
    before_s = clock()
    (made,) = slow.step([slow.open((64, 48))], [chunk])
    assert clock() - before_s == pytest.approx(0.1)
    (same,) = twin.step([twin.open((64, 48))], [chunk])
    assert np.array_equal(made.rgb, same.rgb)


def test_a_picture_nobody_spoke_of_has_the_controls_of_the_one_before() -> None:
    notes = Notebook(shown=[Shown(k, 0.0, 0.0) for k in range(4)], stamps=[1, 2, 3, 4], controls={2: 5, 4: 6})
    assert _control_indices(notes) == [0, 5, 5, 6]


def test_every_case_says_what_it_is() -> None:
    names = [case.name for case in CASES]
    assert len(set(names)) == len(names)
    assert names[0] == "webrtc/30fps/256x256"
    assert names[-1] == "webrtc/30fps/256x256/step 100 ms"
    assert not latency_metrics().keys() & webrtc_metrics().keys()


def test_each_path_has_its_own_process() -> None:
    jobs: list[Job] = []

    def run(job: Job, report: object) -> Found:
        jobs.append(job)
        return Found()

    case = WebRtcCase((64, 64), 30.0, sessions=2, step_ms=50.0)
    measure_latency(LatencyOptions(model_spec("mini"), (case,), path="webrtc"), lambda *_: None, run=run)
    (job,) = jobs
    assert job.task == "vivace.bench.latency.webrtc_run:live"
    assert (job.settings["sessions"], job.settings["step_ms"]) == (2, 50.0)


def test_what_cannot_be_served_is_refused() -> None:
    settings = {"size": (64, 64), "fps": 30.0}
    with pytest.raises(UsageError, match="theirs"):
        live(Job("t", command_spec("true", "theirs"), settings), lambda *_: None)


@pytest.mark.e2e
def test_the_server_of_another_checkout_is_entirely_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "vivace"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "__main__.py").write_text(
        "import os, signal, sys\n"
        "print('http://there/?' + os.environ['VIVACE_SERVE_THREADS'] + sys.argv[1], flush=True)\n"
        "signal.pause()\n"
    )
    monkeypatch.setenv("VIVACE_SERVE_PORT", "1")
    monkeypatch.chdir(Path(vivace.__file__).parent.parent)  # a folder with another vivace in it
    with serving("mini", 1, None, threads=3, code=str(tmp_path)) as url:
        assert url == "http://there/?3serve"


@pytest.mark.e2e
def test_a_slowed_server_of_another_checkout_needs_nothing_of_its_benchmark(tmp_path: Path) -> None:
    ours, package = Path(vivace.__file__).parent, tmp_path / "vivace"
    (package / "serve").mkdir(parents=True)
    for part in ours.iterdir():
        if part.name not in ("bench", "serve"):
            (package / part.name).symlink_to(part)
    (package / "serve" / "settings.py").write_text("ServeSettings = dict")
    (package / "serve" / "main.py").write_text(
        "import signal\n"
        "def serve(settings, load_model):\n"
        "    print(f'http://there/?{settings[\"slots\"]}', flush=True)\n"
        "    signal.pause()\n"
    )
    with serving("mini", 2, 50.0, code=str(tmp_path)) as url:
        assert url == "http://there/?2"


@pytest.mark.e2e
@pytest.mark.slow
def test_a_short_take_through_a_real_server_has_all_figures() -> None:
    settings = {
        "case": "c",
        "size": (256, 256),  # a size that a server compiles before it listens
        "fps": 20.0,
        "frames": 60,
        "prompt": "watercolour painting",
        "prompts": ["oil painting", "black ink brush drawing"],
        "prompt_every_s": 0.9,
        "seed": 0,
    }
    found = live(Job("t", model_spec("mini"), settings), lambda *_: None)
    values = {value.metric: value.value for value in found.values}
    for metric in ("capture_to_present_ms_p50", "prompt_to_pixel_ms_mean", "live_first_frame_s", "shown_fps"):
        assert values[metric] is not None
        assert values[metric] > 0, metric
    assert values["misread_share"] < 0.05
    assert values["dropped_share"] < 1
    assert not found.not_run


@pytest.mark.parametrize("spec", [model_spec("mini", 2), passthrough_spec()])
def test_what_can_be_served_names_the_model_for_the_server(spec: SystemSpec) -> None:
    assert spec.opener in OPENERS
    assert spec.arguments["model"] == "mini"
    assert spec.arguments.keys() <= SERVED


@pytest.mark.e2e
@pytest.mark.slow
def test_the_stream_without_its_model_is_served_as_well() -> None:
    """It is the baseline of every measured model."""
    how = {"prompt": "ink", "prompts": ["oil"], "prompt_every_s": 0.5, "seed": 0}
    settings = {"case": "c", "size": (256, 256), "fps": 20.0, "frames": 60, **how}  # compiled before it listens
    found = live(Job("t", passthrough_spec(), settings), lambda *_: None)
    values = {value.metric: value.value for value in found.values}
    assert values["shown_fps"] is not None
    assert values["shown_fps"] > 0
    assert list(found.not_run) == ["prompt_to_pixel_ms"]
