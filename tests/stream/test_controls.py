import threading

import numpy as np
import pytest

from fakes import FakeModel
from patience import PATIENCE_S
from vivace.errors import ControlError
from vivace.models.controls import MAX_TEXT_CHARS
from vivace.stream.controls import ControlBoard, Controls, check_changes
from vivace.stream.moderation import NOBODY

MODEL = FakeModel()


def check(**changes):
    return check_changes(changes, MODEL, moderator=NOBODY)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"prompt": ""}, "prompt is empty"),
        ({"prompt": " \n\t "}, "prompt is empty"),
        ({"prompt": "?!…"}, "without a letter"),
        ({"prompt": float("nan")}, "prompt is nan; give text"),
        ({"prompt": b"red"}, "of type bytes"),
        ({"prompt": "red \ud800"}, "position 4"),
        ({"prompt": "a" * (MAX_TEXT_CHARS + 1)}, "2,001 characters; the limit is 2,000"),
        ({"prompt": "a" * 10_000_000}, "10,000,000 characters; the limit is 2,000"),
        ({"strength": float("nan")}, "strength is nan; give 0"),
        ({"strength": float("inf")}, "strength is inf"),
        ({"strength": -0.01}, "strength is -0.01"),
        ({"strength": 1.01}, "strength is 1.01"),
        ({"strength": "1"}, "strength is '1', not a number"),
        ({"strength": True}, "strength is True, not a number"),
        ({"strength": 10**400}, "about 10"),
        ({"seed": -1}, "seed is -1"),
        ({"seed": 1.5}, "seed is 1.5, not a whole number"),
        ({"seed": 2**63}, "seed is about 10"),
        ({"denoising_steps": 3}, "trained for 1, 2, 4"),
        ({"denoising_steps": 0}, "trained for 1, 2, 4"),
        ({"crossfade_s": -1}, "crossfade_s is -1"),
        ({"crossfade_s": 61}, "crossfade_s is 61; give 0 to 60"),
        ({"size": (100, 100)}, "96x96"),
        ({"strenght": 1}, "no control 'strenght'; did you mean 'strength'"),
        ({"zzz": 1}, "known: crossfade_s, denoising_steps, events, mask"),
        ({"x" * 100_000: 1}, "100,000 characters"),
    ],
)
def test_what_cannot_be_used_is_refused_in_few_words(changes, message):
    with pytest.raises(ControlError, match=message) as caught:
        check(**changes)
    assert len(str(caught.value)) < 300


def test_what_can_be_used_comes_back_as_plain_values():
    checked = check(strength=np.float32(0.5), seed=np.int64(7), denoising_steps=2, crossfade_s=0, size=[64, 32])
    assert checked == {"strength": 0.5, "seed": 7, "denoising_steps": 2, "crossfade_s": 0.0, "size": (64, 32)}
    assert [type(value) for value in checked.values()] == [float, int, int, float, tuple]


def test_none_means_the_models_steps_the_sources_size_no_mask_and_no_prompt():
    assert check(denoising_steps=None, size=None, mask=None, prompt=None) == {
        "denoising_steps": 1, "size": None, "mask": None, "prompt": None,
    }  # fmt: skip


def test_a_prompt_is_encoded_without_the_space_around_it():
    assert check(prompt="  red\n")["prompt"].text == "red"


def test_a_prompt_for_a_model_without_prompts_is_refused():
    model = FakeModel(conditions=())
    with pytest.raises(ControlError, match="takes no prompt"):
        check_changes({"prompt": "red"}, model, moderator=NOBODY)


def test_an_update_is_in_force_from_the_frame_it_names():
    board = ControlBoard(Controls())
    assert board.cross(1).update_index == 0
    assert board.submit({"strength": 0.5}, arrived_s=0.0) == (1, 1)
    assert board.submit({"seed": 4}, arrived_s=0.0) == (2, 1)
    snapshot = board.cross(5)
    assert (snapshot.update_index, snapshot.controls.strength, snapshot.controls.seed) == (2, 0.5, 4)
    assert board.submit({"seed": 5}, arrived_s=0.0) == (3, 5)


def test_updates_of_different_controls_from_many_threads_all_count():
    board = ControlBoard(Controls())
    names = ["strength", "crossfade_s", "seed"]

    def steer(name: str) -> None:
        for value in range(1, 201):
            board.submit({name: value}, arrived_s=0.0)

    threads = [threading.Thread(target=steer, args=(name,)) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE_S)
    snapshot = board.cross(1)
    assert snapshot.update_index == 600
    assert [getattr(snapshot.controls, name) for name in names] == [200, 200, 200]


def test_a_mask_that_was_replaced_is_closed_once_no_frame_needs_it():
    class FileMask:
        closed = 0

        def region(self, size, time_s):
            raise AssertionError

        def prepare(self, size):
            pass

        def close(self):
            self.closed += 1

    first, second = FileMask(), FileMask()
    board = ControlBoard(Controls(mask=first))
    board.cross(1)
    board.submit({"mask": second}, arrived_s=0.0)
    assert first.closed == 0
    board.cross(2)
    assert (first.closed, second.closed) == (1, 0)
    board.close()
    assert (first.closed, second.closed) == (1, 1)
