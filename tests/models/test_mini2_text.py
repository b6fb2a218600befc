"""`mini2`'s reader of requests: chains of edits, reasons of refusals, its confidence."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

import numpy as np
import pytest

from vivace.errors import CheckpointError
from vivace.models.mini.text_features import split_words
from vivace.models.mini2.codes import Codes
from vivace.models.mini2.looks import LOOK_KEYS
from vivace.models.mini2.prompts import encode
from vivace.models.mini2.text.confidence import confidence_of
from vivace.models.mini2.text.grammar import parse
from vivace.models.mini2.text.languages import to_english
from vivace.models.mini2.text.lexicon import Lexicon, lexicon
from vivace.models.mini2.text.reader import read_request
from vivace.models.mini2.text.reading import ACTIONS, REGIONS, Edit, Reading
from vivace.models.mini2.text.vectors import Vectors, vectors
from vivace.train.text.requests import read_requests, score_requests

GOLDEN = Path(__file__).parents[1] / "golden"


def read(text: str) -> Reading:
    return read_request(text).reading


def edit(action: str, what: str = "", on: str = "", keep: str = "", amount: str = "") -> Edit:
    return Edit(action, *(frozenset(names.split()) for names in (what, on, keep)), amount)  # type: ignore[arg-type]


def test_the_300_requests_are_read_as_meant_and_confidence_is_a_probability() -> None:
    path = GOLDEN / "requests.toml"
    score = score_requests(read, read_requests(path, "tuned") | read_requests(path, "blind"))
    right, sure_and_wrong = score.right / score.total, score.sure_and_wrong / score.total
    error = score.calibration_error
    del score  # a failure must not reveal the missed requests of the blind half
    assert right >= 0.88
    assert sure_and_wrong <= 0.045
    assert error <= 0.05


@pytest.mark.parametrize("language", ["german", "spanish", "french", "italian", "portuguese", "japanese", "chinese"])
def test_requests_in_other_languages_are_read(language: str) -> None:
    requests = read_requests(GOLDEN / "requests_languages.toml", language)
    assert len(requests) >= 30
    score = score_requests(read, requests)
    assert score.right >= 0.9 * score.total, score.misses


@pytest.mark.parametrize("half", ["tuned", "blind"])
def test_no_english_is_taken_for_another_language(half: str) -> None:
    words = [split_words(text) for text in read_requests(GOLDEN / "requests.toml", half)]
    assert sum(to_english(each) != each for each in words) == 0


def test_a_language_is_known_by_its_phrases_and_may_be_mixed() -> None:
    assert read("make my Haare blau, please").edits == (edit("recolour", "blue", "hair"),)
    shared = split_words("no, the man on a solo tour")
    assert to_english(shared) == shared
    assert to_english(split_words("mein Gesicht: grün!")).gaps == ("", ":", "!")


def test_every_phrase_means_something_there_is() -> None:
    for words, (kind, value) in lexicon().meanings.items():
        assert kind not in ("look", "weak") or value in LOOK_KEYS, words
        assert kind != "region" or value in REGIONS, words


@pytest.mark.parametrize(
    ("text", "edits"),
    [
        ("make me a comic hero, the sky purple, and blur my hands", [
            edit("look", "comic", "person"), edit("recolour", "purple", "sky"), edit("blur", on="hands"),
        ]),
        ("my hair and my face in gold", [edit("look", "gold", "hair face")]),
        ("keep my face, everything else in ink", [edit("look", "ink", keep="face")]),
        ("the sky in oil and the rest in charcoal", [edit("look", "oil", "sky"), edit("look", "charcoal", keep="sky")]),
        ("take my jacket and paint it green", [edit("recolour", "green", "clothes")]),
        ("oil, no snow", [edit("look", "oil")]),
        ("remove the background, then a touch of neon on my hair", [
            edit("remove", on="background"), edit("look", "neon", "hair", amount="little"),
        ]),
        ("blue hair, then undo", [edit("recolour", "blue", "hair"), edit("undo")]),
        ("sunset", [edit("look", "golden")]),
        ("original", [edit("reset")]),
    ],
)  # fmt: skip
def test_chains(text: str, edits: list[Edit]) -> None:
    assert read(text).edits == tuple(edits)


@pytest.mark.parametrize(
    ("text", "refusal"),
    [
        ("add a hat", "cannot"), ("put me in a castle", "cannot"), ("zoom in", "cannot"), ("make me bald", "cannot"),
        ("tell me a joke", "no_request"), ("", "no_request"), ("?!", "no_request"), ("zxcvb", "no_request"),
        ("show her naked", "policy"), ("oil painting with blood everywhere", "policy"),
    ],
)  # fmt: skip
def test_why_it_is_not_served_is_told_apart(text: str, refusal: str) -> None:
    reading = read(text)
    assert (reading.refusal, reading.edits) == (refusal, ())
    assert reading.sentence


def test_what_was_understood_is_said() -> None:
    said = read("make my shirt dark green, then a bit of oil on everything but my face and hands").sentence
    assert said == "colour the clothes dark green; then oil on everything, a little, keep the face and the hands"
    for action in ACTIONS:
        assert Edit(action, frozenset({"oil"}), frozenset({"sky"}), frozenset({"red"})).sentence


@pytest.mark.parametrize(
    "text",
    ["oil " * 5000, "a" * 50_000, "и" * 3000, "‏שלום עולם", "\x00\ud800", "🙂🙂", "💥 oil 💥", "and , , but", "١٢٣"]
)  # fmt: skip
def test_any_text_is_read(text: str) -> None:
    reading = read(text)
    assert 0 <= reading.confidence <= 1
    assert bool(reading.edits) == (reading.refusal is None)


def test_what_is_shipped_for_words_is_small() -> None:
    with resources.as_file(resources.files("vivace.models.mini2.text")) as folder:
        assert sum(file.stat().st_size for file in folder.iterdir() if file.suffix != ".py") <= 3_000_000


def test_vectors_know_what_is_near() -> None:
    words = ["car", "truck", "banana", "sneakers", "shoes", "storm", "hurricane"]
    found = vectors().phrases([(word,) for word in words])
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, rtol=1e-5)
    cosines = found @ found.T - 2 * np.eye(len(words))
    nearest = {word: words[int(row.argmax())] for word, row in zip(words, cosines, strict=True)}
    assert [nearest[word] for word in ("car", "sneakers", "storm")] == ["truck", "shoes", "hurricane"]
    assert not vectors().phrases([(), ("文",), ("a" * 100_000,)]).any()


@pytest.mark.parametrize("word", ["sneakers", "tunic"])
def test_a_word_that_the_lexicon_lacks_is_taken_for_what_is_nearest_and_is_less_sure(word: str) -> None:
    words = split_words(f"make my {word} red")
    lacking = Lexicon({phrase: meant for phrase, meant in lexicon().meanings.items() if word not in phrase})
    found, known = parse(words, lacking), parse(words)
    assert found.reading.edits == known.reading.edits == (edit("recolour", "red", "clothes"),)
    assert confidence_of(found) < confidence_of(known)


@pytest.mark.parametrize("content", [None, b"", b"x" * 100])
def test_vectors_that_are_missing_or_damaged_are_told(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "vectors.safetensors"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(CheckpointError, match=r"vectors\.safetensors.*install vivace again"):
        Vectors.load(path)


def test_a_table_that_does_not_fit_its_pieces_is_refused() -> None:
    with pytest.raises(CheckpointError, match="word vectors: 2 pieces"):
        Vectors(["a", "b"], np.zeros((3, 4), np.int8), np.ones(3, np.float16))


def codes() -> Codes:
    return Codes(
        np.eye(len(LOOK_KEYS), 64, dtype=np.float32), np.zeros((64, 100), np.float32), np.zeros(64, np.float32)
    )


@pytest.mark.parametrize(
    ("text", "near", "said"),
    [
        ("me in anime", "anime", "'me in anime' asks for anime on the person; near is anime"),
        ("blur the background", None, "'blur the background' asks for blur the background;"),
        ("make my hair red", None, "'make my hair red' asks for colour the hair red;"),
    ],
)
def test_an_edit_at_a_place_is_no_look_and_is_said_as_understood(text: str, near: str | None, said: str) -> None:
    prompt = encode(text, codes())
    assert not prompt.known
    assert prompt.message.startswith(said)
    assert near is None or prompt.matches[0][0] == near
