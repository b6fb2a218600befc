"""Requests that a reader is scored on, and the score."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from vivace.errors import CheckpointError
from vivace.models.mini2.looks import LOOK_KEYS
from vivace.models.mini2.text.reading import REGIONS, Edit, Reading
from vivace.train.text.calibrate import calibrate
from vivace.train.text.distil import main_axes, train_table
from vivace.train.text.requests import read_requests, score_requests

REQUESTS = Path(__file__).parents[1] / "golden" / "requests.toml"
HALVES = ("tuned", "blind")


@pytest.mark.parametrize("half", HALVES)
def test_a_half_has_150_requests_about_things_there_are(half: str) -> None:
    requests = read_requests(REQUESTS, half)
    assert len(requests) >= 150
    colours = {"yellow", "red", "blue", "green", "black", "white", "pink", "orange", "purple", "brown", "grey"}
    for text, reading in requests.items():
        assert (reading.refusal is None) == bool(reading.edits), text
        for edit in reading.edits:
            assert edit.on | edit.keep <= {*REGIONS} | colours, text
            assert edit.action != "look" or (edit.what and edit.what <= {*LOOK_KEYS}), text
            assert bool(edit.what) == (edit.action in ("look", "recolour", "replace")), text


def test_no_request_is_in_both_halves() -> None:
    tuned, blind = ({text.casefold() for text in read_requests(REQUESTS, half)} for half in HALVES)
    assert not tuned & blind


def test_a_perfect_reader_that_is_sure_scores_full() -> None:
    requests = read_requests(REQUESTS, "tuned")
    score = score_requests(requests.__getitem__, requests)
    assert (score.right, score.sure_and_wrong, score.misses) == (score.total, 0, ())
    assert score.calibration_error == pytest.approx(0)


def test_what_is_wrong_is_counted_and_told() -> None:
    meant = {
        "red shirt": Reading((Edit("recolour", frozenset({"red"}), frozenset({"clothes"})),)),
        "hello": Reading(refusal="no_request"),
    }
    score = score_requests(lambda text: Reading(refusal="no_request", confidence=0.9), meant)
    assert (score.right, score.total, score.sure_and_wrong) == (1, 2, 1)
    assert score.misses == ("'red shirt': recolour red on clothes, read as no_request (0.90)",)
    assert score.calibration_error == pytest.approx(0.4)  # confidence 0.9, half of them right


@pytest.mark.parametrize(
    ("entry", "named"),
    [
        ('[{ paint = "red" }]', "one action"),
        ('[{ look = "oil", blur = true }]', "one action"),
        ('[{ look = "oil", amount = "huge" }]', "'huge'"),
        ("{ unwilling = true }", "'unwilling'"),
    ],
)
def test_an_entry_of_another_form_is_named(tmp_path: Path, entry: str, named: str) -> None:
    path = tmp_path / "requests.toml"
    path.write_text(f'[tuned.requests]\n"words" = {entry}\n')
    with pytest.raises(CheckpointError, match=named):
        read_requests(path, "tuned")


def test_confidence_learns_that_words_it_does_not_know_cost(tmp_path: Path) -> None:
    requests = {
        f"{name} painting {noise}".strip(): Reading((Edit("look", frozenset({"oil"})),))
        for name, noise in (("oil", ""), ("oil", "gribble"), ("watercolour", "frobnicated"), ("oil", "please"))
    }
    weights = calibrate(requests, requests, tmp_path / "confidence.toml", [].append, rounds=4)
    assert weights["one unknown"] < 0 < weights["reason edits"]
    assert (tmp_path / "confidence.toml").read_text().count("=") == len(weights)


def test_a_table_learns_to_say_of_phrases_what_the_teacher_says() -> None:
    chance = np.random.default_rng(0)
    words = chance.normal(size=(20, 8)).astype(np.float32)
    bags = [[number] for number in range(20)] + [[a, b] for a in range(20) for b in range(a)]
    targets = np.stack([words[bag].sum(0) for bag in bags])
    targets /= np.linalg.norm(targets, axis=1, keepdims=True)
    said: list[str] = []
    start = words + 0.3 * chance.normal(size=(20, 8)).astype(np.float32)
    train_table(start, bags, targets, range(0, len(bags), 2), range(1, len(bags), 2), 0, said.append, epochs=60)
    first, last = (float(line.split("teacher ")[1].split()[0]) for line in (said[0], said[-1]))
    assert last > first + 0.02


def test_teacher_vectors_are_cut_to_their_main_axes() -> None:
    chance = np.random.default_rng(0)
    taught = chance.normal(size=(500, 3)) @ chance.normal(size=(3, 384)) + 7
    axes = main_axes(taught.astype(np.float32), 3)
    centred = taught - taught.mean(0)
    centred /= np.linalg.norm(centred, axis=1, keepdims=True)
    np.testing.assert_allclose(axes @ axes.T, centred @ centred.T, atol=1e-3)
