"""Prompts of the next body: words, or the text of a saved look, to a code."""

from __future__ import annotations

from vivace.models.base import Prompt, is_saved_look
from vivace.models.mini2.codes import Codes
from vivace.models.mini2.looks import LOOKS
from vivace.models.mini2.mixture import Mixture
from vivace.models.mini2.saved import read_look
from vivace.models.mini2.text import Asked

_TITLES = {look.key: look.title for look in LOOKS}
_SHOWN_CHARS = 60


def encode(text: str, codes: Codes) -> Prompt:
    """Return a prompt whose `embeds` are the code `[64]` of the look that it asks for.

    An unknown prompt has the source's code, `known` False and the nearest looks.

    Raises:
        ControlError: the text of a saved look that cannot be used.
    """
    if is_saved_look(text):
        look = read_look(text)
        return _prompt(look.title, look.mixture, codes, 1.0, f"{look.title}: {look.mixture.words}")
    asked = Asked(text)
    if asked.mixture is not None:
        return _prompt(text, asked.mixture, codes, asked.confidence, asked.mixture.words)
    shown = " ".join(text.split())
    shown = shown if len(shown) <= _SHOWN_CHARS else shown[: _SHOWN_CHARS - 1] + "…"
    near = asked.near()
    offers = f"near are {', '.join(_TITLES[key] for key, _ in near)}" if near else "`vivace looks list` names them"
    if not shown:
        message = f"The prompt is empty; {offers}."
    elif asked.denied:
        message = f"'{shown}' says what not to paint, but not how to paint; {offers}."
    else:
        message = f"I know no look in '{shown}'; {offers}, and there are {len(LOOKS) - 1} in all."
    return Prompt(
        text, codes.of(Mixture({}).filled()), known=False, confidence=0.0,
        matches=tuple(near), message=message,
    )  # fmt: skip


def _prompt(text: str, mixture: Mixture, codes: Codes, confidence: float, message: str) -> Prompt:
    order = sorted(mixture.looks.items(), key=lambda item: -item[1])
    return Prompt(text, codes.of(mixture.filled()), True, min(confidence, 1.0), tuple(order), message)
