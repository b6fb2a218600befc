"""Procedural scenes: the same for the same name, seed and frame; alive; any size."""

from __future__ import annotations

from importlib.resources import files

import numpy as np
import pytest

from vivace.errors import SourceNotFoundError, UsageError
from vivace.media.open import open_source
from vivace.worlds import SCENES, make_scene


@pytest.mark.parametrize("name", SCENES)
def test_a_frame_depends_on_name_seed_and_index_alone(name: str) -> None:
    first = make_scene(name, (96, 54), seed=3)
    second = make_scene(name, (96, 54), seed=3)
    for time_s in (0.0, 0.4):
        second.render(time_s)
    # The second has rendered other moments before; they leave no trace.
    assert np.array_equal(first.render(7.3), second.render(7.3))
    assert np.array_equal(first.render(7.3), first.render(7.3))


@pytest.mark.parametrize("name", SCENES)
def test_another_seed_is_another_world(name: str) -> None:
    worlds = [make_scene(name, (96, 54), seed=seed).render(2.0).astype(int) for seed in (0, 1)]
    assert np.abs(worlds[0] - worlds[1]).mean() > 1


@pytest.mark.parametrize("name", SCENES)
def test_a_scene_moves_smoothly_and_has_detail(name: str) -> None:
    scene = make_scene(name, (192, 108))
    now, next_frame, later = (scene.render(time_s).astype(int) for time_s in (1.0, 1.0 + 1 / 30, 3.0))
    step, change = np.abs(next_frame - now).mean(), np.abs(later - now).mean()
    assert 0.02 < step < 12
    assert change > 2
    assert now.reshape(-1, 3).std(axis=0).max() > 15


@pytest.mark.parametrize("name", SCENES)
@pytest.mark.parametrize("size", [(33, 17), (16, 64), (8, 8), (640, 16)])
def test_any_size_can_be_rendered(name: str, size: tuple[int, int]) -> None:
    rgb = make_scene(name, size).render(4.2)
    assert rgb.shape == (size[1], size[0], 3)
    assert rgb.dtype == np.uint8
    assert rgb.flags.c_contiguous


@pytest.mark.parametrize("name", SCENES)
def test_hours_later_it_still_runs(name: str) -> None:
    scene = make_scene(name, (96, 54))
    late = scene.render(36_000.0)
    assert late.std() > 5


@pytest.mark.parametrize("name", SCENES)
def test_pictures_do_not_share_memory(name: str) -> None:
    scene = make_scene(name, (32, 32))
    first = scene.render(0.0)
    kept = first.copy()
    scene.render(1.0)
    assert np.array_equal(first, kept)


def test_a_scene_is_a_source_without_end() -> None:
    with open_source("scene", size=(32, 18), fps=10) as source:
        frames = [next(iter(source)) for _ in range(4)]
    assert source.info.frames is None
    assert source.info.fps == 10
    assert [frame.index for frame in frames] == [0, 1, 2, 3]
    assert [frame.pts_s for frame in frames] == pytest.approx([0, 0.1, 0.2, 0.3])


def test_seed_and_length_can_be_asked_for() -> None:
    with open_source("scene:boat?seed=5&frames=3", size=(32, 18)) as source:
        frames = list(source)
    assert len(frames) == source.info.frames == 3
    assert source.ended
    assert np.array_equal(frames[0].rgb, make_scene("boat", (32, 18), seed=5).render(0.0))


def test_an_unknown_scene_names_the_known_ones() -> None:
    with pytest.raises(SourceNotFoundError, match=r"atlantis.*city.*gallery"):
        open_source("scene:atlantis")


@pytest.mark.parametrize("options", ["seed=x", "frames=", "speed=3", "frames=0", "frames=-1", "seed=-5"])
def test_an_option_that_is_none_is_the_callers_mistake(options: str) -> None:
    with pytest.raises(UsageError, match="seed"):
        open_source(f"scene:city?{options}")


def test_every_picture_has_its_credit() -> None:
    folder = files("vivace.worlds.pictures")
    credit = folder.joinpath("CREDITS.md").read_text("utf-8")
    pictures = [entry.name for entry in folder.iterdir() if entry.name.endswith(".jpg")]
    assert len(pictures) >= 4
    for name in pictures:
        assert f"`{name}`" in credit
        assert len(folder.joinpath(name).read_bytes()) < 72_000
