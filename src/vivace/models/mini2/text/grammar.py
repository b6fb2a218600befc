"""From words to a chain of edits: clauses, and how they complete one another.

A clause ends at punctuation and at "and", "but", "then". A clause with only a place or only an action completes the one
before or after it: "my face and hair in gold", "oil, but not on my hands", "keep the sky, everything else in ink".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from vivace.models.mini.text_features import Words
from vivace.models.mini2.text.clauses import AMBIENCE, CANNOT, OF_PEOPLE, VERBS, Clause, ClauseReader, is_named
from vivace.models.mini2.text.lexicon import Item, Lexicon, lexicon
from vivace.models.mini2.text.reading import Amount, Edit, Reading

_DECIDED = ("policy", "add", *CANNOT)
"""Reasons that no guess changes."""
_PLACES = ("region", "thing", "worn", "skin")
_QUESTIONS = frozenset("who when where why how is are did does was".split())
_LIKENESS = frozenset("like style look looks filter effect version theme aesthetic vibe vibes as make turn".split())
_AMOUNTS: tuple[Amount, ...] = ("little", "", "much")
_GRADED = ("look", "recolour", "blur")
"""Actions that have amounts."""
_STEPS = {"stronger": 1, "weaker": -1}
"""Steps along the amounts."""


@dataclass(frozen=True, slots=True)
class Parse:
    """A reading without its confidence, and the evidence for it."""

    reading: Reading
    looks: tuple[Item, ...]
    """Words that name the requested looks."""
    denied: frozenset[str]
    """Keys of denied looks."""
    items: tuple[Item, ...]
    words: tuple[str, ...]
    reason: str
    """Rule that decided."""


def parse(words: Words, known: Lexicon | None = None) -> Parse:
    """Return the reading of a request's words.

    If nothing is understood, unknown words are replaced by the nearest in meaning, and then weak words by the looks
    they name.
    """
    known = known or lexicon()
    items = known.items_of(words)
    found = _parse(words, items)
    if found.reason in _DECIDED:
        return found
    said = bool(found.reading.edits)
    guessed = known.guessed(items)
    if said:
        # It is enough to know which thing is meant: "make my tunic red".
        guessed = [
            guess if guess.kind in _PLACES and is_named(words.words, guess) else item
            for item, guess in zip(items, guessed, strict=True)
        ]
    if guessed != items:
        found, items = _parse(words, guessed), guessed
    if found.reading.edits or found.reason in ("chat", *_DECIDED) or not any(item.kind == "weak" for item in items):
        return found
    strong = [replace(item, kind="look") if item.kind == "weak" else item for item in items]
    again = _parse(words, strong)
    return replace(again, items=tuple(items), reason="weak") if again.reading.edits else found


def _parse(words: Words, items: Sequence[Item]) -> Parse:
    items = _without_owners(words, items)
    clauses = [ClauseReader(words).read(part) for part in _split(words, items)]
    asked = tuple(item for clause in clauses for item in clause.looks)
    denied = frozenset(look for clause in clauses for look in clause.denied)

    def said(reading: Reading, reason: str) -> Parse:
        return Parse(reading, asked, denied, tuple(items), words.words, reason)

    kinds = {item.kind for item in items}
    if "policy" in kinds:
        return said(Reading(refusal="policy"), "policy")
    edits = _chain(clauses)
    # A place or style that stands alone beside a look is the content of the picture, or the mood.
    soft = ("style", "place") if any(edit.action == "look" for edit in edits) else ()
    cannot = next((each.cannot for each in clauses if each.cannot and (each.on or each.cannot not in soft)), "")
    said_to_do = not VERBS.isdisjoint(words.words)
    if any(edit.action == "remove" and "clothes" in edit.on for edit in edits):
        return said(Reading(refusal="policy"), "policy")
    if edits and not cannot:
        if _asks(words) and not said_to_do:
            return said(Reading(refusal="no_request"), "chat")
        return said(Reading(tuple(edits)), "edits")
    if cannot:
        return said(Reading(refusal="cannot"), cannot)
    if "region" in kinds and said_to_do:
        return said(Reading(refusal="cannot"), "incomplete")
    if "chat" in kinds:
        return said(Reading(refusal="no_request"), "chat")
    if kinds & {"quality", *CANNOT}:
        return said(Reading(refusal="cannot"), "quality")
    if kinds & {"region", "adding", "replace", "remove"} or denied:
        return said(Reading(refusal="cannot"), "incomplete")
    if "unknown" in kinds and not _LIKENESS.isdisjoint(words.words):
        return said(Reading(refusal="cannot"), "unknown look")
    return said(Reading(refusal="no_request"), "nothing")


def _asks(words: Words) -> bool:
    """Return whether a text is a question, other than whether something can be done."""
    return bool(words.words) and words.words[0] in _QUESTIONS


def _without_owners(words: Words, items: Sequence[Item]) -> list[Item]:
    """Return the items without people who only say whose a place is: "the red dress of the woman"."""
    places = [item for item in items if item.kind == "region"]
    owners = {
        item.start
        for before, item in pairwise(places)
        if item.value == "person" and before.value != "person" and "of" in words.words[before.stop : item.start]
    }
    return [item for item in items if item.start not in owners]


def _split(words: Words, items: Sequence[Item]) -> list[Clause]:
    clauses = [Clause()]
    for item in items:
        gap = words.gaps[item.start].strip("&/")
        if item.kind == "and":
            gap = gap or item.value
        if gap and (clauses[-1].items or clauses[-1].break_before != gap):
            if clauses[-1].items:
                clauses.append(Clause(gap))
            else:
                clauses[-1].break_before += gap
        if item.kind != "and":
            clauses[-1].items.append(item)
    return [part for clause in clauses if clause.items for part in _split_pairs(clause)]


def _split_pairs(clause: Clause) -> list[Clause]:
    """Return the clause split into pairs of place and action: "me in gold with red hair"."""
    places = [at for at, item in enumerate(clause.items) if item.kind == "region"]
    whats = [at for at, item in enumerate(clause.items) if item.kind in ("look", "colour")]
    if len(places) < 2 or len(whats) < 2 or clause.has("keep", "but", "not", "replace", "shape"):
        return [clause]
    end = max(places[0], whats[0])
    rest = [at for at in (*places, *whats) if at > end]
    if not any(at > end for at in places) or not any(at > end for at in whats):
        return [clause]
    start = min(rest)
    return [
        Clause(clause.break_before, clause.items[:start]),
        *_split_pairs(Clause("with", clause.items[start:])),
    ]


@dataclass(slots=True)
class _Draft:
    action: str
    what: list[str]
    on: list[str]
    keep: list[str]
    amount: Amount
    grey: bool

    def done(self) -> Edit:
        action, what = self.action, frozenset(self.what)
        if self.grey:
            action, what = ("recolour", frozenset({"grey"})) if self.on or self.keep else ("look", frozenset({"noir"}))
        elif what == {"source"}:
            action, what = "reset", frozenset()
        return Edit(action, what, frozenset(self.on), frozenset(self.keep), self.amount)


def _last_graded(drafts: Sequence[_Draft], on: Sequence[str]) -> _Draft | None:
    """Return the last edit that has an amount, at some places or anywhere, if it is the last one or `on` names it."""
    graded = [draft for draft in (drafts if on else drafts[-1:]) if draft.action in _GRADED]
    return next((draft for draft in reversed(graded) if set(on) <= set(draft.on)), None)


def _chain(clauses: Sequence[Clause]) -> list[Edit]:
    """Return the edits that the clauses join to."""
    drafts: list[_Draft] = []
    waiting = Clause()  # places without something to do
    denied = {look for clause in clauses for look in clause.denied}
    for number, clause in enumerate(clauses):
        following = clauses[number + 1] if number + 1 < len(clauses) else None
        if drafts and _completes(drafts[-1], clause):
            continue
        if clause.action:
            on, keep = [*waiting.on, *clause.on], [*waiting.keep, *clause.keep]
            last = drafts[-1] if drafts else None
            if clause.has("rest") and last and last.on and not on and not keep:
                keep = [*last.on]
            if last and _is_everywhere(last, clause):
                pass  # "night, with moonlight from the window"
            elif last and not waiting.on and not waiting.keep and _continues(last, clause):
                last.what += clause.what
                last.keep += keep
                last.amount = last.amount or clause.amount
            elif clause.action in _STEPS and (meant := _last_graded(drafts, on)):
                grade = _AMOUNTS.index(meant.amount) + _STEPS[clause.action]
                meant.amount = _AMOUNTS[min(max(grade, 0), len(_AMOUNTS) - 1)]
            else:
                what = [value for value in clause.what if value not in denied or clause.action != "look"]
                plain = waiting.has("plain", "replace") or clause.has("plain", "replace")
                if clause.action == "recolour" and "background" in waiting.on and plain:
                    clause.action = "replace"
                joined = clause.break_before == "and" and clause.action == "look" and not on
                told = clauses[number - 1].has_word(VERBS)
                if last and joined and last.action == "recolour" and not (last.on or last.keep or told):
                    drafts.pop()  # "a bold red and yellow poster"
                grey = bool(clause.looks) and all(item.kind == "grey" for item in clause.looks)
                light = [look for look in what if look in AMBIENCE and clause.action == "look"]
                if light and len(light) < len(what) and on and OF_PEOPLE.issuperset(on):
                    # "Me as a zombie in the rain": it rains on everything.
                    what = [look for look in what if look not in light]
                    drafts.append(_Draft("look", what, on, keep, clause.amount, grey))
                    what, on, keep = light, [], []
                drafts.append(_Draft(clause.action, what, on, keep, clause.amount, grey))
            waiting = Clause()
            continue
        if clause.has("rest") and clause.has("keep"):
            continue
        if clause.on:
            later = (
                following is not None
                and following.action
                and not following.on
                and (following.break_before == ":" or clause.break_before not in ("and", ","))
            )
            if drafts and not later:
                kept = clauses[number - 1].keeps_last or (clause.break_before == "but" and not clause.has("only"))
                (drafts[-1].keep if kept else drafts[-1].on).extend(clause.on)
            else:
                waiting.on += clause.on
                waiting.items += clause.items
        if clause.keep:
            (drafts[-1].keep if drafts else waiting.keep).extend(clause.keep)
        if clause.amount and drafts and not drafts[-1].amount:
            drafts[-1].amount = clause.amount
        if not drafts and clause.keeps_last and not clause.keep:
            waiting.keep += waiting.on
            waiting.on = []
    edits = [draft.done() for draft in drafts if draft.what or draft.action not in ("look", "recolour", "replace")]
    return [edit for edit, before in zip(edits, [None, *edits], strict=False) if edit != before]


def _is_everywhere(last: _Draft, clause: Clause) -> bool:
    """Return whether a clause's looks are on all of the picture already."""
    looks = last.action == clause.action == "look"
    return looks and not (last.on or last.keep or clause.keep) and {*clause.what} <= {*last.what}


def _continues(last: _Draft, clause: Clause) -> bool:
    """Return whether a clause's looks belong to the edit before: "anime, with rain"."""
    if last.action != "look" or clause.action != "look" or clause.on or clause.has("rest"):
        return False
    if not last.on:
        return True
    return clause.break_before in ("and", "with") and AMBIENCE.isdisjoint(clause.what)


def _completes(last: _Draft, clause: Clause) -> bool:
    """Return whether a clause only completes the edit before, which is then extended by it."""
    as_it_is = clause.action == "reset" or clause.what == ("source",)
    if as_it_is and clause.on and clause.break_before in ("but", "and", ","):
        last.keep.extend(clause.on)  # "…, but my face as it is"
    elif clause.action == "recolour" and clause.has("only") and last.grey:
        last.keep.extend(clause.what)  # "black and white, only the red"
    elif (last.action, last.on) == ("remove", ["background"]) and clause.has("picture", "video"):
        last.action, last.what = "replace", ["video" if clause.has("video") else "picture"]
    else:
        return False
    return True
