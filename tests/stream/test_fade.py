from itertools import pairwise

import numpy as np
import pytest

from vivace.stream.fade import PromptFade

RED = np.array([1, 0], np.float32)
BLUE = np.array([0, 1], np.float32)


def fading() -> PromptFade:
    fade = PromptFade()
    fade.aim(RED, from_s=None, length_s=0.25)
    return fade


def test_the_first_prompt_is_there_at_once():
    assert fading().at(7.0).embeds is RED
    assert fading().at(7.0).presence == 1.0


def test_a_change_is_monotone_and_over_in_time():
    fade = fading()
    fade.aim(BLUE, from_s=10.0, length_s=0.25)
    shares = [float(fade.at(10.0 + step * 0.01).embeds[1]) for step in range(30)]
    assert shares[0] == 0.0
    assert all(a < b for a, b in pairwise(shares[:26]))
    assert all(share == 1.0 for share in shares[25:])
    assert fade.at(10.25).embeds is BLUE


def test_a_change_in_the_middle_of_a_change_starts_from_what_is_seen():
    fade = fading()
    fade.aim(BLUE, from_s=0.0, length_s=1.0)
    fade.aim(RED, from_s=0.5, length_s=1.0)
    assert fade.at(0.5).embeds == pytest.approx([0.5, 0.5])
    assert fade.at(1.5).embeds is RED


def test_prompts_that_cannot_be_interpolated_switch_and_the_picture_alone_fades():
    fade = PromptFade(interpolates=False)
    fade.aim(None, from_s=None, length_s=0.0)
    fade.aim(RED, from_s=0.0, length_s=1.0)
    assert fade.at(0.5) == (RED, 0.5)
    fade.aim(BLUE, from_s=2.0, length_s=1.0)
    for time_s in (2.0, 2.5, 4.0):
        assert fade.at(time_s).embeds is BLUE
        assert fade.at(time_s).presence == 1.0


def test_no_time_changes_at_once():
    fade = fading()
    fade.aim(BLUE, from_s=10.0, length_s=0.0)
    assert fade.at(10.0).embeds is BLUE


def test_a_prompt_fades_in_over_the_bare_source_and_out_again():
    fade = PromptFade()
    fade.aim(None, from_s=None, length_s=0.0)
    assert fade.at(0.0).presence == 0.0
    fade.aim(RED, from_s=1.0, length_s=1.0)
    assert fade.at(1.25).presence == pytest.approx(0.25)
    assert fade.at(1.25).embeds is RED
    fade.aim(None, from_s=3.0, length_s=1.0)
    assert fade.at(3.25).presence == pytest.approx(0.75)
    assert fade.at(3.25).embeds is RED
    assert fade.at(4.0).presence == 0.0


def test_time_before_the_change_is_its_beginning():
    fade = fading()
    fade.aim(BLUE, from_s=10.0, length_s=1.0)
    assert fade.at(9.0).embeds == pytest.approx(RED)
