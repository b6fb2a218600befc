"""Controls of a family's own. A declaration is all there is to write: everything else follows from it."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, get_args

from vivace.checks import brief, nearest, number_in
from vivace.errors import ControlError

ControlKind = Literal["text", "number", "choice", "switch", "image", "mask", "event"]
"""What a control holds: words, a number, one word of several, on or off, a picture, where a picture counts; an event
happens once and holds nothing."""
ControlScope = Literal["frame", "stream", "model"]
"""When a control is settled: it may change at any frame; when a stream opens; when the model is loaded."""
PICTURES: tuple[ControlKind, ...] = ("image", "mask")

MAX_TEXT_CHARS = 2_000
"""Ten times what people write; beyond it is a mistake (a file instead of a sentence)."""
ON, OFF = ("1", "true", "yes", "on"), ("0", "false", "no", "off")
"""How a switch may be typed."""

_NAME = re.compile(r"[A-Za-z][\w .-]{0,98}")


@dataclass(frozen=True, slots=True, kw_only=True)
class ControlSpec:
    """A control of a family's own, such as how often depth is estimated.

    The command line, messages and their schema, checks, `/v1/models`, documents and the studio's panel follow from it.
    """

    name: str
    kind: ControlKind = "number"
    scope: ControlScope = "frame"
    """`frame` and `stream` belong into `ModelSpec.options`, `model` into `Family.controls`. A model with some of the
    scope `stream` is told their values when a stream opens, see `OpensWithOptions`."""
    help: str
    default: float | bool | str | None = None
    """What holds where nothing is set; None is nothing, or left to the family. Pictures and events have no other."""
    low: float = 0.0
    """Of a number: its range."""
    high: float = 1.0
    whole: bool = False
    """Of a number: whether only whole ones make sense."""
    choices: tuple[str, ...] = ()
    """Of a choice: all of them."""
    size: tuple[int, int] | None = None
    """Of a picture: `(width, height)` px that it is given at, scaled to cover and cropped; None is its own size."""
    encoded: bool = False
    """Whether the model makes something of a value first, such as an embedding of a text, see `EncodesControls`."""
    excludes: bool = False
    """Of a text: whether it says what shall not be seen, as a negative prompt does."""
    shared: bool = False
    """Whether it changes the pictures of every stream of the model, such as by its weights; a server keeps it from its
    clients."""

    beside_prompt: bool = False
    """Of a choice: whether it completes what the prompt says, and a page shows it there, a button for each choice."""

    def __post_init__(self) -> None:
        """Check that the declaration holds together.

        Raises:
            ValueError: it does not.
        """
        if not _NAME.fullmatch(self.name):
            raise ValueError(f"{self.name!r} is no name of a control; use letters, digits, blanks, -, _ and .")
        for what, given, known in (("kind", self.kind, ControlKind), ("scope", self.scope, ControlScope)):
            if given not in get_args(known):
                raise ValueError(
                    f"control {self.name}: there is no {what} {given!r}; known: {', '.join(get_args(known))}"
                )
        if self.kind == "event" and self.scope != "frame":
            raise ValueError(f"control {self.name}: an event happens at a frame, so its scope cannot be {self.scope!r}")
        if self.scope == "model" and (self.kind in PICTURES or self.encoded):
            raise ValueError(f"control {self.name}: a picture that a model is loaded with is one of its files")
        bounded = self.kind != "number" or 0 <= self.high - self.low < math.inf
        if self.beside_prompt and self.kind != "choice":
            raise ValueError(f"control {self.name}: only a choice is shown beside the prompt")
        listed = self.kind != "choice" or (bool(self.choices) and not isinstance(self.choices, str))
        try:
            if not (bounded and listed):
                raise ControlError
            if self.default is not None:
                self.check(self.default)
        except ControlError as error:
            raise ValueError(f"control {self.name}: {self.default!r} is no {self.kind} of its own") from error

    @property
    def takes(self) -> str:
        """What may be given, in words."""
        size = f", brought to {self.size[0]}x{self.size[1]} px" if self.size else ""
        return {
            "text": f"text of at most {MAX_TEXT_CHARS:,} characters",
            "number": f"{'a whole number, ' * self.whole}{_words(self.low)} to {_words(self.high)}",
            "choice": " or ".join(", ".join(self.choices).rsplit(", ", 1)),
            "switch": "true or false",
            "image": f"a picture{size}",
            "mask": f"a picture{size}, white where it counts",
            "event": "nothing, it happens once",
        }[self.kind]

    @property
    def default_words(self) -> str:
        """The default, as it is written; empty where there is none."""
        if self.default is None:
            return ""
        if self.kind == "text":
            return repr(self.default)
        return _words(self.default)

    @property
    def remedy(self) -> str:
        """What may be given, for the end of a message."""
        return f"give {self.takes}" + (f"; the default is {self.default_words}" if self.default_words else "")

    def check(self, value: object) -> float | bool | str:
        """Return a value that the control can hold.

        Raises:
            ControlError: it is none, or the control holds a picture or nothing; names the value and the remedy.
        """
        if self.kind == "number":
            return number_in(self.name, value, self.low, self.high, self.remedy, whole=self.whole)
        if self.kind == "switch" and isinstance(value, bool):
            return value
        if self.kind == "text" and isinstance(value, str):
            return self._check_text(value)
        if self.kind == "choice" and isinstance(value, str) and value in self.choices:
            return value
        raise ControlError(f"{self.name} is {brief(value)}; {self.remedy}")

    def _check_text(self, value: str) -> str:
        if len(value) > MAX_TEXT_CHARS:
            raise ControlError(
                f"{self.name} has {len(value):,} characters; the limit is {MAX_TEXT_CHARS:,}: say it shorter"
            )
        try:
            value.encode()
        except UnicodeEncodeError as error:
            raise ControlError(
                f"{self.name} has a character that is no text at position {error.start}; remove it"
            ) from error
        return value

    def parse(self, text: str) -> float | bool | str:
        """Return what a typed text means as a value; `check` judges what it leaves as it is."""
        if self.kind == "switch" and text.casefold() in ON + OFF:
            return text.casefold() in ON
        return parse_number(text) if self.kind == "number" else text


def _words(value: float | bool | str) -> str:
    """Return a value as people write it."""
    if isinstance(value, (bool, str)):
        return str(value).lower()
    return f"{int(value):,}" if math.isfinite(value) and float(value).is_integer() else f"{value:.12g}"


def parse_number(text: str) -> float | str:
    """Return the number that is typed, a whole one as `int`; what is none is left as it is, for a check to name."""
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            pass
    return text


def by_name(controls: Iterable[ControlSpec], whose: str) -> dict[str, ControlSpec]:
    """Return declarations by name.

    Raises:
        ValueError: two of one name.
    """
    found: dict[str, ControlSpec] = {}
    for control in controls:
        if control.name in found:
            raise ValueError(f"{whose} declares the control {control.name!r} twice")
        found[control.name] = control
    return found


def unknown(name: object, whose: str, known: Iterable[str], what: str = "control") -> ControlError:
    """Return the refusal of a name that nobody has declared."""
    known = sorted(known)
    if not known:
        return ControlError(f"{whose} has no {what}s of its own, so none is called {brief(name)}; leave it out")
    return ControlError(f"{whose} has no {what} {brief(name)}; {nearest(str(name), known)}")
