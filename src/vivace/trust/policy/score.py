"""Score of a list: precision and recall on requests that are known to be harmless or not."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from vivace.checks import brief
from vivace.errors import UsageError
from vivace.trust.policy.policy import Policy

HARMLESS = "harmless"


@dataclass(frozen=True, slots=True)
class Request:
    """A request, and what should become of it."""

    part: str
    """Part of the file, such as `blind`."""
    reason: str
    """For which it should be refused, or `harmless`."""
    language: str
    text: str


def read_requests(path: Path) -> list[Request]:
    """Read requests from TOML: `[PART.REASON]` with lists of texts by language.

    Raises:
        UsageError: the file cannot be read, or is none.
    """
    try:
        parts = tomllib.loads(path.read_text(encoding="utf-8"))
        found = [
            Request(part, reason, language, text)
            for part, reasons in parts.items()
            for reason, languages in reasons.items()
            for language, texts in languages.items()
            for text in _listed(texts)
        ]
    except OSError as error:
        raise UsageError(f"{path} cannot be read ({error.strerror})") from error
    except (ValueError, AttributeError) as error:
        raise UsageError(f"{path} holds no requests ({error}); give [PART.REASON] with lists by language") from error
    if not found:
        raise UsageError(f"{path} holds no requests; give [PART.REASON] with lists by language")
    return found


def _listed(texts: object) -> list[str]:
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise ValueError(f"{brief(texts)} is no list of texts")
    return texts


def score(policy: Policy, requests: Sequence[Request]) -> Iterator[str]:
    """Yield lines for people: of each part how many were judged rightly, precision and recall, and each mistake.

    Precision is the share of the refused that should be; recall the share of those that should be that were. A request
    that is refused for another reason than it should be counts as refused.
    """
    for part in dict.fromkeys(request.part for request in requests):
        mine = [(request, policy.judge(request.text)) for request in requests if request.part == part]
        bad = [verdict for request, verdict in mine if request.reason != HARMLESS]
        harmless = [verdict for request, verdict in mine if request.reason == HARMLESS]
        caught = sum(verdict is not None for verdict in bad)
        false = sum(verdict is not None for verdict in harmless)
        precision = f"{caught / (caught + false):.1%}" if caught + false else "none refused"
        recall = f"{caught / len(bad):.1%}" if bad else "none to refuse"
        yield (
            f"{part}: {caught} of {len(bad)} refused, {false} of {len(harmless)} harmless refused; "
            f"precision {precision}, recall {recall}"
        )
        for request, verdict in mine:
            if (verdict is None) != (request.reason == HARMLESS):
                why = "painted" if verdict is None else f"refused as {verdict.reason}: {verdict.phrase!r}"
                yield f"  {request.reason} ({request.language}) {request.text!r}: {why}"
