"""The table of typed prompts holds the answers of `mini`; `python tests/test_documented_prompts.py` writes it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from vivace.models import load_model
from vivace.models.base import StreamModel
from vivace.models.mini.styles import STYLES

PAGE = Path(__file__).parents[1] / "docs" / "studio.md"
_TABLE = re.compile(r"(<!-- prompts of (\w+) -->\n)(.*?)(<!-- end -->)", re.DOTALL)
TITLES = {style.key: style.title for style in STYLES}

TYPED = (
    "make me look like a superhero",
    "anime girl",
    "cyberpunk city",
    "turn me into a zombie",
    "remove the background",
    "make my shirt red",
    "Pixar style",
    "lego",
    "claymation",
    "underwater",
)
"""The first ten that came to a person's mind."""
WORTH_SAYING = 0.1
"""Share of a look from which the studio names it."""


def answer(model: StreamModel[Any], typed: str) -> str:
    """Return the studio's reaction to a prompt: it paints, edits at a place, or makes an offer."""
    prompt = model.encode_prompt(typed)
    looks = [TITLES[name] for name, share in prompt.matches if not prompt.known or share >= WORTH_SAYING]
    if prompt.known:
        return f"painted as {' and '.join(looks)}" if looks else prompt.message
    _, only_there, others = prompt.message.partition(" The model mini2 paints ")
    return " ".join(f"`{look}`" for look in looks) + (f"; `mini2` paints {others}" if only_there else "")


def written(text: str) -> str:
    """Return a document with its table as answered by the model."""
    model = load_model("mini", threads=1)
    rows = "".join(f"| {typed} | {answer(model, typed)} |\n" for typed in TYPED)
    return _TABLE.sub(lambda found: f"{found[1]}| typed | answered |\n|---|---|\n{rows}{found[4]}", text)


def test_the_table_is_what_the_model_answers() -> None:
    text = PAGE.read_text("utf-8")
    assert _TABLE.search(text)
    assert written(text) == text, "run `python tests/test_documented_prompts.py`"


def test_each_prompt_is_done_or_answered_with_looks_to_click() -> None:
    model = load_model("mini", threads=1)
    for typed in TYPED:
        prompt = model.encode_prompt(typed)
        assert prompt.known or prompt.matches, typed


if __name__ == "__main__":
    PAGE.write_text(written(PAGE.read_text("utf-8")), "utf-8")
