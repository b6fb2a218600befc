"""Files of tensors: safetensors and pickles, read alike, and refused if damaged or if they would run code."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from vivace.checkpoints.tensors import convert, open_tensors, read_tensors
from vivace.errors import CheckpointError

TENSORS = {
    "half": torch.arange(6, dtype=torch.float16).reshape(2, 3),
    "brain": torch.tensor([[0.1, -2.5]], dtype=torch.bfloat16),
    "one": torch.tensor(3.5),
    "whole": torch.arange(5),
    "none": torch.zeros(0, 4),
}


def same(found: dict[str, Tensor]) -> bool:
    return found.keys() == TENSORS.keys() and all(
        value.dtype == TENSORS[key].dtype and torch.equal(value, TENSORS[key]) for key, value in found.items()
    )


@pytest.fixture(params=["a.safetensors", "a.ckpt", "old.pt"])
def stored(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """Return a file of the tensors, as written by each kind of program."""
    path = tmp_path / request.param
    if path.suffix == ".safetensors":
        save_file(TENSORS, path, {"format": "pt"})
    elif path.suffix == ".ckpt":
        torch.save({"global_step": 191999, "state_dict": TENSORS}, path)
    else:
        torch.save(TENSORS, path, _use_new_zipfile_serialization=False)
    return path


def test_every_kind_gives_the_same_tensors(stored: Path) -> None:
    file = open_tensors(stored)
    assert {name: tuple(shape) for name, shape in file.shapes.items()} == {
        k: tuple(v.shape) for k, v in TENSORS.items()
    }
    assert same(file.tensors())
    assert torch.equal(file.read("brain"), TENSORS["brain"])


def test_every_kind_becomes_safetensors(stored: Path, tmp_path: Path) -> None:
    target = tmp_path / "made" / "b.safetensors"
    convert(open_tensors(stored), target)
    assert same(read_tensors(target))
    assert [path.name for path in target.parent.iterdir()] == ["b.safetensors"]


def test_damaged_and_missing_files_are_refused_by_name(stored: Path) -> None:
    content = stored.read_bytes()
    for kept in (len(content) // 2, 5, 0):
        stored.write_bytes(content[:kept])
        with pytest.raises(CheckpointError, match=f"{stored.name} is damaged"):
            read_tensors(stored)
    stored.unlink()
    with pytest.raises(CheckpointError, match=f"{stored.name} is missing"):
        read_tensors(stored)


class Hostile:
    def __reduce__(self) -> tuple[object, tuple[Path, str]]:
        return (Path.write_text, (Path("owned"), "x"))


def test_a_pickle_that_would_run_code_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "hostile.ckpt"
    torch.save({"state_dict": {"a": torch.zeros(1)}, "extra": Hostile()}, path)
    with pytest.raises(CheckpointError, match="holds more than tensors"):
        open_tensors(path)
    assert not (tmp_path / "owned").exists()


@pytest.mark.parametrize("content", [{"step": 3}, [torch.zeros(1)]])
def test_a_file_without_tensors_is_refused(tmp_path: Path, content: object) -> None:
    path = tmp_path / "a.pt"
    torch.save(content, path)
    with pytest.raises(CheckpointError, match=r"holds (no tensors|a list, not tensors by name)"):
        open_tensors(path)
