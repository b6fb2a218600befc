"""`vivace run`, from source to file."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from e2e.helpers import CLIP_FRAMES, CLIP_SIZE, Vivace, count_frames, size_of
from media.clips import beep, grey, write_clip
from vivace.cli.outputs import default_file
from vivace.media.frame import Rgb
from vivace.media.open import open_source
from vivace.models.keyframes.model import KeyframeModel
from vivace.models.mini import model
from vivace.models.mini.state import MiniState

pytestmark = pytest.mark.e2e

STATS_KEYS = {
    "model", "runtime", "device", "size", "frames_in", "frames_out", "dropped", "fps", "latency_ms", "stages_ms",
    "time_to_first_frame_ms", "work_share", "peak_memory_mib",
}  # fmt: skip


def test_a_file_comes_out_repainted_frame_by_frame(vivace_here: Vivace, clip: Path) -> None:
    done = vivace_here("run", clip, "-p", "pencil drawing", "-o", "out.mp4", "--size", "96x64")
    assert done.code == 0, done.err
    assert count_frames(Path("out.mp4")) == CLIP_FRAMES
    assert size_of(Path("out.mp4")) == (96, 64)
    assert f"{CLIP_FRAMES} frames to out.mp4" in done.out


def test_without_a_sink_the_file_lands_here_and_is_named(vivace_here: Vivace, clip: Path) -> None:
    done = vivace_here("run", clip, "-p", "pencil drawing")
    assert done.code == 0, done.err
    assert "clip.vivace.mp4" in done.out
    assert count_frames(Path("clip.vivace.mp4")) == CLIP_FRAMES


@pytest.mark.parametrize(
    ("spec", "name"),
    [
        ("camera:1", "camera-1.vivace.mp4"),
        ("scene:city?seed=3", "scene-city-seed-3.vivace.mp4"),
        ("://", "stream.vivace.mp4"),
        ("rtsp://admin:hush@cam/live?token=hush", "rtsp-cam-live-token.vivace.mp4"),
    ],
)
def test_what_is_no_file_gets_a_name_that_is_one(spec: str, name: str) -> None:
    assert default_file(spec) == name


@pytest.mark.parametrize("name", ["out.mkv", "out.mov", "out.webm", "out.gif"])
def test_a_file_may_be_of_any_kind_that_is_offered(vivace_here: Vivace, clip: Path, name: str) -> None:
    done = vivace_here("run", clip, "-p", "pencil drawing", "-o", name, "--fps", "10")
    assert done.code == 0, done.err
    assert count_frames(Path(name)) == int(done.out.split()[0]) > 2


def test_the_sound_of_a_file_comes_along(vivace_here: Vivace) -> None:
    write_clip(Path("in.mp4"), [grey(10 * n, CLIP_SIZE) for n in range(25)], sound=beep(1.0, 0.5))
    assert vivace_here("run", "in.mp4", "-p", "pencil drawing", "-o", "out.mp4").code == 0
    assert packets("out.mp4") == packets("in.mp4")[1:]  # without the encoder's priming, which lies before time zero


def packets(path: str) -> list[bytes]:
    """Return the sound of a file as it is stored."""
    with av.open(path) as container:
        return [bytes(packet) for packet in container.demux(audio=0) if packet.size]


def write_noise(folder: Path) -> list[Rgb]:
    """Write three pictures of noise, with no two equal neighbours, and return them."""
    folder.mkdir()
    rng = np.random.default_rng(0)
    pictures = [rng.integers(0, 256, (CLIP_SIZE[1], CLIP_SIZE[0], 3), np.uint8) for _ in range(3)]
    for number, picture in enumerate(pictures):
        Image.fromarray(picture).save(folder / f"{number}.png")
    return pictures


def read_pictures(folder: Path) -> list[Rgb]:
    """Return the numbered pictures of a folder."""
    return [np.asarray(Image.open(path)) for path in sorted(folder.glob("*.png"))]


def test_strength_0_is_the_source_to_the_byte(vivace_here: Vivace) -> None:
    sources = write_noise(Path("in"))
    assert vivace_here("run", "in", "-p", "oil painting", "--strength", 0, "-o", "out/").code == 0
    assert np.array_equal(read_pictures(Path("out")), sources)


@pytest.mark.parametrize("mask", ["16,8,32,24", "mask.png", "mask.mkv"])
def test_outside_any_mask_the_source_is_exact_to_the_byte(vivace_here: Vivace, mask: str) -> None:
    sources = write_noise(Path("in"))
    inside = np.zeros((CLIP_SIZE[1], CLIP_SIZE[0]), bool)
    inside[8:32, 16:48] = True
    white = np.repeat(np.uint8(255) * inside[..., None], 3, axis=2)
    Image.fromarray(white).save("mask.png")
    write_clip(Path("mask.mkv"), [white] * 3, codec="ffv1", pix_fmt="bgr0")
    done = vivace_here("run", "in", "-p", "oil painting", "--mask", mask, "-o", "out/")
    assert done.code == 0, done.err
    for source, out in zip(sources, read_pictures(Path("out")), strict=True):
        assert np.array_equal(out[~inside], source[~inside])
        assert (out[inside] != source[inside]).any(axis=-1).mean() > 0.9


def photographs(**sizes: tuple[int, int]) -> None:
    """Write JPEG photographs of scenes into `photos/`."""
    Path("photos").mkdir()
    for name, size in sizes.items():
        with open_source("scene:gallery?frames=1", size=size) as source:
            Image.fromarray(next(iter(source)).rgb).save(f"photos/{name}.jpg")


def sizes_in(folder: str) -> dict[str, tuple[int, int]]:
    """Return the `(width, height)` of the pictures of a folder by name, px."""
    sizes = {}
    for path in Path(folder).iterdir():
        with Image.open(path) as image:
            sizes[path.name] = image.size
    return sizes


@pytest.mark.parametrize("name", ["ink.png", "ink.jpg", "ink.webp", None])
def test_one_photograph_in_is_one_picture_out(vivace_here: Vivace, name: str | None) -> None:
    photographs(a=(180, 121))
    output = () if name is None else ("-o", name)
    done = vivace_here("run", "photos/a.jpg", "-p", "ink", *output)
    assert done.code == 0, done.err
    name = name or "a.vivace.jpg"
    assert f"1 picture to {name}" in done.out
    with Image.open(name) as image, Image.open("photos/a.jpg") as photograph:
        assert image.size == (180, 120)
        assert np.abs(np.asarray(image, int) - np.asarray(photograph.crop((0, 0, 180, 120)), int)).mean() > 10


def test_a_folder_of_photographs_is_a_folder_of_pictures(vivace_here: Vivace) -> None:
    photographs(a=(180, 120), b=(120, 180), c=(64, 64))
    Path("photos/broken.jpg").write_bytes(b"nothing")
    done = vivace_here("run", "photos", "-p", "ink", "-o", "inks/")
    assert done.code == 0, done.err
    assert "broken.jpg: left out" in done.err
    assert "3 pictures to inks" in done.out
    assert sizes_in("inks") == {"a.jpg": (180, 120), "b.jpg": (120, 180), "c.jpg": (64, 64)}
    assert vivace_here("run", "photos/c.jpg", "-p", "ink", "-o", "alone/").code == 0
    assert Path("alone/c.jpg").read_bytes() == Path("inks/c.jpg").read_bytes()


def test_frames_that_are_numbered_are_one_video_where_that_is_named(vivace_here: Vivace) -> None:
    write_noise(Path("in"))
    assert vivace_here("run", "in", "-p", "ink", "-o", "in.mp4").code == 0
    assert count_frames(Path("in.mp4")) == 3
    done = vivace_here("run", "in/%d.png", "-p", "ink", "-o", "out/")
    assert done.code == 0, done.err
    assert "3 frames to out" in done.out
    assert sorted(path.name for path in Path("out").iterdir()) == ["00000.png", "00001.png", "00002.png"]
    done = vivace_here("run", "in", "-p", "ink", "-o", "stills/")
    assert "in/%d.png as the source" in done.err.replace("\\", "/")
    assert sorted(path.name for path in Path("stills").iterdir()) == ["0.png", "1.png", "2.png"]


def test_a_photograph_larger_than_the_model_comes_out_smaller_and_that_is_said(
    vivace_here: Vivace, mini: KeyframeModel[MiniState], monkeypatch: pytest.MonkeyPatch
) -> None:
    small = replace(model.SPEC, max_size=(96, 96))
    monkeypatch.setattr(model, "SPEC", small)
    monkeypatch.setattr(mini, "spec", small)
    photographs(a=(180, 120), b=(90, 66))
    done = vivace_here("run", "photos/*.jpg", "-p", "ink", "-o", "inks/")
    assert done.code == 0, done.err
    assert "note: mini paints a.jpg (180x120 px) at 96x64\n" in done.err
    assert sizes_in("inks") == {"a.jpg": (96, 64), "b.jpg": (90, 66)}


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("scene:gallery", "-o", "ink.png"), 3, "ink.mp4"),
        (("photos", "-o", "ink.png"), 3, "name a folder, ink/"),
        (("photos/a.jpg", "-o", "photos/a.jpg"), 3, "over the source itself"),
        (("photos", "-o", "photos/"), 3, "over the source itself"),
        (("photos/a.jpg", "-o", "ink"), 3, ".png"),
        (("photos/a.jpg", "-o", "ink.png", "--fps", "10"), 2, "--fps"),
        (("photos/a.jpg", "-o", "ink.png", "--live"), 2, "--live"),
    ],
)
def test_what_a_photograph_cannot_be_is_refused_with_a_remedy(
    vivace_here: Vivace, arguments: tuple[str, ...], code: int, said: str
) -> None:
    photographs(a=(64, 64), b=(64, 64))
    before = Path("photos/a.jpg").read_bytes()
    done = vivace_here("run", *arguments, "-p", "ink")
    assert done.code == code
    assert said in done.err
    assert Path("photos/a.jpg").read_bytes() == before
    assert not Path("ink.png").exists()


def test_compare_puts_source_and_result_side_by_side(vivace_here: Vivace, clip: Path) -> None:
    done = vivace_here("run", clip, "-p", "pencil drawing", "-o", "both.mp4", "--size", "96x64", "--compare")
    assert done.code == 0, done.err
    width, height = size_of(Path("both.mp4"))
    assert height == 64
    assert width >= 2 * 96


def test_max_frames_stops(vivace_here: Vivace, clip: Path) -> None:
    assert vivace_here("run", clip, "-p", "oil painting", "-o", "out.mkv", "--max-frames", 5).code == 0
    assert count_frames(Path("out.mkv")) == 5


def test_without_a_prompt_the_source_passes_and_that_is_said(vivace_here: Vivace, clip: Path) -> None:
    done = vivace_here("run", clip, "-o", "null", "--stats", "s.json")
    assert done.code == 0, done.err
    assert "no prompt" in done.err
    assert json.loads(Path("s.json").read_text())["frames_untouched"] == CLIP_FRAMES


def test_the_statistics_hold_what_is_promised(vivace_here: Vivace, clip: Path) -> None:
    assert (
        vivace_here("run", clip, "-p", "oil painting", "-o", "null", "--stats", "s.json", "--size", "96x64").code == 0
    )
    document = json.loads(Path("s.json").read_text("utf-8"))
    assert document.keys() >= STATS_KEYS
    assert document["model"] == "mini"
    assert document["size"] == [96, 64]
    assert document["frames_in"] == document["frames_out"] == CLIP_FRAMES
    assert document["dropped"] == 0
    assert document["latency_ms"].keys() >= {"p50", "p95", "p99"}
    assert document["stages_ms"].keys() == {"capture", "prepare", "denoise", "refine", "encode"}
    for times in document["stages_ms"].values():
        assert times.keys() >= {"p50", "p95"}


def test_live_and_every_frame_are_two_words_for_one_choice(vivace_here: Vivace, clip: Path) -> None:
    assert vivace_here("run", clip, "-o", "null", "--live").code == 0
    done = vivace_here("run", clip, "-p", "oil painting", "-o", "a.mp4", "--every-frame", "--max-frames", 3)
    assert done.code == 0, done.err
    assert count_frames(Path("a.mp4")) == 3


def test_the_environment_chooses_where_no_flag_does(
    vivace_here: Vivace, clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VIVACE_MODEL", "nimi")
    done = vivace_here("run", clip, "-o", "null")
    assert done.code == 2
    assert "nimi" in done.err
    assert vivace_here("run", clip, "-o", "null", "--model", "mini").code == 0


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX paths")
def test_a_mask_is_a_rectangle_or_a_file(vivace_here: Vivace, clip: Path) -> None:
    assert vivace_here("run", clip, "-p", "oil painting", "-o", "null", "--mask", "0,0,32,32").code == 0
    done = vivace_here("run", clip, "-p", "oil painting", "-o", "null", "--mask", "nowhere.png")
    assert done.code == 3
    assert "nowhere.png" in done.err
