"""The shipped text encoder: the meanings of prompts, and the handling of unsupported ones."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.numpy import save_file

from tolerance import near
from vivace.errors import CheckpointError, ControlError
from vivace.models import mini
from vivace.models.mini.styles import STYLE_COUNT, STYLE_KEYS, STYLES
from vivace.models.mini.text import Convention, TextEncoder

SHIPPED = Path(mini.__file__).with_name("text.safetensors")
ENCODER = TextEncoder.load()


def weights(text: str) -> dict[str, float]:
    """Return the styles of a prompt with their weights, rounded; empty for an unknown one."""
    prompt = ENCODER.encode(text)
    return {key: round(weight, 2) for key, weight in prompt.matches} if prompt.known else {}


@pytest.mark.parametrize("style", STYLES, ids=lambda style: style.key)
def test_the_prompt_listed_for_a_style_reaches_exactly_that_style(style):
    prompt = ENCODER.encode(style.prompt)
    assert prompt.known
    assert prompt.matches == ((style.key, 1.0),)
    assert prompt.embeds.tolist() == [float(key == style.key) for key in STYLE_KEYS]
    assert prompt.message.startswith(style.title)


@pytest.mark.parametrize(
    ("text", "style"),
    [
        ("make it look like a graphite drawing", "pencil"),
        ("as if painted by Van Gogh", "swirl"),
        ("cyberpunk at night", "neon"),
        ("Studio Ghibli", "cel"),
        ("like the Simpsons", "cel"),
        ("minecraft", "pixel"),
        ("watercolr painting of my living room", "watercolour"),
        ("penicl sketch", "pencil"),
        ("Predator heat vision", "thermal"),
        ("at dusk the sun is setting", "golden"),
        ("a beautiful aquarelle", "watercolour"),
        ("水彩", "watercolour"),
        ("Ölgemälde", "oil"),
    ],
)
def test_free_text_lands_on_the_right_style(text, style):
    assert weights(text) == {style: 1.0}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("half watercolour, half ink", {"watercolour": 0.5, "ink": 0.5}),
        ("70% oil and 30% neon", {"oil": 0.7, "neon": 0.3}),
        ("oil 70 percent, neon 30 percent", {"oil": 0.7, "neon": 0.3}),
        ("(oil:0.7), (neon:0.3)", {"oil": 0.7, "neon": 0.3}),
        ("60/40 anime and oil", {"cel": 0.6, "oil": 0.4}),
        ("mostly pencil with a touch of watercolour", {"pencil": 0.8, "watercolour": 0.2}),
        ("two thirds blueprint, one third thermal", {"blueprint": 0.67, "thermal": 0.33}),
        ("black and white with a touch of neon", {"noir": 0.8, "neon": 0.2}),
        ("between anime and pixel art", {"cel": 0.5, "pixel": 0.5}),
        ("Rembrandt meets Tron", {"oil": 0.5, "neon": 0.5}),
        ("ink drawing at night", {"ink": 0.5, "night": 0.5}),
        ("100% oil", {"oil": 1.0}),
    ],
)
def test_mixtures_keep_the_proportions_asked_for(text, expected):
    assert weights(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("not anime, oil painting", {"oil": 1.0}),
        ("not anime oil painting", {"oil": 1.0}),
        ("comic without halftone dots", {"comic": 1.0}),
        ("no snow, just a pencil drawing", {"pencil": 1.0}),
        ("anything but neon; watercolour please", {"watercolour": 1.0}),
        ("anime but no outlines, oil paint", {"oil": 0.67, "cel": 0.33}),
        ("ink instead of pencil", {"ink": 1.0}),
        ("why not watercolour?", {"watercolour": 1.0}),
        ("a man without a hat, in watercolour", {"watercolour": 1.0}),
    ],
)
def test_what_is_denied_is_left_out(text, expected):
    assert weights(text) == expected


@pytest.mark.parametrize(
    "text", ["a cat on a sofa", "hello", "asdf", "a purple elephant riding a bike", "lego", "0% oil"]
)
def test_an_unknown_prompt_is_said_to_be_unknown_with_the_nearest_style(text):
    prompt = ENCODER.encode(text)
    assert not prompt.known
    nearest = prompt.matches[0][0]
    assert prompt.embeds[STYLE_KEYS.index(nearest)] == 1.0
    assert repr(text) in prompt.message
    assert f"{next(style.title for style in STYLES if style.key == nearest)} (" in prompt.message
    assert all(style.title in prompt.message for style in STYLES)


@pytest.mark.parametrize("text", ["", "   ", "\n\t", "!?", "\x00"])
def test_a_prompt_without_words_is_unknown(text):
    assert not ENCODER.encode(text).known


def test_only_a_denial_is_unknown_says_so_and_is_not_what_is_near():
    for text, denied in (("no anime", "cel"), ("no neon please", "neon")):
        prompt = ENCODER.encode(text)
        assert not prompt.known
        assert "what not to paint" in prompt.message
        assert denied not in dict(prompt.matches)
        assert len(prompt.matches) == 3


@pytest.mark.parametrize("style", STYLES, ids=STYLE_KEYS)
def test_every_name_of_a_style_is_a_prompt_for_it(style):
    """A client may therefore offer the nearest styles as they are."""
    for text in style:
        assert weights(text) == {style.key: 1.0}


def test_what_is_not_text_is_refused_by_type():
    with pytest.raises(ControlError, match="float"):
        ENCODER.encode(float("nan"))  # type: ignore[arg-type]


ODD = [
    "9" * 2000 + "% oil",
    "1/0 ink",
    "0/0",
    "0%",
    "%%%",
    "\ud800 ink",
    "ink " * 500,
    "🎨 watercolour 🎨",
    "½ ink ½ oil",
]


@pytest.mark.parametrize("text", ODD)
def test_odd_text_gives_a_mixture_all_the_same(text):
    assert_a_mixture(text)


@given(st.text(max_size=200))
@settings(max_examples=60, derandomize=True)
def test_any_text_gives_a_mixture(text):
    assert_a_mixture(text)


@given(
    st.lists(st.sampled_from("half 70% 30/70 not no but and , ; meets ink oil neon a cat at night of touch".split()))
)
@settings(max_examples=100, derandomize=True)
def test_any_heap_of_shares_and_denials_gives_a_mixture(words):
    assert_a_mixture(" ".join(words))


def assert_a_mixture(text: str) -> None:
    prompt = ENCODER.encode(text)
    assert prompt.embeds.shape == (STYLE_COUNT,)
    assert prompt.embeds.dtype == np.float32
    assert (prompt.embeds >= 0).all()
    assert near(prompt.embeds.sum(), 1)
    assert 0 <= prompt.confidence <= 1
    assert prompt.message
    assert [weight for _, weight in prompt.matches] == sorted((weight for _, weight in prompt.matches), reverse=True)


def test_a_style_is_found_in_two_thousand_characters_of_something_else():
    text = "a cat and a dog in the garden by the house, " * 45 + "painted in watercolour"
    assert weights(text) == {"watercolour": 1.0}


@pytest.mark.parametrize("text", ["WATERCOLOUR", "ｗａｔｅｒｃｏｌｏｕｒ", "  watercolour\n", "wate\u0301rcolour"])
def test_case_width_accents_and_space_do_not_matter(text):
    assert np.array_equal(ENCODER.encode(text).embeds, ENCODER.encode("watercolour").embeds)


def test_the_same_text_gives_the_same_prompt_from_any_copy_of_the_weights():
    one, other = ENCODER.encode("half ink, half snow"), TextEncoder.load(SHIPPED).encode("half ink, half snow")
    assert np.array_equal(one.embeds, other.embeds)
    assert (one.confidence, one.matches, one.message) == (other.confidence, other.matches, other.message)


def test_the_shipped_weights_are_small_and_half_precision():
    with safe_open(str(SHIPPED), framework="numpy") as file:
        assert {file.get_tensor(name).dtype for name in file.keys()} == {np.dtype(np.float16)}  # noqa: SIM118
    assert SHIPPED.stat().st_size <= 2_000_000


def test_missing_or_damaged_weights_are_refused(tmp_path):
    with pytest.raises(CheckpointError, match="no such file"):
        TextEncoder.load(tmp_path / "none.safetensors")
    damaged = tmp_path / "damaged.safetensors"
    damaged.write_bytes(SHIPPED.read_bytes()[:1000])
    with pytest.raises(CheckpointError, match="cannot be read"):
        TextEncoder.load(damaged)


def save(path: Path, convention: str) -> Path:
    arrays = {"table": np.zeros((4, 2), np.float16), "bias": np.zeros(2, np.float16)}
    save_file(arrays, path, {"convention": convention})
    return path


@pytest.mark.parametrize(
    ("field", "value"),
    [("styles", ["cel", "ink"]), ("hash_seed", 7), ("buckets", 64), ("format", "other"), ("ngram_sizes", [2])],
)
def test_weights_of_another_convention_are_refused_by_the_name_of_the_field(tmp_path, field, value):
    convention = asdict(Convention()) | {field: value}
    with pytest.raises(CheckpointError, match=f"{field} is .* needs"):
        TextEncoder.load(save(tmp_path / "text.safetensors", json.dumps(convention)))


@pytest.mark.parametrize("convention", ["{", "[]", "3"])
def test_weights_without_a_convention_are_refused(tmp_path, convention):
    with pytest.raises(CheckpointError, match="holds no convention"):
        TextEncoder.load(save(tmp_path / "text.safetensors", convention))


def test_a_convention_with_a_field_missing_is_refused_by_its_name(tmp_path):
    convention = asdict(Convention())
    del convention["temperature"]
    with pytest.raises(CheckpointError, match="lacks temperature"):
        TextEncoder.load(save(tmp_path / "text.safetensors", json.dumps(convention)))


def test_weights_of_the_wrong_shape_are_refused(tmp_path):
    path = save(tmp_path / "text.safetensors", json.dumps(asdict(Convention())))
    with pytest.raises(CheckpointError, match=r"table has shape \(4, 2\)"):
        TextEncoder.load(path)


@pytest.mark.parametrize(
    ("prompt", "words"),
    [
        ("(watercolour:1.3)", "weights such as (ink:1.3) are not read here"),
        ("watercolour <lora:wool:0.8>", "<lora:wool> loads nothing: this model has no LoRAs"),
        ("(gibberish:1.3)", "Weights such as (ink:1.3) are not read here"),
    ],
)
def test_what_only_other_models_read_is_said(prompt: str, words: str) -> None:
    assert words in ENCODER.encode(prompt).message
    assert "read here" not in ENCODER.encode("watercolour (soft)").message
