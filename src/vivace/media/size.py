"""Sizes of pictures as people write them."""

from __future__ import annotations

import re

from vivace.errors import UsageError

_SIZE = re.compile(r"(\d{1,6})[xX×](\d{1,6})")


def parse_size(text: str) -> tuple[int, int]:
    """Return `(width, height)` px of a text such as `512x288`.

    Raises:
        UsageError: any other text. Whether a model can do the size is the model's to say.
    """
    match = _SIZE.fullmatch(text.strip())
    if match is None:
        shown = text if len(text) <= 40 else f"{text[:40]}…"
        raise UsageError(f"size {shown!r} is not WxH in pixels; give for example 512x288.")
    return int(match[1]), int(match[2])
