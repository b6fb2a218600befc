"""Laws of the region cache of `mini2`: tiles paint what the network paints, and only what changed is painted."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from mini2_folder import TINY
from tolerance import near
from vivace.errors import CheckpointError
from vivace.memory.region_cache import FIRST_WAIT
from vivace.models import LoadOptions, load_model
from vivace.models.base import Chunk, StepResult
from vivace.models.mini2.blocks import padded
from vivace.models.mini2.config import BLOCK_PX, CODE_DIM, STEP_NUMBERS
from vivace.models.mini2.model import AUDIT_FRAMES, Mini2Model
from vivace.models.mini2.network import Conditions, Mini2Net
from vivace.models.mini2.state import Mini2State
from vivace.models.mini2.tile_graph import TILE_OUTPUTS, TileGraph
from vivace.models.mini2.tiles import TileMemory

SIZE = (160, 96)
TILE = 32
START = FIRST_WAIT + 2
"""Frame of a still picture at which its tiles are remembered."""


@pytest.fixture(scope="module")
def model(mini2_profile: str) -> Mini2Model:
    loaded = load_model(mini2_profile, threads=1, options=LoadOptions(precision="f32"))
    assert isinstance(loaded.painter.painter, Mini2Model)
    return loaded.painter.painter


def still(frames: int, size: tuple[int, int] = SIZE) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 256, (size[1] // 8, size[0] // 8, 3)).astype(np.uint8)
    return [np.kron(coarse, np.ones((8, 8, 1), np.uint8))] * frames


def moving(frames: int) -> list[np.ndarray]:
    """Return a still room in which one tile's picture changes from frame `START` on."""
    pictures = [picture.copy() for picture in still(frames)]
    for i, picture in enumerate(pictures[START:]):
        picture[40:60, 70:90] = 20 * i % 256
    return pictures


def paint(
    model: Mini2Model, state: Mini2State, pictures: list[np.ndarray], look: str = "oil", cache: bool = True
) -> list[StepResult]:
    code = model.encode_prompt(look).embeds
    options = {} if cache else {"region_cache": "off"}
    return [model.step([state], [Chunk(picture[None], code, options=options)])[0] for picture in pictures]


class _Unrounded(torch.nn.Module):
    """Network in both forms without the rounding to bytes, which would hide small differences."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.net = Mini2Net(TINY).eval()
        with torch.no_grad():
            for weights in self.net.parameters():
                weights += torch.randn_like(weights) * 0.05
        self.tiles = TileGraph(self.net)

    def painted(self, blocks: np.ndarray, maps: np.ndarray, conditions: dict[str, np.ndarray]) -> np.ndarray:
        x, drawn = ((torch.from_numpy(part).float() * (1 / 128) - 1).permute(0, 3, 1, 2) for part in (blocks, maps))
        picture = self.net(x, drawn, Conditions(*map(torch.from_numpy, conditions.values()))).picture
        return np.asarray(picture[0].permute(1, 2, 0).numpy())


@pytest.mark.parametrize("size", [(160, 96), (64, 64), (98, 66)])
@torch.inference_mode()
def test_all_tiles_are_the_network_and_some_are_what_they_were(
    size: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    nets = _Unrounded()
    width, height = padded(size)
    rng = np.random.default_rng(0)
    blocks = rng.integers(0, 256, (1, height // BLOCK_PX, width // BLOCK_PX, 128), np.uint8)
    maps = rng.integers(0, 256, (*blocks.shape[:3], 80), np.uint8)
    conditions = {"code": rng.normal(size=(1, CODE_DIM)), "step": np.zeros((1, STEP_NUMBERS))}
    conditions = {name: np.asarray(array, np.float32) for name, array in conditions.items()}
    monkeypatch.setattr(nets.tiles, "to_bytes", lambda picture: picture)
    memory = TileMemory(size, TINY)

    def computed(tiles: np.ndarray) -> np.ndarray:
        memory.write(tiles, len(tiles), blocks, maps)
        given = {**conditions, **memory.inputs(len(tiles))}
        found = nets.tiles(*(torch.from_numpy(array) for array in given.values()))
        memory.keep(dict(zip(TILE_OUTPUTS, (part.numpy() for part in found), strict=True)))
        return np.asarray(found[0].numpy()).reshape(len(tiles), 8, 8, 48)

    down, right = memory.shape
    whole = (
        nets.painted(blocks, maps, conditions)
        .reshape(down, 8, right, 8, 48)
        .transpose(0, 2, 1, 3, 4)
        .reshape(-1, 8, 8, 48)
    )
    assert near(computed(np.arange(down * right)), whole)
    # Whatever the neighbours: what is remembered of them is what they would be.
    for count in (1, 2, 3):
        tiles = np.sort(rng.permutation(down * right)[:count])
        assert near(computed(tiles), whole[tiles])


def test_a_picture_that_moves_everywhere_is_painted_as_without_the_cache(model: Mini2Model) -> None:
    rng = np.random.default_rng(3)
    pictures = [rng.integers(0, 256, (SIZE[1], SIZE[0], 3), np.uint8) for _ in range(8)]
    on, off = (paint(model, model.open(SIZE), pictures, cache=cache) for cache in (True, False))
    for a, b in zip(on, off, strict=True):
        np.testing.assert_array_equal(a.rgb, b.rgb)
        assert a.work is None


def test_only_what_changed_is_painted_and_the_rest_stays_to_the_byte(model: Mini2Model) -> None:
    pictures = moving(START + 12)
    found = paint(model, model.open(SIZE), pictures)
    off = paint(model, model.open(SIZE), pictures, cache=False)
    for before, after, other in zip(found[START:], found[START + 1 :], off[START + 1 :], strict=False):
        assert after.work is not None
        assert after.work <= 4 / 15
        same = (before.rgb == after.rgb).all(-1)[0].reshape(3, TILE, 5, TILE).all((1, 3))
        # The tile that moves is number 7, and at most three more have their turn.
        assert not same[1, 2]
        assert same.sum() >= 11
        error = np.square(after.rgb.astype(float) - other.rgb).mean()
        assert 10 * np.log10(255**2 / max(error, 1e-9)) >= 40


def test_what_is_painted_does_not_depend_on_what_is_compiled_already(model: Mini2Model) -> None:
    pictures = moving(START + 8)
    early, late = model.open(SIZE), model.open(SIZE)
    assert early.levels[0].cache is not None
    found = [result.rgb for result in paint(model, late, pictures)]
    early.levels[0].cache.prepare(wait=True)
    for ours, theirs in zip(paint(model, early, pictures), found, strict=True):
        np.testing.assert_array_equal(ours.rgb, theirs)


def test_an_audit_tells_how_true_the_picture_is_and_changes_nothing(model: Mini2Model) -> None:
    pictures = moving(START + AUDIT_FRAMES)
    code = model.encode_prompt("oil").embeds
    on, audited = model.open(SIZE), model.open(SIZE)
    told = []
    for picture in pictures:
        [plain] = model.step([on], [Chunk(picture[None], code)])
        [other] = model.step([audited], [Chunk(picture[None], code, options={"region_cache": "audit"})])
        np.testing.assert_array_equal(plain.rgb, other.rgb)
        assert plain.cached is not None
        assert not plain.cached.audited
        assert other.cached is not None
        assert other.cached.kept == (0 if other.work is None else 1 - other.work)
        told += [other.cached.audit_db] * other.cached.audited
    assert len(told) == 2
    # The weights are random, so that less is alike than a look's.
    assert all(decibels is None or decibels >= 30 for decibels in told), told


def test_a_look_that_changes_a_reset_and_less_effort_are_seen_everywhere_at_once(model: Mini2Model) -> None:
    pictures = still(START)
    state = model.open(SIZE)
    assert paint(model, state, pictures)[-1].work is not None
    [neon] = paint(model, state, pictures[:1], "neon")
    assert neon.work is None
    paint(model, state, pictures)
    model.reset(state)
    assert paint(model, state, pictures[:1])[0].work is None
    paint(model, state, pictures)
    code = model.encode_prompt("oil").embeds
    [less] = model.step([state], [Chunk(pictures[0][None], code, effort=model.spec.efforts[-1])])
    assert less.work is None
    assert paint(model, state, pictures[:1])[0].work is None


def test_streams_that_remember_are_independent_and_go_on_after_a_save(model: Mini2Model) -> None:
    frames = START + 8
    ours, theirs = moving(frames), still(frames)
    alone = [result.rgb for result in paint(model, model.open(SIZE), ours)]
    a, b = model.open(SIZE), model.open(SIZE, seed=1)
    codes = [model.encode_prompt(look).embeds for look in ("oil", "neon")]
    restored = model.open(SIZE)
    for i in range(frames):
        if i == START + 2:
            model.restore(restored, model.save(a))
        together = model.step([a, b], [Chunk(ours[i][None], codes[0]), Chunk(theirs[i][None], codes[1])])
        np.testing.assert_array_equal(together[0].rgb, alone[i])
        if i >= START + 2:
            [again] = model.step([restored], [Chunk(ours[i][None], codes[0])])
            np.testing.assert_array_equal(again.rgb, alone[i])


def test_the_shipped_graphs_belong_together() -> None:
    shipped = load_model("mini2", threads=1, options=LoadOptions(precision="f32"))
    model = shipped.painter.painter
    assert isinstance(model, Mini2Model)
    pictures = still(START, (96, 64))
    # The first frame after the wait is painted tile by tile, all of them.
    on, off = (paint(model, model.open((96, 64)), pictures, cache=cache) for cache in (True, False))
    assert on[FIRST_WAIT].work == 1.0
    assert np.abs(on[FIRST_WAIT].rgb.astype(int) - off[FIRST_WAIT].rgb).max() <= 1


def test_tiles_of_other_weights_are_refused(mini2_profile: str, tmp_path: Path) -> None:
    folder = Path(mini2_profile).parent
    for file in folder.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    tiles = tmp_path / "tiles.safetensors"
    tiles.write_bytes(tiles.read_bytes()[:-8])
    with pytest.raises(CheckpointError, match="tiles"):
        load_model(str(tmp_path / Path(mini2_profile).name))
