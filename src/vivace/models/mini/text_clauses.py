"""Structure of a prompt: its clauses, which of them are denied, and the share of each.

Rules over words only, independent of the styles. "Mostly pencil with a touch of watercolour, no ink" has three clauses:
`pencil` at 0.8, `watercolour` at 0.2, and `ink` denied.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from vivace.models.mini.text_features import Words

MOST, TOUCH = 0.8, 0.2
"""Shares meant by "mostly" and by "a touch of"."""


@dataclass(frozen=True, slots=True)
class Clause:
    """Words `start` to `stop` (exclusive) of a prompt, and how they are meant."""

    start: int
    stop: int
    denied: bool = False
    weight: float | None = None
    """Requested share, 0 to 1; None if the prompt names none."""
    joined: bool = False
    """True if only "and" or a comma separates it from the clause before, so that the two may be one."""


def _phrases(text: str) -> dict[str, list[tuple[str, ...]]]:
    """Return phrases, separated by commas, by their first word, longest first."""
    index: dict[str, list[tuple[str, ...]]] = {}
    for phrase in text.split(","):
        words = tuple(phrase.split())
        index.setdefault(words[0], []).append(words)
    return {first: sorted(phrases, key=len, reverse=True) for first, phrases in index.items()}


_DENIALS = _phrases(
    "no, not, never, without, avoid, except, except for, minus, exclude, excluding, dont, doesnt, isnt, wont, shouldnt,"
    "cannot, than, rather than, other than, instead of, in place of, anything but, everything but, all but,"
    "anything except, everything except, nothing like, nothing of, no more, free of, remove, get rid of, lose the,"
    "ohne, kein, keine, keinen, nicht, statt, sans, pas de, pas, senza, sem, sin usar, zonder, utan, без, не"
)
_NOT_DENIALS = _phrases(
    "why not, not only, not just, not bad, no doubt, without a doubt, no matter, no problem, no one"
)
_SCOPE_ENDS = frozenset("but just instead rather please only sondern mais sino".split())
_REQUESTS = frozenset("make give use want try show paint draw turn do switch render take go".split())
"""Verbs that start a new request, except soon after a denial, where they belong to it ("don't ever make it …")."""
_NEAR_DENIAL_WORDS = 3

_SHARES: dict[str, float] = {
    **dict.fromkeys(("half", "a half", "one half", "halb", "moitie", "mitad", "meta", "metade"), 0.5),
    **dict.fromkeys(("a third", "one third"), 1 / 3),
    **dict.fromkeys(("two thirds", "2 thirds"), 2 / 3),
    **dict.fromkeys(("a quarter", "one quarter", "quarter"), 1 / 4),
    **dict.fromkeys(("three quarters", "3 quarters"), 3 / 4),
    **dict.fromkeys(
        "mostly mainly primarily predominantly largely chiefly essentially meist hauptsachlich surtout".split(), MOST
    ),
    **dict.fromkeys(("more", "principalmente", "lots of", "a lot of", "plenty of"), MOST),
    **dict.fromkeys("slightly subtly faintly somewhat partly etwas leicht ligeramente leggermente".split(), TOUCH),
    **dict.fromkeys(("a little", "a bit", "a bit of", "a little bit of", "bits of", "less", "a subtle"), TOUCH),
    **dict.fromkeys(("un peu de", "un poco de", "un toque de", "un po di", "ein hauch von", "ein wenig"), TOUCH),
    **{
        f"{article} {noun} of": TOUCH
        for article in ("a", "the", "some")
        for noun in "touch hint dash splash pinch tinge trace sprinkle drop spot whiff suggestion hints touches".split()
    },
    **{f"{noun} of": TOUCH for noun in "hints touches notes traces touch hint dash splash".split()},
}
_SHARE_PHRASES = _phrases(",".join(_SHARES))
_NOT_SHARES = _phrases(
    "half tone, half tones, half time, half life, a bit map, more than, more like, a little girl, a little boy"
)

_PERCENT = frozenset("percent prozent percents procent".split())
_MIXING = frozenset(
    "meets meet mix mixed mixing mixture blend blended blending between cross crossed crossover combination combined"
    " combine combining fusion fused hybrid mashup equal fifty zwischen mischung gemischt melange entre mezcla".split()
)
"""Words that announce a mixture; after one, any "and" may separate two ingredients."""
_CONNECTORS = frozenset(
    "and with und mit et avec y con e or plus meets meet x to into mixed crossed blended while then".split()
)


def _match(index: dict[str, list[tuple[str, ...]]], words: tuple[str, ...], at: int) -> int:
    """Return the length in words of the longest phrase that matches at `at`, or 0."""
    for phrase in index.get(words[at], ()):
        if words[at : at + len(phrase)] == phrase:
            return len(phrase)
    return 0


def _share(words: tuple[str, ...], at: int) -> tuple[float, int]:
    """Return the share named at `at` and its length in words; length 0 if none is named there."""
    word = words[at]
    if word.endswith("%"):
        return float(word[:-1].replace(",", ".")) / 100, 1
    following = words[at + 1] if at + 1 < len(words) else ""
    if word.isdecimal() and len(word) <= 6 and (following in _PERCENT or words[at + 1 : at + 3] == ("per", "cent")):
        return int(word) / 100, 2 if following in _PERCENT else 3
    if "." in word:
        return (float(word), 1) if 0 < float(word) <= 2 else (0.0, 0)
    if "/" in word:
        top, bottom = (int(part) for part in word.split("/"))
        return (top / bottom, 1) if 0 < top < bottom and not _ratio(word) else (0.0, 0)
    if _match(_NOT_SHARES, words, at):
        return 0.0, 0
    if taken := _match(_SHARE_PHRASES, words, at):
        return _SHARES[" ".join(words[at : at + taken])], taken
    return 0.0, 0


def _ratio(word: str) -> tuple[float, float] | None:
    """Return the two shares of a ratio such as `60/40`, or None."""
    first, _, second = word.partition("/")
    if not (first.isdecimal() and second.isdecimal()) or int(first) + int(second) != 100:
        return None
    return int(first) / 100, int(second) / 100


def split_clauses(prompt: Words) -> list[Clause]:
    """Return the clauses of a prompt, in order; words for shares and denials belong to none.

    A prompt without shares, mixing words and denials is one clause.
    """
    words, gaps = prompt.words, prompt.gaps
    shares = {at: found for at in range(len(words)) if (found := _share(words, at))[1]}
    last = max(shares, default=0)
    trailing = bool(shares) and last + shares[last][1] == len(words) and not words[last].isalpha() and 0 not in shares
    ratio = next((parts for word in words if (parts := _ratio(word))), None)
    mixing = (
        bool(shares or ratio) or not _MIXING.isdisjoint(words) or "x" in words[1:-1] or any("+" in gap for gap in gaps)
    )

    clauses: list[Clause] = []
    start, denied, weight, joined = 0, False, None, False

    def close(stop: int, next_start: int, *, join: bool = False) -> None:
        nonlocal start, weight, joined
        if stop > start and (stop - start > 1 or words[start] not in _CONNECTORS):
            clauses.append(Clause(start, stop, denied, weight, joined))
        start, weight, joined = next_start, None, join

    at = 0
    while at < len(words):
        word = words[at]
        punctuated = at > start and bool(gaps[at].strip("&/"))
        requested = word in _REQUESTS and at - start >= _NEAR_DENIAL_WORDS
        if denied and at > start and (punctuated or word in _SCOPE_ENDS or requested):
            close(at, at)
            denied = False
        if taken := _match(_NOT_DENIALS, words, at):
            at += taken
        elif taken := _match(_DENIALS, words, at):
            close(at, at + taken)
            denied = True
            at += taken
        elif _ratio(word) and not denied:
            close(at, at + 1)
            at += 1
        elif at in shares and not denied:
            share, taken = shares[at]
            if trailing and at > start:
                weight = share
                close(at, at + taken)
            else:
                close(at, at + taken)
                weight = share
            at += taken
        else:
            if mixing and not denied and at > start and (gaps[at] or word in _CONNECTORS):
                close(at, at, join=True)
            at += 1
    close(len(words), len(words))
    if ratio:
        pair = [index for index, clause in enumerate(clauses) if not clause.denied][-2:]
        for index, part in zip(pair, ratio, strict=False):
            clauses[index] = replace(clauses[index], weight=part)
    return clauses
