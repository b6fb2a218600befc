"""Declarations of controls of a family's own, from which everything else about them follows."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, get_args

from vivace.checks import brief, nearest, number_in
from vivace.errors import ControlError

ControlKind = Literal["text", "number", "choice", "switch", "image", "mask", "event"]
"""Kinds of values: text, a number, one of several words, on or off, a picture, a mask; an event fires once and has no
value."""
ControlScope = Literal["frame", "stream", "model"]
"""Time at which a control is fixed: at any frame; when a stream opens; when the model is loaded."""
PICTURES: tuple[ControlKind, ...] = ("image", "mask")

MAX_TEXT_CHARS = 2_000
"""Longest text, characters: ten times what people write; longer input is a mistake (a file instead of a sentence)."""
ON, OFF = ("1", "true", "yes", "on"), ("0", "false", "no", "off")
"""Spellings of a switch on a command line."""

_NAME = re.compile(r"[A-Za-z][\w .-]{0,98}")


@dataclass(frozen=True, slots=True, kw_only=True)
class ControlSpec:
    """Declaration of a control of a family's own, such as the interval of depth estimation.

    The command line, messages and their schema, validation, `/v1/models`, documents and the studio's panel follow from
    it.
    """

    name: str
    kind: ControlKind = "number"
    scope: ControlScope = "frame"
    """`frame` and `stream` belong into `ModelSpec.options`, `model` into `Family.controls`. A model with controls of
    scope `stream` gets their values when a stream opens, see `OpensWithOptions`."""
    help: str
    default: float | bool | str | None = None
    """Value if nothing is set; None is no value, or left to the family. Pictures and events can only have None."""
    low: float = 0.0
    """Range of a number."""
    high: float = 1.0
    whole: bool = False
    """True if a number must be an integer."""
    choices: tuple[str, ...] = ()
    """Values of a choice."""
    size: tuple[int, int] | None = None
    """`(width, height)` that a picture is scaled to cover and cropped to, px; None keeps its own size."""
    several: bool = False
    """True if a folder may be given of pictures with what each was made of, `NAME.png` and `NAME.source.png`; its value
    is a tuple of pairs, the source first."""
    encoded: bool = False
    """True if the model encodes values first, e.g. a text into an embedding, see `EncodesControls`."""
    excludes: bool = False
    """True if a text says what must not appear, like a negative prompt."""
    shared: bool = False
    """True if the control affects every stream of the model, e.g. by its weights; a server does not offer it to
    clients."""

    beside_prompt: bool = False
    """True if a choice complements the prompt; pages show it there, with a button for each value."""

    def __post_init__(self) -> None:
        """Check the declaration for consistency.

        Raises:
            ValueError: it is inconsistent.
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
        """Description of the accepted values."""
        size = f", brought to {self.size[0]}x{self.size[1]} px" if self.size else ""
        return {
            "text": f"text of at most {MAX_TEXT_CHARS:,} characters",
            "number": f"{'a whole number, ' * self.whole}{_words(self.low)} to {_words(self.high)}",
            "choice": " or ".join(", ".join(self.choices).rsplit(", ", 1)),
            "switch": "true or false",
            "image": f"a picture{size}" + ", or a folder of them with their sources" * self.several,
            "mask": f"a picture{size}, white where it counts",
            "event": "nothing, it happens once",
        }[self.kind]

    @property
    def default_words(self) -> str:
        """The default as written by a user; empty if there is none."""
        if self.default is None:
            return ""
        if self.kind == "text":
            return repr(self.default)
        return _words(self.default)

    @property
    def remedy(self) -> str:
        """Description of the accepted values and the default, for the end of a message."""
        return f"give {self.takes}" + (f"; the default is {self.default_words}" if self.default_words else "")

    def check(self, value: object) -> float | bool | str:
        """Return a valid value.

        Raises:
            ControlError: not valid, or the control holds a picture or nothing; names the value and the remedy.
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
                f"{self.name} has an invalid character (half of a surrogate pair) at position {error.start}; remove it"
            ) from error
        return value

    def parse(self, text: str) -> float | bool | str:
        """Return a typed text as a value; text that cannot be converted is left for `check` to report."""
        if self.kind == "switch" and text.casefold() in ON + OFF:
            return text.casefold() in ON
        return parse_number(text) if self.kind == "number" else text


def _words(value: float | bool | str) -> str:
    """Return a value as people write it."""
    if isinstance(value, (bool, str)):
        return str(value).lower()
    return f"{int(value):,}" if math.isfinite(value) and float(value).is_integer() else f"{value:.12g}"


def parse_number(text: str) -> float | str:
    """Return a typed number, an `int` if whole; other text is returned unchanged, for a check to report."""
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            pass
    return text


def by_name(controls: Iterable[ControlSpec], whose: str) -> dict[str, ControlSpec]:
    """Return declarations by name.

    Raises:
        ValueError: a duplicate name.
    """
    found: dict[str, ControlSpec] = {}
    for control in controls:
        if control.name in found:
            raise ValueError(f"{whose} declares the control {control.name!r} twice")
        found[control.name] = control
    return found


def unknown(name: object, whose: str, known: Iterable[str], what: str = "control") -> ControlError:
    """Return the error for a name that is not declared."""
    known = sorted(known)
    if not known:
        return ControlError(f"{whose} has no {what}s of its own, so none is called {brief(name)}; leave it out")
    return ControlError(f"{whose} has no {what} {brief(name)}; {nearest(str(name), known)}")
