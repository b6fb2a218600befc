"""Unpainted clips come out unchanged: times, lengths, colours and sound."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import accumulate
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vivace.media import encode
from vivace.media.audio import COPYABLE
from vivace.media.open import open_sink, open_source
from vivace.media.registry import VIDEO_FORMATS

from .clips import beep, grey, quarters, read_all

Clip = Callable[..., Path]


@pytest.fixture
def lossless(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let H.264 be lossless, so that it changes nothing."""
    for muxer in ("mp4", "mov", "matroska"):
        options = {"preset": "ultrafast", "tune": "zerolatency", "qp": "0"}
        monkeypatch.setitem(encode._CODECS, muxer, ("libx264", options))


def noisy(count: int, size: tuple[int, int] = (64, 48)) -> list[np.ndarray[Any, Any]]:
    rng = np.random.default_rng(0)
    return [rng.integers(0, 256, (size[1], size[0], 3), dtype=np.uint8) for _ in range(count)]


def planes(path: Path) -> list[np.ndarray[Any, Any]]:
    return [frame.to_ndarray() for frame in read_all(path)]


@pytest.mark.usefixtures("lossless")
def test_an_unpainted_picture_is_encoded_as_it_was_decoded_by_every_output(clip: Clip, tmp_path: Path) -> None:
    path = clip("in.mp4", noisy(12))
    outputs = [tmp_path / "a.mp4", tmp_path / "b.mkv"]
    with open_source(path) as source, open_sink(outputs[0]) as first, open_sink(outputs[1]) as second:
        for frame in source:
            first.write(frame)
            second.write(frame)
    for output in outputs:
        np.testing.assert_array_equal(planes(output), planes(path))
    assert sum(frame.key_frame for frame in read_all(outputs[0])) == 1, "the encoder decides, not the source"


@pytest.mark.usefixtures("lossless")
def test_a_picture_that_was_painted_is_not_the_decoders(clip: Clip, tmp_path: Path) -> None:
    output = tmp_path / "out.mp4"
    with open_source(clip("in.mp4", noisy(2))) as source, open_sink(output) as sink:
        for frame in source:
            sink.write(replace(frame, rgb=grey(99)))
    with open_source(output) as source:
        assert all(np.abs(frame.rgb.astype(int) - 99).max() <= 1 for frame in source)


WEIGHTS = {1: (0.2126, 0.0722), 5: (0.299, 0.114), 6: (0.299, 0.114), 9: (0.2627, 0.0593)}
"""Weights of red and blue in luma, by H.273's number of the matrix."""
SOUNDS = ("aac", "mp3", "flac", "opus")
ENCODERS = {"mp3": "libmp3lame", "opus": "libopus"}


@dataclass(frozen=True)
class Made:
    """Parameters of a clip."""

    suffix: str
    size: tuple[int, int]
    pixels: str
    matrix: int
    full_range: bool
    b_frames: int
    time_base: Fraction
    stamps: tuple[int, ...]
    last: int
    sound: str | None

    @property
    def is_as_written(self) -> bool:
        """True if nothing has to be converted."""
        return (self.pixels, self.matrix, self.full_range) == ("yuv420p", 1, False)


@st.composite
def clips(draw: st.DrawFn) -> Made:
    pixels = draw(st.sampled_from(["yuv420p", "yuv422p", "yuv444p", "yuv420p10le", "yuv444p10le"]))
    step = 1 if "444" in pixels else 2
    size = (step * draw(st.integers(16, 60)), step * draw(st.integers(16, 60)))
    rate = draw(st.sampled_from([Fraction(15), Fraction(24_000, 1001), Fraction(25), Fraction(60), Fraction(240)]))
    varies = draw(st.booleans())
    steps = draw(st.lists(st.integers(1, 9), min_size=3, max_size=9)) if varies else [1] * draw(st.integers(3, 9))
    return Made(
        suffix=draw(st.sampled_from(["mp4", "mov", "mkv"])),
        size=size,
        pixels=pixels,
        matrix=draw(st.sampled_from(sorted(WEIGHTS))),
        full_range=draw(st.booleans()),
        b_frames=draw(st.sampled_from([0, 2])),
        time_base=1 / rate,
        stamps=tuple(accumulate(steps, initial=draw(st.sampled_from([0, 7])))),
        last=draw(st.integers(1, 20)),
        sound=draw(st.sampled_from([None, *SOUNDS])),
    )


def write(path: Path, made: Made) -> None:
    with av.open(str(path), "w") as container:
        quick = {"preset": "ultrafast", "qp": "0", "bf": str(made.b_frames)}
        stream: Any = container.add_stream("libx264", rate=1 / made.time_base, options=quick)
        stream.width, stream.height, stream.pix_fmt = *made.size, made.pixels
        context = stream.codec_context
        context.time_base = made.time_base
        context.colorspace, context.color_range = made.matrix, 2 if made.full_range else 1
        audio: Any = None
        if made.sound:
            audio = container.add_stream(ENCODERS.get(made.sound, made.sound), rate=48_000, layout="mono")
        for at in made.stamps:
            frame = av.VideoFrame.from_ndarray(quarters(made.size), format="rgb24").reformat(
                format=made.pixels,
                dst_colorspace=made.matrix,
                dst_color_range="JPEG" if made.full_range else "MPEG",
            )
            frame.pts, frame.time_base = at, made.time_base
            mux(container, stream.encode(frame), made)
        mux(container, stream.encode(None), made)
        if audio is not None:
            tone = av.AudioFrame.from_ndarray((beep(1.2, 0.1) * 32_767).astype(np.int16), format="s16", layout="mono")
            tone.sample_rate, tone.pts, tone.time_base = 48_000, 0, Fraction(1, 48_000)
            for part in av.AudioResampler(audio.format, "mono", 48_000).resample(tone):
                container.mux(audio.encode(part))
            container.mux(audio.encode(None))


def mux(container: Any, packets: list[Any], made: Made) -> None:
    for packet in packets:
        if round(packet.pts * packet.time_base / made.time_base) == made.stamps[-1]:
            packet.duration = round(made.last * made.time_base / packet.time_base)
        container.mux(packet)


def middles(frame: av.VideoFrame) -> np.ndarray[Any, Any]:
    """Return luma and both colour differences in the centres of a picture's quarters, float, 0 to 1 and around 0."""
    deep = 10 if "10" in frame.format.name else 8
    full = frame.color_range == 2
    scale = 2 ** (deep - 8)
    values = []
    for number, plane in enumerate(frame.planes):
        kind = np.uint16 if deep > 8 else np.uint8
        lines = np.frombuffer(plane, kind).reshape(plane.height, -1)[:, : plane.width].astype(float)
        points = [lines[plane.height * y // 4, plane.width * x // 4] for y in (1, 3) for x in (1, 3)]
        if number == 0:
            values.append([point / (2**deep - 1) if full else (point - 16 * scale) / (219 * scale) for point in points])
        else:
            span = 2**deep - 1 if full else 224 * scale
            values.append([(point - 128 * scale) / span for point in points])
    return np.array(values)


def rgb(values: np.ndarray[Any, Any], matrix: int) -> np.ndarray[Any, Any]:
    """Return levels of 0 to 255 by the definition of a matrix, `[3 n]`."""
    red_share, blue_share = WEIGHTS[matrix]
    luma, blue, red = values
    red, blue = luma + 2 * (1 - red_share) * red, luma + 2 * (1 - blue_share) * blue
    green = (luma - red_share * red - blue_share * blue) / (1 - red_share - blue_share)
    return 255 * np.array([red, green, blue])


def luma_and_differences(levels: np.ndarray[Any, Any], matrix: int) -> np.ndarray[Any, Any]:
    """Return the inverse of `rgb`, in levels of 8 bits of limited range."""
    red_share, blue_share = WEIGHTS[matrix]
    red, green, blue = levels / 255
    luma = red_share * red + (1 - red_share - blue_share) * green + blue_share * blue
    return np.array(
        [219 * luma, 224 * (blue - luma) / (2 * (1 - blue_share)), 224 * (red - luma) / (2 * (1 - red_share))]
    )


def payloads(path: Path) -> list[bytes]:
    with av.open(str(path)) as container:
        return [bytes(packet) for packet in container.demux(audio=0) if packet.size]


@pytest.mark.usefixtures("lossless")
@settings(
    max_examples=15,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(made=clips())
def test_times_lengths_colours_and_sound_of_any_clip_come_through(made: Made) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, f"in.{'mkv' if made.sound in ('flac', 'opus') else made.suffix}")
        write(path, made)
        output = Path(folder, f"out.{made.suffix}")
        with open_source(path) as source, open_sink(output, fps=source.info.fps, audio_from=source) as sink:
            for frame in source:
                sink.write(frame)
        assert source.warnings == []
        before, after = read_all(path), read_all(output)
        tick = after[0].time_base
        assert tick is not None
        times = [(frame.pts - after[0].pts) * tick for frame in after]
        wanted = [(at - made.stamps[0]) * made.time_base for at in made.stamps]
        # A rounding container has rounded once when the clip was made.
        rounded = Fraction(1, 1000) if "mkv" in (path.suffix[1:], output.suffix[1:]) else tick / 2
        assert [abs(time - at) <= rounded for time, at in zip(times, wanted, strict=True)].count(False) == 0
        # With B-frames the file's own value may differ: an MP4 stores lengths in coding order.
        lasted = (before[-1].pts + before[-1].duration - before[0].pts) * before[0].time_base
        assert abs(times[-1] + after[-1].duration * tick - lasted) <= 2 * rounded
        assert after[0].format.name == "yuv420p"
        assert (after[0].colorspace, after[0].color_range) == (1, 1)
        seen = middles(after[0]) * np.array([[219.0], [224], [224]])
        meant = luma_and_differences(rgb(middles(before[0]), made.matrix).clip(0, 255), 1)
        # Rounded once; an odd side has a line added, which is done in RGB.
        even = made.size[0] % 2 == made.size[1] % 2 == 0
        assert np.abs(seen - meant).max() <= (0.01 if made.is_as_written else 0.55 if even else 1)
        if made.sound in COPYABLE[VIDEO_FORMATS[output.suffix]]:
            assert payloads(output)[-3:] == payloads(path)[-3:]
            assert set(payloads(output)) <= set(payloads(path))
