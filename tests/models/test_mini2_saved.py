"""Looks as files: written ones are read, and invalid ones are refused with the reason."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vivace.errors import ControlError, SourceNotFoundError
from vivace.models.base import is_saved_look
from vivace.models.controls import MAX_TEXT_CHARS
from vivace.models.mini2.codes import Codes
from vivace.models.mini2.looks import LOOK_KEYS
from vivace.models.mini2.mixture import Mixture, PictureShare
from vivace.models.mini2.saved import Look, look_text, open_look, read_look

NUMBERS = tuple(np.random.default_rng(0).normal(0, 1, 100).astype(np.float16).astype(float).tolist())
MIXED = Mixture({"oil": 0.5, "fog": 0.2}, (PictureShare(NUMBERS, 0.25),))
PICTURE = json.loads(look_text(Look("x", MIXED)))["pictures"][0]


def codes() -> Codes:
    rng = np.random.default_rng(1)
    return Codes(*(rng.normal(0, 1, shape).astype(np.float32) for shape in ((len(LOOK_KEYS), 64), (64, 100), (64,))))


def test_what_is_written_is_read(tmp_path: Path) -> None:
    path = tmp_path / "tea.look"
    path.write_text(look_text(Look("tea time, 茶", MIXED)), "utf-8")
    assert open_look(path) == Look("tea time, 茶", MIXED)
    assert is_saved_look(path.read_text("utf-8"))


def test_the_largest_look_fits_into_a_prompt() -> None:
    many = Mixture(dict.fromkeys(LOOK_KEYS[:16], 1 / 32), (PictureShare(NUMBERS, 0.1),) * 4)
    assert len(look_text(Look("x" * 80, many))) <= MAX_TEXT_CHARS


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"vivace_look": 2}, "not of version 1"),
        ({"vivace_look": True}, "not of version 1"),
        ({"title": ""}, "title"),
        ({"title": "x" * 81}, "title"),
        ({"looks": {"oyl": 0.5}}, "there is no look 'oyl'; did you mean 'oil'"),
        ({"looks": {"oil": 0.0}}, "looks.oil"),
        ({"looks": {"oil": float("nan")}}, "looks.oil"),
        ({"looks": {"oil": 1e9}}, "looks.oil"),
        ({"looks": {"oil": "half"}}, "looks.oil"),
        ({"looks": {"oil": 0.9, "fog": 0.3}, "pictures": []}, "sum to 1.2"),
        ({"looks": {}, "pictures": []}, "sum to 0"),
        ({"looks": {}, "pictures": [PICTURE] * 5}, "pictures"),
        ({"pictures": [{**PICTURE, "numbers": "AAAA"}]}, "100 numbers, of 2 bytes each, not 3 bytes"),
        ({"pictures": [{**PICTURE, "numbers": "§"}]}, "not base64"),
        ({"pictures": [{**PICTURE, "numbers": "/3//" * 66 + "/38="}]}, "not all finite"),
        ({"code": "import os"}, "no key 'code' is known here"),
    ],
)
def test_what_is_no_look_is_refused_with_the_reason(change: dict[str, Any], said: str) -> None:
    table = json.loads(look_text(Look("x", MIXED)))
    with pytest.raises(ControlError, match=said):
        read_look(json.dumps({**table, **change}))


@pytest.mark.parametrize("text", ["", "oil", "[1]", "{}", "[" * 100_000, '{"vivace_look": 1', "\x00\xff"])
def test_other_files_are_no_looks(text: str, tmp_path: Path) -> None:
    path = tmp_path / "other.look"
    path.write_text(text, "utf-8")
    with pytest.raises(ControlError, match=r"other\.look is no saved look"):
        open_look(path)


def test_a_look_that_is_not_there(tmp_path: Path) -> None:
    for path in (tmp_path / "none.look", tmp_path):
        with pytest.raises(SourceNotFoundError, match="cannot be read"):
            open_look(path)


def test_codes_are_linear_in_shares() -> None:
    made = codes()
    other = Mixture({"neon": 0.4, "oil": 0.1})
    both = MIXED.times(0.3).plus(other.times(0.7))
    np.testing.assert_allclose(made.of(both), 0.3 * made.of(MIXED) + 0.7 * made.of(other), atol=1e-5)
    assert MIXED.filled().total == pytest.approx(1)
    assert MIXED.filled().looks["source"] == pytest.approx(0.05)
    assert other.filled().filled() == other.filled()
