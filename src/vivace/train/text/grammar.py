"""Caption grammar: prompts made of lexicon entries, templates and things in the picture, with their labels.

A sample is a prompt and, for each style, the probability that it is asked for. Everything is drawn from one seeded
generator. `split` holds out part of the entries, templates and content for the measurement.
"""

from __future__ import annotations

import random
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from importlib import resources
from typing import Any, NamedTuple

from vivace.models.mini.lexicon import read_lexicon
from vivace.models.mini.styles import STYLE_KEYS
from vivace.models.mini.text import AMBIENCE

NEAR = 0.12
"""Target of the style nearest to an unsupported one: well below any threshold, yet the highest of the prompt."""

AMBIENCE_ODDS = 3
"""Odds of light and weather over techniques in a pair of styles; people say "a snowy night"."""

HELD_OUT = 0.12
"""Share of entries, templates and content held out from training in the measured fit."""


class Entry(NamedTuple):
    """Way to name a style."""

    style: str
    kind: str
    """`medium`, `name`, `scene`, or `unknown` for an unsupported style; selects the templates that fit."""
    text: str


class Sample(NamedTuple):
    """Prompt and target probability of each style, in the order of `STYLE_KEYS`."""

    text: str
    target: tuple[float, ...]


@dataclass(frozen=True)
class Grammar:
    """Material of which prompts are made."""

    entries: tuple[Entry, ...]
    foreign: tuple[Entry, ...]
    templates: dict[str, tuple[str, ...]]
    content: tuple[str, ...]
    chatter: tuple[str, ...]
    lookalike: tuple[str, ...]
    tags: tuple[str, ...]
    absorbs: dict[str, tuple[str, ...]]

    @classmethod
    def read(cls) -> Grammar:
        """Read the lexicon and the content that ship with this package."""
        lexicon, content = read_lexicon(), _toml("content.toml")
        return cls(
            entries=tuple(
                Entry(style, kind, text)
                for style in STYLE_KEYS
                for kind, texts in lexicon[style].items()
                for text in texts
            ),
            foreign=tuple(
                Entry(style, "unknown", text) for style, texts in content["foreign"].items() for text in texts
            ),
            templates={kind: tuple(texts) for kind, texts in content["templates"].items()},
            content=(*content["content"], *content["captions"]),
            chatter=tuple(content["chatter"]),
            lookalike=tuple(content["lookalike"]),
            tags=tuple(content["tags"]),
            absorbs={style: tuple(others) for style, others in content["absorbs"].items()},
        )

    def split(self, rng: random.Random) -> tuple[Grammar, Grammar]:
        """Return the grammar to train on and the held-out one; they share no entry, template or content."""
        parts: list[dict[str, Any]] = [{}, {}]
        for name in ("entries", "foreign", "content", "chatter", "lookalike", "tags"):
            for part, items in zip(parts, _halve(getattr(self, name), rng), strict=True):
                part[name] = items
        halves = {kind: _halve(texts, rng) for kind, texts in self.templates.items()}
        for index, part in enumerate(parts):
            # The bare entry is a template of both parts; without it, one of them would never see a one-word prompt.
            part["templates"] = {
                kind: (*half[index], "{}") if "{}" in self.templates[kind] else half[index]
                for kind, half in halves.items()
            }
        return replace(self, **parts[0]), replace(self, **parts[1])

    def sample(self, rng: random.Random) -> Sample:
        """Draw one prompt: a style, two of them, or none that is supported."""
        draw = rng.random()
        if draw < 0.52:
            return self._single(rng)
        if draw < 0.68:
            return self._pair(rng)
        return self._none(rng)

    def _entry(self, rng: random.Random, style: str, kinds: Sequence[str] = ("medium", "name", "scene")) -> Entry:
        """Draw an entry of a style; the lists begin with the most frequent entries, which are drawn most."""
        entries = self._by_kind
        kind = rng.choices(kinds, [len(entries[style, kind]) for kind in kinds])[0]
        return entries[style, kind][int(len(entries[style, kind]) * rng.random() ** 2)]

    @cached_property
    def _by_kind(self) -> dict[tuple[str, str], list[Entry]]:
        index: dict[tuple[str, str], list[Entry]] = {
            (style, kind): [] for style in STYLE_KEYS for kind in ("medium", "name", "scene")
        }
        for entry in self.entries:
            index[entry.style, entry.kind].append(entry)
        return index

    def _single(self, rng: random.Random) -> Sample:
        entry = self._entry(rng, rng.choice(STYLE_KEYS))
        text = self._fill(rng, rng.choice(self.templates[entry.kind]), misspell(entry.text, rng))
        return Sample(text, _target({entry.style: 1.0}))

    def _pair(self, rng: random.Random) -> Sample:
        pool = [style for style in STYLE_KEYS for _ in range(AMBIENCE_ODDS if style in AMBIENCE else 1)]
        styles = [rng.choice(pool)]
        styles.append(rng.choice([style for style in pool if style != styles[0]]))
        first, second = (self._entry(rng, style) for style in styles)
        if first.kind == "scene":
            first, second = second, first
        kind = "pair_scene" if second.kind == "scene" and first.kind != "scene" else "pair"
        template = rng.choice(self.templates[kind])
        texts = (misspell(first.text, rng), misspell(second.text, rng))
        if kind == "pair_scene":
            text = self._fill(rng, template, texts[0]).replace("{s}", texts[1])
        else:
            text = self._fill(rng, template, *texts)
        target = {first.style: 1.0, second.style: 1.0}
        third = self._entry(rng, rng.choice(sorted(AMBIENCE)), ("scene",))
        if rng.random() < 0.25 and third.style not in target and not any(s in self.absorbs for s in target):
            text += " " + third.text
            target[third.style] = 1.0
        if second.style in self.absorbs.get(first.style, ()):
            del target[second.style]
        elif first.style in self.absorbs.get(second.style, ()):
            del target[first.style]
        return Sample(text, _target(target))

    def _none(self, rng: random.Random) -> Sample:
        draw = rng.random()
        if draw < 0.3:
            entry = rng.choice(self.foreign)
            text = self._fill(rng, rng.choice(self.templates["unknown"]), misspell(entry.text, rng))
            return Sample(text, _target({entry.style: NEAR}))
        if draw < 0.55:
            text = self._fill(rng, rng.choice(self.templates["unknown"]), rng.choice(self.lookalike))
        elif draw < 0.75:
            text = self._fill(rng, rng.choice(self.templates["unknown"]), rng.choice(self.content))
        elif draw < 0.9:
            text = " ".join(rng.choice(self.chatter) for _ in range(rng.choice((1, 1, 1, 2))))
        else:
            text = " ".join(pseudo_word(rng) for _ in range(rng.randint(1, 3)))
            if rng.random() < 0.5:
                text = self._fill(rng, rng.choice(self.templates["unknown"]), text)
        return Sample(text, _target({}))

    def _fill(self, rng: random.Random, template: str, *texts: str) -> str:
        """Insert the styles and something to see into a template; `{s}` is left for the caller."""
        seen = rng.choice(self.lookalike if rng.random() < 0.2 else self.content)
        while rng.random() < 0.3:
            seen += rng.choice((" and ", " with ", " in ", " near ", " ")) + rng.choice(self.content)
        if rng.random() < 0.15:
            seen += " " + pseudo_word(rng)
        head, *parts = template.replace("{c}", seen).split("{}")
        for part, text in zip(parts, texts, strict=True):
            head += text + part
        for _ in range(rng.choice((0, 0, 0, 0, 1, 1, 2))):
            tag = rng.choice(self.tags)
            head = f"{tag} {head}" if rng.random() < 0.2 else f"{head}, {tag}"
        return head


def _toml(name: str) -> dict[str, Any]:
    return tomllib.loads((resources.files("vivace.train.text") / name).read_text(encoding="utf-8"))


def _halve(items: Sequence[Any], rng: random.Random) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
    """Return the larger and the held-out part of a list, each in its order."""
    held_out = set(rng.sample(range(len(items)), max(1, round(len(items) * HELD_OUT))))
    parts = [item for i, item in enumerate(items) if i not in held_out], [items[i] for i in sorted(held_out)]
    return tuple(parts[0]), tuple(parts[1])


def _target(styles: dict[str, float]) -> tuple[float, ...]:
    return tuple(styles.get(key, 0.0) for key in STYLE_KEYS)


def misspell(text: str, rng: random.Random) -> str:
    """Return the text, sometimes with a typing error in a long word or with two words run together."""
    draw = rng.random()
    if draw < 0.04:
        return text.replace(" ", "", 1)
    if draw > 0.22:
        return text
    words = text.split(" ")
    long = [index for index, word in enumerate(words) if len(word) >= 5 and word.isascii() and word.isalpha()]
    if not long:
        return text
    index = rng.choice(long)
    word = words[index]
    at = rng.randrange(1, len(word) - 1)
    words[index] = rng.choice(
        (
            word[:at] + word[at + 1 :],
            word[:at] + word[at] + word[at:],
            word[:at] + word[at + 1] + word[at] + word[at + 2 :],
            word[:at] + rng.choice("abcdefghijklmnoprstuvwy") + word[at + 1 :],
        )
    )
    return " ".join(words)


_ONSETS = (
    "b c d f g h j k l m n p qu r s t v w x z bl br ch cl cr dr fl fr gl gr pl pr sc sh sk sl sm sn sp st str sw th tr"
).split()
_NUCLEI = "a e i o u y ai au ea ee ei ie oa oo ou".split()
_CODAS = ["", "", "", *"b d g k l m n p r s t x ck ft lk ld ll mp nd ng nk nt rd rk rm rn rt sh sk ss st th".split()]


def pseudo_word(rng: random.Random) -> str:
    """Return a pronounceable word without meaning, so that stray letters come to mean nothing."""
    syllables = rng.choice((1, 1, 2, 2, 3))
    return "".join(rng.choice(_ONSETS) + rng.choice(_NUCLEI) + rng.choice(_CODAS) for _ in range(syllables))
