"""Prompts of `mini2`: from words, or the text of a saved look, to a code."""

from __future__ import annotations

from vivace.models.base import Prompt, is_saved_look
from vivace.models.mini2.codes import Codes
from vivace.models.mini2.looks import LOOKS
from vivace.models.mini2.mixture import Mixture
from vivace.models.mini2.saved import read_look
from vivace.models.mini2.text.reader import Request, read_request

_TITLES = {look.key: look.title for look in LOOKS}
_SHOWN_CHARS = 60


def encode(text: str, codes: Codes) -> Prompt:
    """Return a prompt whose `embeds` are the code `[64]` of the look that it asks for.

    An unknown prompt has the source's code, `known` false and the nearest looks.

    Raises:
        ControlError: the text of a saved look that cannot be used.
    """
    if is_saved_look(text):
        look = read_look(text)
        return _prompt(look.title, look.mixture, codes, 1.0, f"{look.title}: {look.mixture.words}")
    request = read_request(text)
    if request.mixture is not None:
        return _prompt(text, request.mixture, codes, request.reading.confidence, request.mixture.words)
    near = request.near()
    return Prompt(
        text, codes.of(Mixture({}).filled()), known=False, confidence=request.reading.confidence,
        matches=tuple(near), message=_refusal(text, request, near),
    )  # fmt: skip


def _refusal(text: str, request: Request, near: list[tuple[str, float]]) -> str:
    shown = " ".join(text.split())
    shown = shown if len(shown) <= _SHOWN_CHARS else shown[: _SHOWN_CHARS - 1] + "…"
    reading = request.reading
    offers = (
        f"near is {', '.join(_TITLES[key] for key, _ in near)}" if near else "`vivace looks list` names what it can"
    )
    if not shown:
        return f"The prompt is empty; {offers}."
    if request.denied:
        return f"'{shown}' says what not to paint, but not how to paint; {offers}."
    if reading.refusal == "policy":
        return f"'{shown}' asks for {reading.sentence}."
    return f"'{shown}' asks for {reading.sentence}; {offers}, and there are {len(LOOKS) - 1} looks in all."


def _prompt(text: str, mixture: Mixture, codes: Codes, confidence: float, message: str) -> Prompt:
    order = sorted(mixture.looks.items(), key=lambda item: -item[1])
    return Prompt(text, codes.of(mixture.filled()), True, min(confidence, 1.0), tuple(order), message)
