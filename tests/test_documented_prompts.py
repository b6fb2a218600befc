"""The table of typed prompts holds the answers of `mini`; `python tests/test_documented_prompts.py` writes it."""

from __future__ import annotations

import re
from pathlib import Path

from vivace.models.mini.styles import STYLES
from vivace.models.mini.text import TextEncoder

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


def answer(encoder: TextEncoder, typed: str) -> str:
    """Return the studio's reaction to a prompt: it paints, or it makes an offer."""
    prompt = encoder.encode(typed)
    looks = [TITLES[name] for name, share in prompt.matches if not prompt.known or share >= WORTH_SAYING]
    return f"painted as {' and '.join(looks)}" if prompt.known else " ".join(f"[{look}]" for look in looks)


def written(text: str) -> str:
    """Return a document with its table as answered by the model."""
    encoder = TextEncoder.load()
    rows = "".join(f"| {typed} | {answer(encoder, typed)} |\n" for typed in TYPED)
    return _TABLE.sub(lambda found: f"{found[1]}| typed | answered |\n|---|---|\n{rows}{found[4]}", text)


def test_the_table_is_what_the_model_answers() -> None:
    text = PAGE.read_text("utf-8")
    assert _TABLE.search(text)
    assert written(text) == text, "run `python tests/test_documented_prompts.py`"


def test_each_prompt_is_painted_or_answered_with_looks_to_click() -> None:
    encoder = TextEncoder.load()
    for typed in TYPED:
        assert re.fullmatch(r"painted as .+|\[.+\]", answer(encoder, typed)), typed


if __name__ == "__main__":
    PAGE.write_text(written(PAGE.read_text("utf-8")), "utf-8")
