"""Controls that follow what is heard: `strength=level`, `seed=beat`, `prompt=level:ink..neon`.

    NAME=SIGNAL             a number, over all of its range
    NAME=SIGNAL:A..B        from A, where the signal is 0, to B, where it is 1
    seed=beat, seed=onset   one more at each, so that each has a picture of its own
    prompt=SIGNAL:A..B      a mixture of two looks

A value is set where it differs, by a hundredth of its way, from what it was, so that silence changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from vivace.checks import brief, nearest
from vivace.errors import ControlError, UsageError
from vivace.media.frame import Frame
from vivace.media.size import Size
from vivace.models.base import StreamModel
from vivace.models.controls import parse_number
from vivace.show.sound.analysis import SIGNALS, Heard
from vivace.show.sound.hearing import Hearing
from vivace.show.updates import change_of, controls_of, numbers_of
from vivace.stream.automation import Change
from vivace.stream.controls import OWN, Controls
from vivace.stream.moderation import NOBODY, Moderator

STEPS = 100
"""Steps of a driven number from one end of its range to the other."""
MIXTURES = 20
"""Steps from one look to another, 5 % each; every mixture is encoded in advance."""
COUNTED = ("beat", "onset")

FORM = "NAME=SIGNAL or NAME=SIGNAL:A..B"


@dataclass(frozen=True, slots=True)
class Drive:
    """A control, the signal that drives it, and the values at 0 and 1 of the signal."""

    name: str
    signal: str
    low: str | None = None
    high: str | None = None


def parse_drive(text: str) -> Drive:
    """Return what `strength=level:0.2..0.9` says.

    Raises:
        UsageError: it is of another form, or names another signal.
    """
    name, equals, rest = text.partition("=")
    signal, colon, way = rest.partition(":")
    low, dots, high = way.partition("..")
    name, signal, low, high = name.strip(), signal.strip(), low.strip(), high.strip()
    if not (equals and name and signal) or (colon and not (dots and low and high)):
        raise UsageError(f"--drive {text[:80]!r}: give {FORM}")
    if signal not in SIGNALS:
        raise UsageError(f"--drive {text[:80]!r}: nothing that is heard is called {brief(signal)}; "
                         f"{nearest(signal, SIGNALS)}")  # fmt: skip
    return Drive(name, signal, low or None, high or None)


class Follower:
    """One control that follows a signal."""

    def __init__(self, drive: Drive, model: StreamModel[Any], moderator: Moderator) -> None:
        """Check a drive against a model; a moderator may refuse its looks. Takes its time.

        Raises:
            UsageError: a control that cannot be driven so.
            PolicyError: a look that is refused.
            ControlError: no number of that name, or a value that it cannot have.
        """
        self.name = drive.name
        self._drive = drive
        self._model = model
        self._moderator = moderator
        self._last: object = None
        self._first_seed: int | None = None
        self._mixtures: dict[object, Change] = {}
        """Mixtures of two looks, each with everything checked and encoded."""
        self._value = self._way()

    def _way(self) -> Callable[[Heard, Controls], object]:
        name, signal, low, high = self._drive.name, self._drive.signal, self._drive.low, self._drive.high
        if name == "seed":
            if signal not in COUNTED or low is not None:
                raise UsageError("--drive seed: give seed=beat or seed=onset, which count")
            return lambda heard, controls: self._seed(getattr(heard, f"{signal}s"), controls)
        if name == "prompt":
            if low is None or high is None:
                raise UsageError(f"--drive prompt={signal}: say between which looks, prompt={signal}:ink..neon")
            return self._mixture(low, high)
        start, end, whole = self._range()

        def value(heard: Heard, _controls: Controls) -> object:
            share = round(getattr(heard, signal) * STEPS) / STEPS
            number = round(start + (end - start) * share, 9)
            return round(number) if whole else number

        return value

    def _range(self) -> tuple[float, float, bool]:
        name, spec = self._drive.name, self._model.spec
        control = numbers_of(spec).get(name)
        if control is None:
            known = [*numbers_of(spec), "seed"]
            raise ControlError(f"--drive {name}: {spec.name} has no number of that name; {nearest(name, known)}")
        ends = []
        for end, usual in ((self._drive.low, control.low), (self._drive.high, control.high)):
            ends.append(float(control.check(usual if end is None else parse_number(end))))
        return ends[0], ends[1], control.whole

    def _seed(self, count: int, controls: Controls) -> int:
        if self._first_seed is None:
            self._first_seed = controls.seed - count
        return (self._first_seed + count) % (OWN["seed"].high + 1)  # type: ignore[return-value]

    def _mixture(self, low: str, high: str) -> Callable[[Heard, Controls], object]:
        """Return which mixture of two looks a signal asks for; all of them are encoded by then."""
        if not self._model.spec.styles:
            raise ControlError(f"--drive prompt: {self._model.spec.name} does not mix looks by their shares")
        prompts = [mixture(low, high, step / MIXTURES) for step in range(MIXTURES + 1)]
        self._mixtures = {prompt: self._change(prompt) for prompt in prompts}
        signal = self._drive.signal
        return lambda heard, _controls: prompts[round(getattr(heard, signal) * MIXTURES)]

    def _change(self, value: object) -> Change:
        return change_of(controls_of({self.name: value}, self._model.spec), self._model, self._moderator)

    def follow(self, heard: Heard, controls: Controls) -> Change | None:
        """Return the change that a moment asks for; None where there is none."""
        value = self._value(heard, controls)
        if value == self._last:
            return None
        self._last = value
        return self._mixtures.get(value) or self._change(value)


def followers(texts: Iterable[str], model: StreamModel[Any], moderator: Moderator = NOBODY) -> list[Follower]:
    """Return what texts such as `strength=level` ask for, checked against a model. Takes its time.

    Raises:
        UsageError: a text of another form, or a control twice.
        PolicyError, ControlError: as `Follower`.
    """
    made = [Follower(parse_drive(text), model, moderator) for text in texts]
    names = [follower.name for follower in made]
    if twice := [name for name in names if names.count(name) > 1]:
        raise UsageError(f"--drive {twice[0]} is given twice; give it once")
    return made


def mixture(low: str, high: str, share: float) -> str:
    """Return the prompt of two looks of which the second has a share, 0 to 1."""
    percent = round(share * 100)
    if percent == 0:
        return low
    return high if percent == 100 else f"{100 - percent}% {low}, {percent}% {high}"


class Driven:
    """Sets controls as what is heard says."""

    def __init__(self, followers: Sequence[Follower], hearing: Hearing) -> None:
        """Have followers follow what is heard."""
        self._followers = followers
        self._hearing = hearing

    def prepare(self, size: Size) -> None:
        """Do nothing: numbers fit any size."""

    def due(self, frame: Frame, time_s: float, controls: Callable[[], Controls]) -> Iterable[Change]:
        """Return what a frame is to be painted with."""
        heard = self._hearing.at(frame, time_s)
        for follower in self._followers:
            change = follower.follow(heard, controls())
            if change is not None:
                yield change

    def close(self) -> None:
        """Do nothing: who opened the hearing closes it."""
