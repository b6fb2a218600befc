"""A look fitted to pictures of one's own: nearer to them, a saved look like any other, and refused without pictures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from vivace.cli import main
from vivace.errors import SourceNotFoundError, SourceUnsupportedError, UsageError
from vivace.models.mini2.saved import open_look
from vivace.train.looks.own import fit_look, patch_distance, read_pictures

pytestmark = pytest.mark.usefixtures("one_torch_thread")


def red_stripes(side: int = 256) -> np.ndarray:
    """A picture of red and black stripes."""
    picture = np.zeros((side, side, 3), np.uint8)
    picture[:, np.arange(side) % 16 < 8] = (220, 30, 20)
    return picture


def test_a_fitted_look_paints_scenes_nearer_to_the_pictures() -> None:
    fitted = fit_look([red_stripes()], steps=6)
    assert fitted.after < fitted.before
    (picture,) = fitted.mixture.pictures
    assert picture.share == 1.0
    assert np.isfinite(picture.numbers).all()


def test_pictures_of_the_same_patches_are_near_each_other_and_others_are_not() -> None:
    def tensor(picture: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(picture).permute(2, 0, 1)[None].float() / 128 - 1

    rng = np.random.default_rng(0)
    stripes, moved, sideways = (
        tensor(red_stripes()),
        tensor(np.roll(red_stripes(), 5, 1)),
        tensor(red_stripes().transpose(1, 0, 2).copy()),
    )
    same, turned = (float(patch_distance(stripes, other, rng)) for other in (moved, sideways))
    assert same < 0.5 * turned


def test_the_command_fits_a_folder_and_says_what_is_missing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "paintings"
    folder.mkdir()
    Image.fromarray(red_stripes(64)).save(folder / "a.png")
    (folder / "notes.txt").write_text("no picture", "utf-8")
    look = tmp_path / "mine.look"
    assert main(["train", "looks", "fit", str(look), str(folder), "--steps", "1", "--title", "stripes"]) == 0
    assert "pictures: 1" in capsys.readouterr().err.replace("\n", " ")
    assert open_look(look).title == "stripes"
    for place, said in ((tmp_path / "mine.txt", "saved as NAME.look"), (tmp_path / "gone" / "a.look", "no folder")):
        assert main(["train", "looks", "fit", str(place), str(folder)]) == 2
        assert said in capsys.readouterr().err.replace("\n", " ")
    (folder / "a.png").unlink()
    with pytest.raises(UsageError, match="there are no pictures to fit a look to"):
        read_pictures([])
    with pytest.raises(SourceUnsupportedError, match="a folder without pictures"):
        read_pictures([folder])
    with pytest.raises(SourceNotFoundError, match=r"gone\.png"):
        read_pictures([folder / "gone.png"])
