"""Reader of `lexicon.toml`, the words that people use for the styles."""

from __future__ import annotations

import tomllib
from functools import cache
from importlib import resources


@cache
def read_lexicon(package: str = "vivace.models.mini") -> dict[str, dict[str, list[str]]]:
    """Return the words for each style of a package's lexicon, by key and by kind: `medium`, `name` or `scene`."""
    return tomllib.loads((resources.files(package) / "lexicon.toml").read_text(encoding="utf-8"))
