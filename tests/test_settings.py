"""Settings from the environment."""

from __future__ import annotations

import pytest

from vivace.errors import UsageError
from vivace.settings import VARIABLES, Settings


def test_an_empty_environment_gives_the_defaults() -> None:
    assert Settings.from_environment({}) == Settings(model="mini", threads=None, debug=False)


def test_wishes_are_read() -> None:
    environ = {"VIVACE_MODEL": "other", "VIVACE_THREADS": "2", "VIVACE_DEBUG": "1"}
    assert Settings.from_environment(environ) == Settings(model="other", threads=2, debug=True)


@pytest.mark.parametrize("value", ["0", "-1", "two", "1.5"])
def test_a_thread_count_that_is_none_is_refused_by_name(value: str) -> None:
    with pytest.raises(UsageError, match="VIVACE_THREADS"):
        Settings.from_environment({"VIVACE_THREADS": value})


@pytest.mark.parametrize(("name", "meant"), [("VIVACE_THREAD", "VIVACE_THREADS"), ("VIVACE_MODLE", "VIVACE_MODEL")])
def test_a_misspelt_name_is_refused_with_the_right_one(name: str, meant: str) -> None:
    with pytest.raises(UsageError, match=f"{name}; did you mean {meant}"):
        Settings.from_environment({name: "1"})


@pytest.mark.parametrize("name", [*VARIABLES, "VIVACE_SERVE_SLOTZ", "VIVACE_TEST_NO_SKIPS", "VIVACE_PROBE"])
def test_other_names_are_left_alone(name: str) -> None:
    Settings.from_environment({name: ""})


def test_debug_may_be_switched_off_in_words_of_numbers() -> None:
    assert not Settings.from_environment({"VIVACE_DEBUG": "0"}).debug
