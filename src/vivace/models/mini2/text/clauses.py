"""Interpretation of one clause of a request: target, action, exceptions, amount."""

from __future__ import annotations

from collections.abc import Sequence, Set
from dataclasses import dataclass, field, replace

from vivace.models.mini.text_features import Words
from vivace.models.mini2.text.lexicon import Item
from vivace.models.mini2.text.reading import Amount

AMBIENCE = frozenset("night golden snow fog rain autumn blossom fire_light underwater martian haze".split())
"""Looks that are light and weather: they apply to the whole picture if no place is named."""
CANNOT = ("style", "worn", "wall_text", "shape", "place", "transport", "camera", "time")
STATES = ("undo", "reset", "stronger", "weaker")
VERBS = frozenset("make turn paint draw put give change add apply convert transform render set use replace".split())
_PAGES = frozenset({"page", "panel", "poster", "cover"})
_DETERMINERS = frozenset("the this that these those my his her their our your all everything every".split())
_BACKDROPS = frozenset("background backdrop bg behind".split())
_WHATEVER = frozenset({"whatever", "anything"})
OF_PEOPLE = frozenset({"person", "face", "hair", "clothes", "lips", "eyes", "hands", "subject"})
_THICK = frozenset("thick dense heavy".split())
_TAKES = frozenset("take get throw cut edit kick wipe".split())
_ROOMS = frozenset("room wall walls floor ceiling scenery".split())
_PAINTS = frozenset("paint painted tint tinted recolour recolor dye wall walls room".split())


@dataclass(slots=True)
class Clause:
    """Interpretation of one clause."""

    break_before: str = ""
    """Punctuation or word that separates it from the clause before."""
    items: list[Item] = field(default_factory=list)
    on: list[str] = field(default_factory=list)
    keep: list[str] = field(default_factory=list)
    looks: list[Item] = field(default_factory=list)
    denied: list[str] = field(default_factory=list)
    colours: list[Item] = field(default_factory=list)
    action: str = ""
    what: tuple[str, ...] = ()
    amount: Amount = ""
    cannot: str = ""
    keeps_last: bool = False
    """True if a place named alone after it is to be kept."""

    def has(self, *kinds: str) -> bool:
        """Return whether it holds a word of one of the kinds."""
        return any(item.kind in kinds for item in self.items)

    def has_word(self, words: Set[str]) -> bool:
        """Return whether it holds one of the words."""
        return any(not words.isdisjoint(item.value.split()) for item in self.items)


class ClauseReader:
    """Reader of the clauses of one text."""

    def __init__(self, words: Words) -> None:
        self._words = words.words

    def read(self, clause: Clause) -> Clause:
        """Return the clause with its interpretation filled in."""
        self._places_and_looks(clause)
        self._colours(clause)
        clause.amount = self._amount(clause)
        self._action(clause)
        clause.cannot = clause.cannot or self._refused(clause)
        return clause

    def _places_and_looks(self, clause: Clause) -> None:
        mode = "on"
        for at, item in enumerate(clause.items):
            if item.kind in ("keep", "but", "not"):
                mode = item.kind
            elif item.kind == "kept_me":
                clause.keep.append("person")
            elif item.kind == "region" and not (
                self._any_room(item) and (not at or clause.items[at - 1].kind != "colour")
            ):
                name = item.value
                before = clause.items[at - 1] if at else item
                if before.kind == "shape" and clause.looks:
                    continue  # "an anime girl with big eyes"
                if before.value == "person" and name == "background" and self._words[item.start] == "behind":
                    continue  # "the man behind me"
                following = clause.items[at + 1].kind if at + 1 < len(clause.items) else ""
                if name == "person" and following in ("keep", "kept_me") and mode == "on":
                    clause.keep.append(name)
                else:
                    (clause.keep if mode in ("keep", "but", "not") else clause.on).append(name)
            elif item.kind == "skin":
                (clause.keep if mode in ("keep", "but", "not") else clause.on).append("person")
                if mode == "on":
                    clause.keep += ["hair", "clothes"]
            elif item.kind in ("look", "grey"):
                if mode in ("not", "but") and not clause.keep:
                    clause.denied.append(item.value)
                    mode = "on"
                else:
                    thing = at + 1 < len(clause.items) and clause.items[at + 1].value in OF_PEOPLE
                    clause.looks.append(replace(item, value="gold") if thing and self._is_golden(item) else item)
        if clause.keep:
            clause.looks = [item for item in clause.looks if item.value != "source"]
        clause.keeps_last = mode in ("keep", "but")
        says = clause.looks or clause.has("colour", "blur", "remove")
        if clause.has("keep") and clause.on and not clause.keep and (not says or clause.has("only")):
            # "My face stays as it is."
            clause.keep, clause.on, clause.keeps_last = clause.on, [], True
        if clause.has("keep") and clause.has("remove") and not clause.on:
            # "Let my hands disappear" in German word order, "lass … verschwinden".
            clause.on, clause.keep, clause.keeps_last = clause.keep, [], False
        if clause.on and not clause.keep and not says and clause.items[-1].kind == "not":
            # "Only my eyes not."
            clause.keep, clause.on, clause.keeps_last = clause.on, [], True
        if clause.has("not") and clause.keep and not says and not clause.has("but", "keep", "kept_me"):
            word = next(item.value for item in clause.items if item.kind == "not")
            if word in ("no", "without", "no more", "free of"):
                clause.action, clause.on, clause.keep = "remove", clause.keep, []

    def _is_golden(self, item: Item) -> bool:
        """Return whether the item is the word "golden", which is light for a sky and gold for a hand."""
        return self._words[item.start : item.stop] == ("golden",)

    def _any_room(self, item: Item) -> bool:
        """Return whether "a room" means any room, not the one in the picture."""
        before = self._words[max(0, item.start - 2) : item.start]
        return item.value == "background" and self._words[item.start] in _ROOMS and not {"a", "an"}.isdisjoint(before)

    def _colours(self, clause: Clause) -> None:
        """Separate the requested colours from those that identify a thing."""
        mode = "on"
        asked: list[Item] = []
        which: list[Item] = []
        kept: list[Item] = []
        for at, item in enumerate(clause.items):
            if item.kind in ("keep", "but"):
                mode = "keep"
            elif item.kind == "replace" and item.value in ("instead of", "in place of"):
                mode = "former"
            elif item.kind == "colour":
                if mode == "keep":
                    if at + 1 == len(clause.items) or clause.items[at + 1].kind != "region":
                        kept.append(item)
                elif mode == "on":
                    noun = clause.items[at + 1] if at + 1 < len(clause.items) else None
                    names = noun is not None and (
                        noun.kind in ("thing", "unknown", "worn")
                        or noun.value in ("thing", "things", "one", "ones", "stuff", "part", "parts", "stays")
                    )
                    before = self._words[item.start - 1] if item.start else ""
                    (which if names and (before in _DETERMINERS or (noun and noun.kind == "thing")) else asked).append(
                        item
                    )
        if not (clause.has("only") and clause.keep):  # "only my eyes stay blue"
            clause.keep += [item.value for item in kept]
        if clause.has("only") and clause.keep and not clause.on and not kept:
            return  # "Only my eyes stay blue."
        if len(asked) == 1 and not which and not clause.on and not _WHATEVER.isdisjoint(self._said(clause)):
            which, asked = asked, []
        if clause.has("keep") and not clause.looks and not kept and (which or asked) and not clause.on:
            # "Only the red stays."
            clause.keep += [item.value for item in which or asked]
            return
        if clause.has("remove", "blur", "isolate") or clause.looks:
            if not clause.on and not clause.looks:
                which += asked
            if not clause.on:
                clause.on += [item.value for item in which]
            return
        if not clause.on and not which and len(asked) > 1:
            which, asked = asked[:1], asked[1:]
        if not clause.on:
            clause.on += [item.value for item in which]
            if which and not asked:
                return
        clause.colours = asked[-1:] if clause.on else asked

    def _said(self, clause: Clause) -> tuple[str, ...]:
        return self._words[clause.items[0].start : clause.items[-1].stop]

    def _amount(self, clause: Clause) -> Amount:
        if clause.has("little"):
            return "little"
        if clause.has("much") or any(self._thick(item) for item in clause.looks):
            return "much"
        if (clause.looks or clause.has("blur")) and clause.has("stronger"):
            return "much"
        if (clause.looks or clause.has("blur")) and clause.has("weaker"):
            return "little"
        first = clause.looks[0].start if clause.looks else 0
        return "little" if first and self._words[first - 1] == "light" else ""

    def _thick(self, item: Item) -> bool:
        """Return whether weather is named with its intensity: "thick fog"."""
        return item.value in AMBIENCE and item.stop - item.start > 1 and self._words[item.start] in _THICK

    def _action(self, clause: Clause) -> None:
        if clause.has("remove"):
            # "Remove the dotted mug."
            following = {after.start for after in clause.items if after.kind in ("thing", "region")}
            clause.looks = [item for item in clause.looks if item.stop not in following]
        named = [item for item in clause.items if item.kind == "thing" and is_named(self._words, item)]
        behind = "background" in clause.on
        if clause.action:
            return
        if clause.has("transparent", "green_screen"):
            clause.action = "replace"
            clause.what = ("transparent",) if clause.has("transparent") else ("green",)
            clause.on = [name for name in clause.on if name != "person"] or ["background"]
        elif clause.has("picture", "video") and (behind or clause.has("replace")) and not clause.looks:
            clause.action, clause.on = "replace", ["background"]
            clause.what = ("video",) if clause.has("video") else ("picture",)
        elif clause.looks:
            clause.action, clause.what = "look", tuple(item.value for item in clause.looks)
            if "person" in clause.on and _PAGES & {*self._said(clause)}:
                clause.on = [name for name in clause.on if name != "person"]
        elif clause.has("blur"):
            clause.action = "blur"
        elif clause.has("isolate"):
            people = {"person", "face"} & {*clause.on, *clause.keep}
            if people or not (clause.on or clause.keep):
                clause.action, clause.on, clause.keep = "remove", ["background"], []
            else:
                clause.keep, clause.on = clause.keep + clause.on, []
        elif (clause.has("remove") or self._taken(clause)) and not clause.colours:
            if clause.on or clause.keep or named or clause.has("unknown"):
                clause.action = "remove"
                clause.on = [place for place in clause.on if place != "clothes" or not self._says_who(clause)]
            elif "everything" in self._said(clause):
                clause.action = "reset"
        elif clause.colours:
            clause.action, clause.what = "recolour", tuple(item.value for item in clause.colours)
            said = {*self._said(clause)}
            plain = clause.has("plain", "replace") or not said.isdisjoint(_BACKDROPS)
            if behind and plain and not said & _PAINTS:
                clause.action = "replace"
            if clause.has("chat") and VERBS.isdisjoint(said):
                clause.action = ""
        elif not clause.keep:
            clause.action = next((item.kind for item in clause.items if item.kind in STATES), "")
            if clause.has("chat"):
                clause.action = ""
            elif clause.action == "reset" and clause.on and "clear" in self._words:
                clause.action = "remove"
        weak = [item for item in clause.items if item.kind == "weak"]
        if not clause.action and clause.on and weak:
            clause.action, clause.what, clause.looks = "look", (weak[0].value,), weak[:1]
        unknown = [item for item in clause.items if item.kind == "unknown" and is_named(self._words, item)]
        if clause.action == "remove" and not clause.on:
            named += unknown
        elif clause.action == "recolour" and not clause.on and unknown and not named:
            clause.cannot = "region"
        bare = not clause.action and not clause.has("adding", "chat", "weak") and not clause.keep
        if (clause.action in ("look", "blur", "remove", "recolour") or bare) and not clause.on and named:
            (clause.keep if clause.has("but", "keep") else clause.on).append("subject")

    def _taken(self, clause: Clause) -> bool:
        """Return whether the target is within "take … out"."""
        said = self._said(clause)
        return not {"out", "off"}.isdisjoint(said) and not _TAKES.isdisjoint(said) and bool(clause.on)

    def _says_who(self, clause: Clause) -> bool:
        """Return whether clothes identify a person: "the man in the red jacket"."""
        places = {item.value: item for item in reversed(clause.items) if item.kind == "region"}
        if not {"person", "clothes"} <= places.keys():
            return False
        between = self._words[places["person"].stop : places["clothes"].start]
        return not {"in", "with", "wearing"}.isdisjoint(between)

    def _refused(self, clause: Clause) -> str:
        """Return the kind of request that no edit can serve, if the clause makes one."""
        hard = next((item.kind for item in clause.items if item.kind in CANNOT), "")
        if clause.has("worn") and clause.has("replace"):
            return "add"
        if clause.has("worn") and clause.action == "recolour" and not clause.on:
            return "add"
        if clause.has("adding") and (clause.has("worn") or (clause.has("thing") and clause.action in ("", "remove"))):
            return "add"
        if clause.has("place") and "background" in clause.on and AMBIENCE.issuperset(clause.what):
            return "place"
        if clause.action in ("look", "blur", "recolour", "replace", "remove"):
            return ""
        if clause.has("adding") and clause.has("region") and "clothes" in clause.on:
            return "add"
        if clause.has("replace") and "background" in clause.on:
            return "place"
        if hard == "transport" and not clause.has("place", "unknown"):
            return ""
        if clause.has("thing") and "person" in clause.on:
            return "shape"
        return hard if hard and not (hard == "place" and not clause.on and clause.has("chat")) else ""


def is_named(words: Sequence[str], item: Item) -> bool:
    """Return whether "the" or "my" precedes a thing."""
    return not _DETERMINERS.isdisjoint(words[max(0, item.start - 2) : item.start])
