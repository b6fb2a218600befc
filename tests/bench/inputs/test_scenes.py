"""Clips of the benchmark: streamed, equal to the source of that name, described correctly."""

from __future__ import annotations

from itertools import islice

import numpy as np
import pytest

from vivace.bench.inputs.scenes import SceneClip, scene_worlds
from vivace.errors import UsageError
from vivace.media.open import open_source
from vivace.worlds import SCENES

KEYS = {"recolour", "remove", "background", "night", "snow"}


def test_every_scene_says_what_it_is_and_offers_edits_in_words() -> None:
    infos = scene_worlds()
    assert {
        "walkers",
        "table",
        "pan",
        "zoom",
        "shake",
        "chase",
        "columns",
        "lights",
        "mover",
        "cuts",
        "game",
        "rain",
    } == set(infos)
    assert set(infos) < set(SCENES)
    assert len({info.challenge for info in infos.values()}) == len(infos)
    for info in infos.values():
        assert len(info.edits) >= 2
        assert {edit.key for edit in info.edits} <= KEYS
        assert len({edit.key for edit in info.edits}) == len(info.edits)
        assert any(edit.subject == info.subject for edit in info.edits)
        for edit in info.edits:
            assert len(edit.instruction.split()) > 2
            assert (edit.subject is not None) == (edit.key in {"recolour", "remove"})
    assert {edit.key for info in infos.values() for edit in info.edits} == KEYS


@pytest.mark.parametrize("edit", [None, "recolour"])
def test_pictures_views_and_the_source_of_that_name_are_the_same(edit: str | None) -> None:
    clip = SceneClip("game", (80, 60), 29.97, 3, seed=2, edit=edit)
    pictures, views = list(clip.pictures()), list(clip.views())
    query = "" if edit is None else f"&edit={edit}"
    with open_source(f"scene:game?seed=2&frames=3{query}", size=(80, 60), fps=29.97) as source:
        frames = [frame.rgb for frame in source]
    assert len(pictures) == len(views) == len(frames) == 3
    for picture, view, frame in zip(pictures, views, frames, strict=True):
        assert np.array_equal(picture, view.rgb)
        assert np.array_equal(picture, frame)
    assert [view.begins_shot for view in views] == [True, False, False]
    assert not views[0].visible_back.any()


def test_seed_and_edit_make_another_clip() -> None:
    first, seeded, edited = (
        next(clip.pictures()).astype(int)
        for clip in (
            SceneClip("mover", (64, 64)),
            SceneClip("mover", (64, 64), seed=1),
            SceneClip("mover", (64, 64), edit="recolour"),
        )
    )
    assert np.abs(first - seeded).mean() > 1
    assert 0 < np.abs(first - edited).mean() < np.abs(first - seeded).mean()


def test_frames_are_drawn_as_they_are_read() -> None:
    endless = SceneClip("table", (16, 16), frames=10**9)
    assert len(list(islice(endless.pictures(), 2))) == 2


def test_an_object_has_a_mask_that_holds_with_and_without_an_edit() -> None:
    clip = SceneClip("mover", (96, 96))
    view = next(clip.views())
    mask = clip.mask(view, "toy car")
    assert mask.dtype == bool
    assert 0.005 < mask.mean() < 0.2
    recoloured = SceneClip("mover", (96, 96), edit="recolour")
    assert np.array_equal(recoloured.mask(next(recoloured.views()), "toy car"), mask)
    removed = SceneClip("mover", (96, 96), edit="remove")
    assert not removed.mask(next(removed.views()), "toy car").any()
    assert clip.objects() == removed.objects()
    assert clip.objects()[int(view.ids[mask][0])] == "toy car"


def test_what_there_is_not_is_named_with_what_there_is() -> None:
    clip = SceneClip("mover", (16, 16))
    with pytest.raises(UsageError, match=r"no object 'elephant'.*toy car"):
        clip.mask(next(clip.views()), "elephant")
    with pytest.raises(UsageError, match=r"no benchmark scene 'city'.*walkers"):
        next(SceneClip("city").views())
    with pytest.raises(UsageError, match=r"no edit 'fog'.*recolour"):
        next(SceneClip("mover", (16, 16), edit="fog").pictures())
