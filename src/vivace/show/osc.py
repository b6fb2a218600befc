"""Controls over OSC, Open Sound Control 1.0, by UDP: what lighting desks, VJ programs, phones and sequencers speak.

    /vivace/strength 0.5          any control by its name, the model's own among them; blanks in a name are `_`
    /vivace/prompt "neon"         an empty text shows the source
    /vivace/mask 0 0 0.5 1        a rectangle, or as one text; an empty text is none
    /vivace/anchor                an event; with a number it happens where that is above 0, as of a button
    /vivace/strength              without a value, or with a nil: the default again
    /vivace/NAME/strength 0.5     of several streams, those of a server, the one of that name; the others are for all

Everything that has come since the last update is one update, of a control its last value. What cannot be used is
counted, said once of its kind, and stands in the way of nothing else. There are no answers, as in OSC generally.
"""

from __future__ import annotations

import socket
import struct
import threading
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pythonosc.osc_message import OscMessage, ParseError

from vivace import messages
from vivace.checks import brief, nearest
from vivace.errors import SessionClosedError, UsageError, VivaceError
from vivace.models.base import ModelSpec
from vivace.models.controls import PICTURES
from vivace.show.updates import changes_of, controls_of, names_of

if TYPE_CHECKING:
    from vivace.stream import Stream

ROOT = "/vivace/"
LOCAL = "127.0.0.1"
MAX_BYTES = 65_536
"""Longest datagram."""

_BUNDLE = b"#bundle\0"
_HEAD_BYTES = 16
"""Length of a bundle's head: its name and its time."""
_MAX_DEPTH = 8
"""Deepest nesting of bundles; nobody nests two."""
_TYPES = frozenset("ifshdbTFN[]")
"""Type tags that are read. The library does not know the length of others."""
_BYTES = {"i": 4, "f": 4, "h": 8, "d": 8}
_WAIT_S = 0.1
"""Longest wait of the end of a run for the thread, s."""
_MOST_AT_ONCE = 256
"""Datagrams that one update is made of."""

Values = dict[str, object]
Message = tuple[str, list[Any]]
"""Address without `/vivace/`, and values."""


@dataclass(frozen=True, slots=True)
class Target:
    """A stream that is steered."""

    spec: ModelSpec
    update: Callable[[messages.Controls], object]
    """Puts an update in force; raises VivaceError if it cannot be used, SessionClosedError once the stream is over."""
    name: str = ""
    """Name of the stream among several: `/vivace/NAME/strength` is for it alone."""

    @classmethod
    def of(cls, stream: Stream) -> Target:
        """Return the only stream there is."""
        return cls(stream.model.spec, lambda controls: stream.update(**changes_of(controls)))


class UnreadableError(ValueError):
    """A datagram that is no OSC."""


def messages_in(data: bytes, depth: int = 0) -> Iterator[tuple[str, list[Any]]]:
    """Yield the addresses and values in a datagram, those of a bundle in order, whenever it says they are due.

    Raises:
        UnreadableError: it is no OSC; those before the damage were yielded.
    """
    if data.startswith(_BUNDLE):
        if depth == _MAX_DEPTH:
            raise UnreadableError("bundles in bundles in bundles")
        at = _HEAD_BYTES
        while at < len(data):
            # By ourselves: python-osc goes back by a size below 0, and never comes to an end.
            [size] = struct.unpack_from(">i", data, at) if at + 4 <= len(data) else [0]
            at += 4
            if not 0 < size <= len(data) - at:
                raise UnreadableError("a bundle whose parts are of no such size")
            yield from messages_in(data[at : at + size], depth + 1)
            at += size
        return
    if not data.startswith(b"/"):
        raise UnreadableError("neither a message nor a bundle")
    _check_length(data)
    try:
        message = OscMessage(data)
    except (ParseError, UnicodeError) as error:
        raise UnreadableError("a damaged message") from error
    yield message.address, message.params


def _check_length(data: bytes) -> None:
    """Hold a message to the length that the types of its values say: python-osc reads what is missing as 0.

    Raises:
        UnreadableError: it is shorter, or has values of another type.
    """
    start = _end_of_text(data, 0)
    tags = data[start:].partition(b"\0")[0].decode("latin-1")
    if tags and not (tags[0] == "," and _TYPES.issuperset(tags[1:])):
        raise UnreadableError(f"types of values {brief(tags)}")
    at = _end_of_text(data, start) if tags else start
    for tag in tags[1:]:
        if tag == "s":
            at = _end_of_text(data, at)
        elif tag == "b":
            [size] = struct.unpack_from(">i", data, at) if at + 4 <= len(data) else [-1]
            at += 4 + -(-size // 4) * 4 if size >= 0 else len(data) + 1
        else:
            at += _BYTES.get(tag, 0)
    if at > len(data):
        raise UnreadableError("a message that is cut off")


def _end_of_text(data: bytes, at: int) -> int:
    """Return where what follows a text begins, beyond the data where the text has no end."""
    end = data.find(b"\0", at)
    return len(data) + 1 if end < 0 else (end // 4 + 1) * 4


class OscReceiver:
    """Takes controls over UDP, in a thread of its own, and steers with them."""

    def __init__(self, host: str, port: int) -> None:
        """Have the port from now on; nothing is taken yet.

        Raises:
            UsageError: the port cannot be had.
        """
        self.taken = 0
        """Messages that were carried out."""
        self.refused: Counter[str] = Counter()
        """Those that were not, by reason, in a few words."""
        self._said: set[str] = set()
        self._notes: deque[str] = deque()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._socket = _bound(host, port)
        self.host, self.port = self._socket.getsockname()[:2]

    def begin(self, targets: Callable[[], Iterable[Target]]) -> None:
        """Steer from now on; `targets` returns the streams there are at a moment, and is called in the thread."""
        self._thread = threading.Thread(target=self._run, args=(targets,), name="vivace-osc", daemon=True)
        self._thread.start()

    def notes(self) -> Iterator[str]:
        """Yield what there is to tell people, each once."""
        while self._notes:
            yield self._notes.popleft()

    def close(self) -> None:
        """Take nothing any more. Any number of times."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
        self._socket.close()

    @property
    def summary(self) -> str:
        """Sentence about what was refused; empty where nothing was."""
        refused = self.refused.total()
        reasons = ", ".join(f"{count} {reason}" for reason, count in self.refused.most_common())
        return f"OSC: {self.taken} messages carried out, {refused} not ({reasons})" if refused else ""

    def _run(self, targets: Callable[[], Iterable[Target]]) -> None:
        while not self._stop.is_set():
            if received := self._received():
                self._steer({target.name: target for target in targets()}, received)

    def _steer(self, targets: Mapping[str, Target], received: Sequence[Message]) -> None:
        for target in targets.values():
            surface = _Surface(target.spec)
            values: Values = {}
            for path, given in received:
                addressee, _, name = path.rpartition("/")
                if addressee in ("", target.name):
                    self._take(surface, name, given, values)
            self._carry_out(target, values)
        for path, _ in received:
            addressee = path.rpartition("/")[0]
            if not targets:
                self._refuse("while there was no stream", "OSC: there is no stream to steer yet; messages are left out")
            elif addressee and addressee not in targets:
                self._refuse("for no stream here", f"OSC: there is no stream {brief(addressee)} here (any more)")

    def _received(self) -> list[Message]:
        """Wait for a datagram, and return the messages in it and in those behind it."""
        received: list[Message] = []
        try:
            self._read(self._socket.recv(MAX_BYTES), received)
            self._socket.setblocking(False)
            for _ in range(_MOST_AT_ONCE):
                self._read(self._socket.recv(MAX_BYTES), received)
        except (TimeoutError, BlockingIOError):
            pass  # nothing more has come
        except OSError as error:  # e.g. a datagram that is too long, on Windows
            self._refuse("could not be received", f"OSC: {error.strerror}")
        self._socket.settimeout(_WAIT_S)
        return received

    def _read(self, data: bytes, received: list[Message]) -> None:
        try:
            for address, given in messages_in(data):
                if address.startswith(ROOT):
                    received.append((address.removeprefix(ROOT), given))
                else:
                    text = f"OSC: {brief(address)} is not for Vivace, whose addresses begin with {ROOT}; it is left out"
                    self._refuse("for somebody else", text)
        except UnreadableError as error:
            self._refuse("unreadable", f"OSC: a datagram is no OSC ({error}); it and others like it are left out")

    def _take(self, surface: _Surface, word: str, given: list[Any], values: Values) -> None:
        name = surface.names.get(word)
        if name is None:
            text = f"OSC: there is no {brief(ROOT + word)}; {nearest(word, surface.names)}"
            self._refuse("of no control", text)
            return
        try:
            value = surface.value(name, given)
            controls_of({name: value}, surface.spec)
        except VivaceError as error:
            self._refuse_value(name, error)
            return
        if surface.kinds.get(name) == "event" and values.get(name):
            value = True  # let go of since, and it was pressed
        values[name] = value

    def _carry_out(self, target: Target, values: Values) -> None:
        """Set all of them at one frame, or, where that cannot be, those that can be set by themselves."""
        if not values:
            return
        try:
            target.update(controls_of(values, target.spec))
            self.taken += len(values)
        except SessionClosedError:
            pass  # it has ended meanwhile
        except VivaceError as error:
            if len(values) == 1:
                self._refuse_value(next(iter(values)), error)
                return
            for name, value in values.items():
                self._carry_out(target, {name: value})

    def _refuse_value(self, name: str, error: VivaceError) -> None:
        self._refuse(f"for {name} that cannot be used", f"OSC: {error}")

    def _refuse(self, reason: str, text: str) -> None:
        self.refused[reason] += 1
        if reason not in self._said:
            self._said.add(reason)
            self._notes.append(text)


class _Surface:
    """Controls of a model as OSC names them, and their values as it carries them."""

    def __init__(self, spec: ModelSpec) -> None:
        self.spec = spec
        self.names = {name.replace(" ", "_"): name for name in names_of(spec)}
        self.kinds = {option.name: option.kind for option in spec.options}

    def value(self, name: str, given: list[Any]) -> object:
        """Return what a message sets a control to.

        Raises:
            VivaceError: OSC does not carry it so.
        """
        kind = self.kinds.get(name)
        if kind == "event":
            return given[0] if given else True
        if kind in PICTURES:
            raise UsageError(f"{name} is a picture, which OSC does not carry; set it another way")
        if name == "mask":
            return _rectangle(given)
        if len(given) > 1:
            raise UsageError(f"{name} has {len(given)} values; give one")
        value = given[0] if given else None
        if kind == "switch" and value in (0, 1):
            return bool(value)
        if name == "prompt" and value is None:
            return ""
        return value


def _bound(host: str, port: int) -> socket.socket:
    """Return a socket for the datagrams of an address.

    Raises:
        UsageError: the port cannot be had, or the host is none of this machine's.
    """
    with ExitStack() as on_failure:
        try:
            bound = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM)
            on_failure.callback(bound.close)
            bound.bind((host, port))
        except (OSError, UnicodeError) as error:
            reason = getattr(error, "strerror", None) or error
            raise UsageError(f"--osc {host}:{port}: the port cannot be had ({reason}); give another") from error
        bound.settimeout(_WAIT_S)
        on_failure.pop_all()
        return bound


def _rectangle(given: list[Any]) -> str:
    """Return a rectangle as it is written. A file or an address is not for the network to name."""
    numbers = given[0].split(",") if len(given) == 1 and isinstance(given[0], str) and given[0] else given
    if numbers in ([], [None], [""]):
        return ""
    try:
        x, y, width, height = (float(number) for number in numbers)
    except (TypeError, ValueError) as error:
        raise UsageError(f"mask is {brief(given)}; give a rectangle over OSC, as four numbers x y w h") from error
    return f"{x:.9g},{y:.9g},{width:.9g},{height:.9g}"


def parse_address(text: str) -> tuple[str, int]:
    """Return host and port of `9000`, `0.0.0.0:9000` or `[::]:9000`; without a host, of this machine alone.

    Raises:
        UsageError: it is neither.
    """
    host, _, port = text.rpartition(":")
    try:
        number = int(port)
    except ValueError:
        number = -1
    if not 0 <= number <= 65535:
        raise UsageError(f"--osc {text[:80]!r}: give a port, e.g. 9000, or HOST:PORT to be heard of from elsewhere")
    return host.strip("[]") or LOCAL, number
