"""The large model in miniature, from `vivace models pull` to a file of painted frames."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

import live2diff_mirror as toy
from e2e.helpers import CLIP_FRAMES, Vivace, count_frames, size_of

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("toy")
    toy.write(folder)
    return folder


@pytest.fixture(autouse=True)
def threads() -> Iterator[None]:
    """Restore the number of torch threads, which a run may set for the whole process."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.fixture
def tiny(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Return a profile whose files are not on this machine yet."""
    monkeypatch.setenv("VIVACE_MODELS_DIR", str(tmp_path / "models"))
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    return str(made / "tiny.toml")


@pytest.fixture
def pulled(tiny: str, made: Path, vivace_here: Vivace) -> str:
    done = vivace_here("models", "pull", tiny, "--style", "painted", "--yes", "--mirror", (made / "mirror").as_uri())
    assert done.code == 0, done.err
    assert vivace_here("models", "pull", tiny, "--yes", "--mirror", (made / "mirror").as_uri()).code == 0
    return tiny


def test_a_clip_is_painted_in_a_style(vivace_here: Vivace, pulled: str, clip: Path) -> None:
    flags = ("--style", "painted", "-p", "a cat of sks", "--device", "cpu", "--stats", "stats.json")
    done = vivace_here("run", clip, "--model", pulled, *flags, "-o", "out.mp4")
    assert done.code == 0, done.err
    assert count_frames(Path("out.mp4")) == CLIP_FRAMES, "frames inside the rows come out at the end"
    assert size_of(Path("out.mp4")) == (96, 64)
    assert "tiny/painted" in Path("stats.json").read_text()


def test_files_and_loras_of_ones_own_are_painted_with(vivace_here: Vivace, pulled: str, made: Path, clip: Path) -> None:
    lora = Path(shutil.copy(made / "mirror" / toy.STYLE_LORA, "mine.safetensors"))
    base = made / "mirror" / toy.STYLE_BASE
    flags = ("--lora", f"{lora}=0.5", "--file", f"base={base}", "--precision", "f32", "--max-frames", 4)
    done = vivace_here("run", clip, "--model", pulled, *flags, "-p", "ink", "-o", "own.mp4")
    assert done.code == 0, done.err
    assert count_frames(Path("own.mp4")) == 4


def test_the_same_run_twice_gives_the_same_pictures(vivace_here: Vivace, pulled: str, clip: Path) -> None:
    for name in ("one", "two"):
        flags = ("--model", pulled, "-p", "ink", "--seed", 3, "--max-frames", 5, "--threads", 1)
        assert vivace_here("run", clip, *flags, "-o", f"{name}/").code == 0
    one, two = ([path.read_bytes() for path in sorted(Path(name).iterdir())] for name in ("one", "two"))
    assert one == two


def test_what_is_missing_is_said_before_a_picture_is_read(vivace_here: Vivace, tiny: str, clip: Path) -> None:
    done = vivace_here("run", clip, "--model", tiny, "-p", "ink", "-o", "out.mp4")
    assert done.code == 4
    assert "9 files of model 'tiny' are missing" in done.err
    assert f"vivace models pull {tiny}" in done.err
    assert vivace_here("run", clip, "--model", tiny, "--style", "wool", "-p", "ink", "-o", "out.mp4").code == 2
