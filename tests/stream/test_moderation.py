"""The moderator of a stream sees every request, and a refused one changes nothing."""

from __future__ import annotations

import numpy as np
import pytest

import vivace
from fakes import NEGATIVE_PROMPT, FakeModel
from mini2_folder import random_folder
from vivace.errors import PolicyError, UnknownPromptError
from vivace.media.frame import Rgb
from vivace.models.controls import ControlSpec
from vivace.models.mini2.mixture import Mixture
from vivace.models.mini2.saved import Look, look_text

OPTIONS = (
    ControlSpec(name="title", kind="text", help="words of the picture"),
    ControlSpec(name="style_image", kind="image", help="a picture to paint like", size=(8, 8)),
    ControlSpec(name="where", kind="mask", help="where it counts"),
    NEGATIVE_PROMPT,
)
DARK = np.zeros((8, 8, 3), np.uint8)
BRIGHT = np.full((8, 8, 3), 255, np.uint8)


class Moderator:
    """Moderator that refuses texts with "bad" and bright pictures, and remembers its questions."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, str]] = []

    def check_text(self, control: str, text: str) -> None:
        self.seen.append((control, text))
        if "bad" in text:
            raise PolicyError(f"{control} is bad", control=control, reason="badness")

    def check_picture(self, control: str, rgb: Rgb) -> None:
        self.seen.append((control, f"{rgb.shape} {rgb.dtype}"))
        if rgb.mean() > 128:
            raise PolicyError(f"{control} is bright", control=control, reason="light")


@pytest.fixture
def moderator() -> Moderator:
    return Moderator()


def stream_of(moderator: Moderator, **controls: object) -> vivace.Stream:
    return vivace.Stream(FakeModel(options=OPTIONS), moderator=moderator, **controls)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "controls",
    [{"prompt": "bad"}, {"options": {"title": "bad"}}, {"options": {"style_image": BRIGHT}}],
)
def test_a_stream_does_not_open_with_what_is_refused(moderator: Moderator, controls: dict[str, object]) -> None:
    with pytest.raises(PolicyError) as refused:
        stream_of(moderator, **controls)
    assert refused.value.control in ("prompt", "title", "style_image")
    with stream_of(moderator):
        pass


def test_an_update_with_what_is_refused_changes_nothing(moderator: Moderator) -> None:
    with stream_of(moderator, prompt="red") as stream:
        for change in ({"prompt": "bad", "seed": 3}, {"options": {"title": "bad"}, "strength": 0.5}):
            with pytest.raises(PolicyError):
                stream.update(**change)
        controls = stream.controls
        assert controls.prompt is not None
        assert (controls.prompt.text, controls.seed, controls.strength) == ("red", 0, 1.0)
        stream.update(prompt="green", options={"style_image": DARK})
    assert moderator.seen[-2:] == [("style_image", "(8, 8, 3) uint8"), ("prompt", "green")]


def test_what_shall_not_be_seen_and_where_is_not_judged(moderator: Moderator) -> None:
    with pytest.raises(UnknownPromptError):  # the model's word, not the moderator's
        stream_of(moderator, options={"negative_prompt": "bad", "where": np.zeros((8, 8), np.uint8)})
    assert moderator.seen == []


def test_a_prompt_is_judged_before_the_model_says_that_it_does_not_know_it(moderator: Moderator) -> None:
    with pytest.raises(PolicyError):
        stream_of(moderator, prompt="a bad thing that no model knows")


def test_of_a_saved_look_its_title_is_judged(moderator: Moderator, tmp_path_factory: pytest.TempPathFactory) -> None:
    profile = random_folder(tmp_path_factory.mktemp("mini2"))
    model = vivace.load_model(profile)
    for title, refused in (("dusk", False), ("a b\u0061d thing", True)):
        text = look_text(Look(title, Mixture({"oil": 1.0})))
        if refused:
            with pytest.raises(PolicyError):
                vivace.Stream(model, prompt=text, moderator=moderator)
        else:
            with vivace.Stream(model, prompt=text, moderator=moderator):
                pass
    assert [text for _, text in moderator.seen] == ["dusk", "a bad thing"]


def test_nobody_moderates_a_stream_that_does_not_ask_for_it() -> None:
    with vivace.Stream(FakeModel(), prompt="red") as stream, pytest.raises(UnknownPromptError):
        stream.update(prompt="naked")


def test_the_list_that_comes_with_vivace_moderates_a_stream() -> None:
    from vivace.trust.moderation import Moderation

    with pytest.raises(PolicyError, match="sexual content"):
        vivace.Stream(FakeModel(), prompt="naked", moderator=Moderation.of(None))
    with pytest.raises(UnknownPromptError):
        vivace.Stream(FakeModel(), prompt="naked", moderator=Moderation.of("off"))
