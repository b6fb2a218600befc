"""OSC: a surface's messages have the effect of typed ones, and all others do no harm."""

from __future__ import annotations

import re
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pythonosc.osc_bundle_builder import IMMEDIATELY, OscBundleBuilder
from pythonosc.osc_message_builder import OscMessageBuilder

from fakes import NEGATIVE_PROMPT, FakeModel, FakeSource, pictures
from patience import PATIENCE_S
from vivace import messages
from vivace.errors import ControlError, SessionClosedError, UsageError
from vivace.models.controls import ControlSpec
from vivace.show.osc import LOCAL, OscReceiver, Target, UnreadableError, messages_in, parse_address
from vivace.show.updates import changes_of
from vivace.stream import Stream

SPEC = FakeModel(
    options=(
        NEGATIVE_PROMPT,
        ControlSpec(name="warp speed", help="How much of it moves.", high=2.0),
        ControlSpec(name="fine", kind="switch", help="Whether it is fine."),
        ControlSpec(name="anchor", kind="event", help="A change anchors anew."),
        ControlSpec(name="look", kind="image", help="What to paint like."),
        ControlSpec(name="body", scope="stream", help="Which."),
    )
).spec


def message(address: str, *values: Any) -> bytes:
    builder = OscMessageBuilder(address)
    for value in values:
        builder.add_arg(value)
    return bytes(builder.build().dgram)


def bundle(*parts: bytes) -> bytes:
    return b"#bundle\0" + bytes(7) + b"\1" + b"".join(struct.pack(">i", len(part)) + part for part in parts)


class Surface:
    """Receiver, its actions, and the messages that may be sent to it."""

    def __init__(self, update: Callable[..., object] | None = None) -> None:
        self.updates: list[dict[str, Any]] = []
        self.changed = threading.Condition()
        self._refuse = update
        self.receiver = OscReceiver(LOCAL, 0)
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)

    def begin(self, update: Callable[..., object] | None = None) -> None:
        target = Target(SPEC, lambda controls: (update or self.update)(**changes_of(controls)))
        self.receiver.begin(lambda: [target])

    def update(self, **changes: Any) -> None:
        if self._refuse is not None:
            self._refuse(**changes)
        with self.changed:
            self.updates.append(changes)
            self.changed.notify_all()

    def send(self, *datagrams: bytes) -> None:
        for datagram in datagrams:
            self._socket.sendto(datagram, (self.receiver.host, self.receiver.port))

    def wait(self, done: Callable[[list[dict[str, Any]]], bool]) -> list[dict[str, Any]]:
        with self.changed:
            assert self.changed.wait_for(lambda: done(self.updates), PATIENCE_S), self.updates
            return list(self.updates)

    def close(self) -> None:
        self.receiver.close()
        self._socket.close()


@pytest.fixture
def surface() -> Iterator[Surface]:
    made = Surface()
    yield made
    made.close()


def sent(surface: Surface, *datagrams: bytes) -> dict[str, Any]:
    """Return the one update made of several datagrams that arrive together."""
    surface.send(*datagrams)
    surface.begin()
    surface.wait(bool)
    surface.receiver.close()
    merged: dict[str, Any] = {}
    for update in surface.updates:
        merged |= update
    return merged


@pytest.mark.parametrize(
    ("datagram", "changes"),
    [
        (message("/vivace/strength", 0.5), {"strength": 0.5}),
        (message("/vivace/strength", 1), {"strength": 1.0}),
        (message("/vivace/strength"), {"strength": None}),
        (message("/vivace/seed", 7.0), {"seed": 7}),
        (message("/vivace/prompt", "red"), {"prompt": "red"}),
        (message("/vivace/prompt", ""), {"prompt": None}),
        (message("/vivace/prompt"), {"prompt": None}),
        (message("/vivace/mask", 0, 0, 0.5, 1.0), {"mask": "0,0,0.5,1"}),
        (message("/vivace/mask", "10,20,30,40"), {"mask": "10,20,30,40"}),
        (message("/vivace/mask", ""), {"mask": None}),
        (message("/vivace/warp_speed", 1.5), {"options": {"warp speed": 1.5}}),
        (message("/vivace/fine", 1), {"options": {"fine": True}}),
        (message("/vivace/fine", False), {"options": {"fine": False}}),
        (message("/vivace/negative_prompt", "blue"), {"options": {"negative_prompt": "blue"}}),
        (message("/vivace/anchor"), {"events": ["anchor"]}),
        (message("/vivace/anchor", 1.0), {"events": ["anchor"]}),
        (bundle(message("/vivace/strength", 0.25), message("/vivace/seed", 3)), {"strength": 0.25, "seed": 3}),
        (bundle(bundle(message("/vivace/seed", 3))), {"seed": 3}),
    ],
)
def test_a_message_sets_a_control(surface: Surface, datagram: bytes, changes: dict[str, Any]) -> None:
    assert sent(surface, datagram) == changes
    assert surface.receiver.summary == ""


def test_what_comes_together_is_one_update_with_the_last_values(surface: Surface) -> None:
    moves = [message("/vivace/strength", number / 64) for number in range(65)]
    surface.send(message("/vivace/anchor", 1), *moves, message("/vivace/anchor", 0))
    surface.begin()
    updates = surface.wait(lambda updates: bool(updates) and updates[-1].get("strength") == 1.0)
    assert len(updates) < 65
    assert sum("events" in update for update in updates) == 1  # releasing a button undoes nothing


def test_a_time_of_a_bundle_is_not_waited_for(surface: Surface) -> None:
    builder = OscBundleBuilder(IMMEDIATELY + 10**9)
    content = OscMessageBuilder("/vivace/seed")
    content.add_arg(5)
    builder.add_content(content.build())
    assert sent(surface, bytes(builder.build().dgram)) == {"seed": 5}


GARBAGE = [
    b"",
    b"hello",
    b"\xff" * 60_000,
    b"/vivace/strength\0\0\0\0,f\0\0",
    b"/vivace/prompt\0\0,sf\0red\0\0\0",
    b"/vivace/prompt\0\0,s\0\0red!",
    b"/vivace/strength\0\0\0\0,Q\0\0abcd",
    b"/viv\xffce\0,f\0\0abcd",
    b"#bundle\0",
    b"#bundle\0" + bytes(8) + struct.pack(">i", 0),
    b"#bundle\0" + bytes(8) + struct.pack(">i", 2**31 - 1) + b"/a\0\0",
    b"#bundle\0" + bytes(8) + b"\0\0",
]


def nested(depth: int) -> bytes:
    data = message("/vivace/seed", 1)
    for _ in range(depth):
        data = bundle(data)
    return data


def test_garbage_is_counted_and_said_once_and_nothing_is_lost(surface: Surface) -> None:
    surface.begin()
    for number, garbage in enumerate([*GARBAGE, nested(40)] * 3):
        surface.send(garbage, message("/vivace/seed", number))
        surface.wait(lambda updates, number=number: bool(updates) and updates[-1] == {"seed": number})
    surface.receiver.close()
    # A bundle without parts is empty, which is no error.
    assert surface.receiver.refused == {"unreadable": 3 * len(GARBAGE)}
    assert len([*surface.receiver.notes()]) == 1
    count = 3 * len(GARBAGE)
    assert surface.receiver.summary == f"OSC: {count + 3} messages carried out, {count} not ({count} unreadable)"


@pytest.mark.parametrize(
    ("datagram", "said"),
    [
        (message("/ping"), "'/ping' is not for Vivace, whose addresses begin with /vivace/"),
        (message("/vivace/strenght", 1), "no '/vivace/strenght'; did you mean 'strength'"),
        (message("/vivace/size", 64, 64), "no '/vivace/size'"),
        (message("/vivace/body", 1), "no '/vivace/body'"),
        (message("/vivace/strength", 3.0), "strength: Input should be less than or equal to 1"),
        (message("/vivace/strength", float("nan")), "strength: "),
        (message("/vivace/strength", "loud"), "strength: Input should be a valid number"),
        (message("/vivace/strength", 0.5, 0.5), "strength has 2 values; give one"),
        (message("/vivace/strength", [0.5]), "strength: "),
        (message("/vivace/seed", 1.5), "seed: "),
        (message("/vivace/mask", "/etc/passwd"), "mask is .*give a rectangle over OSC"),
        (message("/vivace/mask", 1, 2), "mask is .*give a rectangle"),
        (message("/vivace/look", "/etc/passwd"), "look is a picture, which OSC does not carry"),
        (message("/vivace/anchor", "now"), "anchor is 'now', and it happens once"),
    ],
)
def test_what_cannot_be_used_is_said_once_and_the_rest_counts(surface: Surface, datagram: bytes, said: str) -> None:
    assert sent(surface, datagram, bundle(datagram, message("/vivace/seed", 2))) == {"seed": 2}
    [note] = surface.receiver.notes()
    assert re.search(said, note), note
    assert surface.receiver.refused.total() == 2


def test_what_only_the_model_refuses_leaves_the_others_in_force() -> None:
    def judge(**changes: Any) -> None:
        if changes.get("prompt") == "purple":
            raise ControlError("no idea; near is blue")

    surface = Surface(judge)
    assert sent(surface, bundle(message("/vivace/prompt", "purple"), message("/vivace/seed", 2))) == {"seed": 2}
    assert [*surface.receiver.notes()] == ["OSC: no idea; near is blue"]
    surface.close()


def test_the_end_of_the_stream_ends_it(surface: Surface) -> None:
    def ended(**_changes: Any) -> None:
        raise SessionClosedError("the stream was closed")

    surface.send(message("/vivace/seed", 2))
    surface.begin(ended)
    surface.receiver.close()
    assert not [thread for thread in threading.enumerate() if thread.name == "vivace-osc"]


@settings(max_examples=300)
@given(
    st.binary(max_size=200)
    | st.binary(max_size=60).map(lambda tail: b"/vivace/seed\0\0\0\0," + tail)
    | st.binary().map(bundle)
)
def test_no_datagram_is_more_than_unreadable(data: bytes) -> None:
    try:
        found = list(messages_in(data))
    except UnreadableError:
        return
    assert all(isinstance(address, str) and isinstance(values, list) for address, values in found)


def test_a_stream_is_steered(surface: Surface) -> None:
    model = FakeModel()
    with Stream(model, prompt="red", crossfade_s=0) as stream:
        surface.begin(stream.update)

        def moved(index: int) -> None:
            if index == 5:
                surface.send(message("/vivace/prompt", "blue"))
            if index == 6:  # until it has come
                for _ in range(1000):
                    if surface.receiver.taken:
                        break
                    threading.Event().wait(PATIENCE_S / 1000)

        frames = list(stream.run(FakeSource(pictures(20), before_frame=moved)))
        surface.receiver.close()
    assert frames[0].control_index == 0
    assert frames[-1].control_index == 1


@pytest.mark.parametrize(
    ("text", "address"),
    [("9000", (LOCAL, 9000)), ("0.0.0.0:9000", ("0.0.0.0", 9000)), ("[::1]:9", ("::1", 9)), (":7", (LOCAL, 7))],
)
def test_an_address_is_a_port_with_or_without_a_host(text: str, address: tuple[str, int]) -> None:
    assert parse_address(text) == address


@pytest.mark.parametrize("text", ["", "port", "70000", "-1", "0.0.0.0", "9000/x"])
def test_another_address_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="give a port"):
        parse_address(text)


def test_a_port_that_is_taken_is_said(surface: Surface) -> None:
    with pytest.raises(UsageError, match=r"the port cannot be had \(Address already in use\); give another"):
        OscReceiver(LOCAL, surface.receiver.port)
    with pytest.raises(UsageError, match="cannot be had"):
        OscReceiver("no.such.host.invalid", 0)
    with pytest.raises(UsageError, match="cannot be had"):
        OscReceiver("a..b", 0)  # a name of no host


def test_of_several_streams_one_is_steered_by_its_name_and_all_without_one() -> None:
    taken: dict[str, list[dict[str, Any]]] = {"left": [], "right": []}
    there = ["left"]
    done = threading.Event()

    def update(name: str, controls: messages.Controls) -> None:
        taken[name].append(changes_of(controls))
        if changes_of(controls).get("seed") == 9:
            done.set()

    def targets() -> list[Target]:
        return [Target(SPEC, lambda controls, name=name: update(name, controls), name) for name in there]

    surface = Surface()
    surface.receiver.begin(targets)
    there.append("right")
    parts = [message("/vivace/seed", 3), message("/vivace/right/seed", 4), message("/vivace/middle/seed", 5)]
    surface.send(bundle(*parts), message("/vivace/right/seed", 9))
    assert done.wait(PATIENCE_S)
    surface.receiver.close()
    assert taken["left"] == [{"seed": 3}]
    assert taken["right"][-1] == {"seed": 9}
    assert [*surface.receiver.notes()] == ["OSC: there is no stream 'middle' here (any more)"]
    surface.close()
