"""A peer brings pictures both ways, soon, and leaves nothing behind."""

from __future__ import annotations

import asyncio
import gc
import itertools
import threading
from collections.abc import Iterator
from struct import unpack
from typing import Any

import numpy as np
import pytest
from aioice import stun
from aiortc.rtp import RtpPacket, unpack_header_extensions

from patience import PATIENCE_S
from rtc_loopback import FakeSession, connected, next_picture, peer_factory, plain, run
from vivace.client import rtc as client_module
from vivace.client.rtc import RtcSession
from vivace.errors import SessionClosedError, SourceLostError, UsageError
from vivace.media.live_sound import SoundPacket
from vivace.messages import Controls, Ping, Pong, Update
from vivace.rtc.connection import Line, close_connection
from vivace.rtc.rates import START_BPS
from vivace.rtc.seams import _SENDER_EXTENSIONS, PLAYOUT_DELAY
from vivace.rtc.transport_seams import GATHER_S, gather_loopback_too
from vivace.serve.rtc import Peer
from vivace.serve.rtc import peer as peer_module
from vivace.serve.rtc.factory import PeerFactory
from vivace.serve.settings import ServeSettings


@pytest.fixture(autouse=True)
def nothing_left() -> Iterator[None]:
    """No thread and no coroutine outlives a connection."""
    before = set(threading.enumerate())
    yield
    gc.collect()  # an unawaited coroutine reports it now
    left = {thread.name for thread in set(threading.enumerate()) - before}
    # asyncio's own pool ends with the loop; it is not waited for
    assert not {name for name in left if "vivace" in name or "decoder" in name}


async def tasks_left() -> set[str]:
    """Return the running tasks, after the moment that aiortc needs to notice that it has been closed."""
    left: set[str] = set()
    for _ in range(100):
        left = {str(task) for task in asyncio.all_tasks() if task is not asyncio.current_task()}
        if not left:
            return set()
        await asyncio.sleep(0.01)
    return left


@pytest.mark.parametrize("codec", ["H264", "VP8"])
def test_a_picture_comes_back_as_it_went(codec: str) -> None:
    async def scene() -> None:
        async with connected(codecs=[codec]) as pair:
            picture = plain(200)
            picture[:, :32] = (200, 40, 90)
            pictures = pair.client.pictures()
            for _ in range(3):
                pair.client.publish(picture)
                received = await next_picture(pictures)
            assert received.rgb.shape == picture.shape
            error = np.abs(received.rgb.astype(int) - picture)
            assert error[:, :24].mean() < 4
            assert error[:, 40:].mean() < 4
            assert pair.session.sent  # the time of the encoder is counted
            stats = pair.peer.stats()
            assert (stats.codec_in, stats.codec_out, stats.state) == (codec, codec, "connected")
        assert not await tasks_left()
        assert pair.session.attached == 0

    run(scene)


def test_a_picture_of_odd_size_and_then_another_size_arrives() -> None:
    async def scene() -> None:
        async with connected() as pair:
            pictures = pair.client.pictures()
            shapes = []
            for size in ((65, 49), (96, 32)):
                for _ in range(3):
                    pair.client.publish(plain(100, size))
                    received = await next_picture(pictures)
                shapes.append(received.rgb.shape[:2])
            assert shapes == [(50, 66), (32, 96)]

    run(scene)


def test_pictures_carry_the_timestamp_they_were_sent_with() -> None:
    async def scene() -> None:
        async with connected() as pair:
            pictures = pair.client.pictures()
            for level in (50, 100, 150):
                pair.client.publish(plain(level))
                await next_picture(pictures)
            tags = [out.tag for out in pair.session.pushed]
            assert all(tag is not None for tag in tags)
            assert len(set(tags)) == len(tags)
            assert [out.tag for out in pair.session.sent] == tags[-len(pair.session.sent) :]

    run(scene)


def test_a_viewer_that_sleeps_gets_the_newest_picture() -> None:
    async def scene() -> None:
        async with connected() as pair:
            pictures = pair.client.pictures()
            pair.client.publish(plain(10))
            await next_picture(pictures)
            for level in range(20, 220, 20):
                pair.client.publish(plain(level))
                while len(pair.session.sent) == 0 or abs(int(pair.session.pushed[-1].rgb.mean()) - level) > 6:
                    await asyncio.sleep(0.002)
            await asyncio.sleep(0.1)  # everything is on this side by now
            received = await next_picture(pictures)
            assert abs(received.rgb.mean() - 200) < 6
            assert pair.client.unread >= 5

    run(scene)


def test_two_viewers_of_one_format_share_an_encode() -> None:
    async def scene() -> None:
        factory = peer_factory()
        session = FakeSession()
        async with connected(session, factory=factory) as studio:
            watching = connected(session, factory=factory, role="play", publish=False)
            async with watching as viewer:
                mine, theirs = studio.client.pictures(), viewer.client.pictures()
                for _ in range(5):
                    studio.client.publish(plain(120))
                    await next_picture(mine)
                studio.client.publish(plain(180))
                received = await next_picture(theirs)
                while abs(received.rgb.mean() - 180) > 6:
                    received = await next_picture(theirs)
                broadcast = factory._broadcast(session)
                assert broadcast.viewers == 2
                assert broadcast.encoded == broadcast.pictures

            assert factory._broadcast(session).viewers == 1
        assert len(session.subscriptions) == 1

    run(scene)


def test_whip_publishes_and_nothing_comes_back() -> None:
    async def scene() -> None:
        async with connected(role="publish", play=False) as pair:
            while not pair.session.pushed:
                pair.client.publish(plain(90))
                await asyncio.sleep(0.05)
            assert not pair.session.subscriptions

    run(scene)


def test_control_goes_over_the_data_channel() -> None:
    async def scene() -> None:
        async with connected() as pair:
            events = pair.client.events()
            assert (await anext(events)).type == "live"
            pair.client.send(Update(id="1", controls=Controls(prompt="ink")))
            ack = await anext(events)
            assert (ack.type, ack.id, ack.accepted) == ("ack", "1", True)  # type: ignore[union-attr]
            assert pair.session.updates == [Controls(prompt="ink")]
            pair.client.send(Ping(id="2"))
            assert isinstance(await anext(events), Pong)

    run(scene)


def test_a_failure_behind_the_control_channel_is_logged_and_closes_it(caplog: pytest.LogCaptureFixture) -> None:
    async def scene() -> None:
        async with connected() as pair:
            pair.session.fails = ZeroDivisionError("a mistake of ours")
            pair.client.send(Update(id="1", controls=Controls(prompt="ink")))
            while pair.client._channel.readyState != "closed":  # type: ignore[union-attr]
                await asyncio.sleep(0.01)
        assert "a mistake of ours" in caplog.text

    run(scene)


GARBAGE = [
    "",
    "hello",
    "v=0\r\n",
    "v=0\r\no=- 0 0 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\nm=video 9 UDP/TLS/RTP/SAVPF 96\r\n",
    "v=0\r\nm=video x\r\n",
    "v=0\r\n" + "m=video 9 UDP/TLS/RTP/SAVPF 96\r\n" * 500,
    "v=0\r\n" + "a" * 200_000,
    "v=0\r\nm=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\na=mid:0\r\na=sctp-port:5000\r\n",
]


@pytest.mark.parametrize("offer", GARBAGE)
def test_garbage_is_refused_with_the_remedy(offer: str) -> None:
    async def scene() -> None:
        peer = peer_factory()(FakeSession(), "both")
        with pytest.raises(UsageError, match=r"offer|send"):
            await peer.answer(offer)
        await peer.close()
        assert not await tasks_left()

    run(scene)


def spoil(kind: str, offer: str) -> str:
    lines = offer.splitlines()
    if kind == "no fingerprint":
        lines = [line for line in lines if not line.startswith("a=fingerprint")]
    elif kind == "no codec of ours":
        lines = [line.replace("VP8/", "VP7/").replace("H264/", "H263/") for line in lines]
    elif kind == "cut off":
        lines = lines[: len(lines) // 2]
    elif kind == "no ice":
        lines = [line for line in lines if not line.startswith("a=ice-")]
    elif kind == "odd number":
        lines = [line.replace("a=rtpmap:", "a=rtpmap:x") for line in lines]
    return "\r\n".join(lines) + "\r\n"


@pytest.mark.parametrize("kind", ["no fingerprint", "no codec of ours", "cut off", "no ice", "odd number"])
def test_a_damaged_offer_is_refused_and_leaves_nothing(kind: str) -> None:
    async def scene() -> None:
        with pytest.raises(UsageError, match="offer"):
            async with connected(through=lambda offer: spoil(kind, offer)):
                pass
        assert not await tasks_left()

    run(scene)


def test_an_offer_in_the_wrong_direction_is_refused() -> None:
    async def scene() -> None:
        with pytest.raises(UsageError, match="sends no video"):
            async with connected(role="publish", publish=False):
                pass
        with pytest.raises(UsageError, match="receives no video"):
            async with connected(role="play", play=False):
                pass
        assert not await tasks_left()

    run(scene)


def test_a_peer_closes_in_every_state() -> None:
    async def scene() -> None:
        factory = peer_factory()
        fresh = factory(FakeSession(), "both")
        await fresh.close()
        await fresh.close()
        with pytest.raises(UsageError):
            await fresh.answer("v=0")

        answered = factory(FakeSession(), "both")

        async def exchange(offer: str) -> str:
            await answered.answer(offer)
            await answered.close()
            raise RuntimeError("and nobody hears of it")

        with pytest.raises(RuntimeError):
            await RtcSession(exchange).connect()
        assert answered.session.attached == 0  # type: ignore[attr-defined]
        assert not await tasks_left()

    run(scene)


@pytest.mark.parametrize("when", ["take_description", "prepare_transports"])
def test_a_peer_that_is_closed_while_it_answers_begins_nothing(when: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The session's pictures would be encoded for it until the session ends."""
    act = getattr(peer_module, when)

    async def scene() -> None:
        factory, session = peer_factory(), FakeSession()
        peer = factory(session, "play")
        closing: list[asyncio.Task[None]] = []

        async def description_and_close(*what: Any) -> None:
            await act(*what)
            await peer.close("the link was withdrawn")

        def transports_and_close(*what: Any) -> None:
            act(*what)
            closing.append(asyncio.create_task(peer.close("the link was withdrawn")))

        instead = description_and_close if when == "take_description" else transports_and_close
        monkeypatch.setattr(peer_module, when, instead)
        with pytest.raises(UsageError, match="the link was withdrawn"):
            await RtcSession(peer.answer, publish=False).connect()
        await asyncio.gather(*closing)
        assert factory._broadcast(session).viewers == 0
        assert not session.subscriptions or session.subscriptions[0]._closed
        assert not await tasks_left()

    run(scene)


@pytest.mark.parametrize("failing", ["channel", "feed"])
def test_a_peer_of_which_a_part_fails_to_close_closes_the_rest(failing: str) -> None:
    async def scene() -> None:
        async with connected() as pair:
            pair.client.publish(plain(100))
            await next_picture(pair.client.pictures())
            peer = pair.peer
            part, name = (peer._channel, "close") if failing == "channel" else (peer._broadcast, "detach")
            assert part is not None
            end = getattr(part, name)

            async def fail(*what: Any) -> None:
                await end(*what)
                raise RuntimeError("a part of it is broken")

            setattr(part, name, fail)
            with pytest.raises(RuntimeError, match="broken"):
                await peer.close()
            assert peer.state == "closed"
            assert not peer._decoder._thread.is_alive()  # type: ignore[union-attr]
            assert peer._broadcast is not None
            assert peer._broadcast.viewers == 0
            peer._closing = asyncio.create_task(asyncio.sleep(0))
        assert not await tasks_left()

    run(scene)


def test_why_a_client_does_not_connect_is_told_even_where_its_connection_fails_to_close(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def fail(*what: Any) -> None:
        await close_connection(*what)
        raise ConnectionError("its socket is gone")

    async def refuse(_: str) -> str:
        raise UsageError("the server wants no more")

    async def scene() -> None:
        with pytest.raises(UsageError, match="wants no more"):
            await RtcSession(refuse).connect()
        assert not await tasks_left()

    monkeypatch.setattr(client_module, "close_connection", fail)
    run(scene)
    assert "its socket is gone" in caplog.text


def test_a_client_of_which_a_part_fails_to_close_closes_the_rest() -> None:
    async def scene() -> None:
        async with connected() as pair:
            client = pair.client
            client.publish(plain(100))
            await next_picture(client.pictures())
            assert client._sender is not None
            end = client._sender.close

            async def fail() -> None:
                await end()
                raise RuntimeError("a part of it is broken")

            client._sender.close = fail  # type: ignore[method-assign]
            with pytest.raises(RuntimeError, match="broken"):
                await client.close()
            assert client._connection.connectionState == "closed"
            assert not client._decoder._thread.is_alive()  # type: ignore[union-attr]
            client._closing = asyncio.create_task(asyncio.sleep(0))
        assert not await tasks_left()

    run(scene)


def test_a_client_that_is_stopped_while_it_closes_is_closed_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scene() -> None:
        reached, go_on = asyncio.Event(), asyncio.Event()

        async def slow(*what: Any) -> None:
            reached.set()
            await go_on.wait()
            await close_connection(*what)

        monkeypatch.setattr(client_module, "close_connection", slow)
        async with connected() as pair:
            closing = asyncio.create_task(pair.client.close())
            await reached.wait()
            closing.cancel()
            await asyncio.wait([closing])
            assert closing.cancelled()
            go_on.set()
            await pair.client.close()
            assert pair.client._connection.connectionState == "closed"
        assert not await tasks_left()

    run(scene)


def nowhere(sdp: str) -> str:
    """Return an address at which nobody is."""
    lines = []
    for line in sdp.splitlines():
        parts = line.split()
        if line.startswith("a=candidate"):
            parts[4], parts[5] = "127.0.0.1", "9"
        lines.append(" ".join(parts))
    return "\r\n".join(lines) + "\r\n"


def test_a_connection_that_finds_no_way_is_given_up_on_both_sides() -> None:
    async def scene() -> None:
        factory = peer_factory()
        peer = factory(FakeSession(), "both")

        async def exchange(offer: str) -> str:
            return nowhere(await peer.answer(nowhere(offer)))

        with pytest.raises(SourceLostError, match="UDP"):
            await RtcSession(exchange).connect(timeout_s=0.3)
        assert peer.state == "connecting"
        await peer.close()
        assert peer.session.attached == 0  # type: ignore[attr-defined]
        assert not await tasks_left()

    run(scene)


def test_a_peer_that_falls_silent_says_since_when(monkeypatch: pytest.MonkeyPatch) -> None:
    times_s = itertools.count(1_000_000.0, 20.0)

    async def hear_nothing_more(_connection: Any) -> Line:
        return Line(received_bytes=1, sent_bytes=1, rtt_ms=None, loss=None)

    async def scene() -> None:
        async with connected() as pair:
            pair.client.publish(plain(10))
            await next_picture(pair.client.pictures())
            monkeypatch.setattr("vivace.serve.rtc.peer.look_at_line", hear_nothing_more)
            pair.peer._clock = lambda: next(times_s)
            async with asyncio.timeout(PATIENCE_S):
                while not pair.peer.closed:
                    await asyncio.sleep(0.02)
            await pair.peer.close()
            assert "nothing was heard" in (pair.peer.closed_reason or "")
            assert pair.session.heard_s == 1_000_000.0

    run(scene)


def test_a_stun_server_that_does_not_answer_is_named(caplog: pytest.LogCaptureFixture) -> None:
    class Answering(asyncio.DatagramProtocol):
        def connection_made(self, transport: Any) -> None:
            self.transport = transport

        def datagram_received(self, data: bytes, address: Any) -> None:
            asked = stun.parse_message(data)
            answer = stun.Message(asked.message_method, stun.Class.RESPONSE, asked.transaction_id)
            answer.attributes["XOR-MAPPED-ADDRESS"] = address
            self.transport.sendto(bytes(answer), address)

    async def scene() -> None:
        loop = asyncio.get_running_loop()
        ends = [
            (await loop.create_datagram_endpoint(kind, local_addr=("127.0.0.1", 0)))[0]
            for kind in (Answering, asyncio.DatagramProtocol)
        ]
        alive, dead = (f"stun:127.0.0.1:{end.get_extra_info('sockname')[1]}" for end in ends)
        factory = PeerFactory(ServeSettings(ice_servers=[{"urls": [alive, dead]}]))
        await factory.name_silent_servers()
        for end in ends:
            end.close()
        said = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
        assert [dead in line for line in said] == [True], said

    run(scene)


def test_candidates_are_looked_for_a_second_at_most() -> None:
    waited: list[float] = []

    class Connection:
        async def get_component_candidates(self, component: int, addresses: list[str], timeout: float = 5) -> None:
            waited.append(timeout)

    class Transport:
        _connection = Connection()

    gather_loopback_too(Transport())
    asyncio.run(Transport._connection.get_component_candidates(component=1, addresses=[]))
    assert waited == [GATHER_S]
    assert GATHER_S <= 1


def test_a_session_that_ends_closes_its_peers() -> None:
    async def scene() -> None:
        async with connected() as pair:
            pair.client.publish(plain(10))
            await next_picture(pair.client.pictures())
            pair.session.end("admin")
            async with asyncio.timeout(PATIENCE_S):
                while not pair.peer.closed:
                    await asyncio.sleep(0.05)
            assert "session has ended" in (pair.peer.closed_reason or "")

    run(scene)


def test_an_ended_session_takes_no_offer() -> None:
    async def scene() -> None:
        session = FakeSession()
        session.end("idle")
        with pytest.raises(SessionClosedError):
            async with connected(session):
                pass
        assert not await tasks_left()

    run(scene)


def test_a_client_that_leaves_is_noticed() -> None:
    async def scene() -> None:
        async with connected() as pair:
            await pair.client.close()
            async with asyncio.timeout(PATIENCE_S):
                while not pair.peer.closed:
                    await asyncio.sleep(0.02)
            await pair.peer.close()
            assert pair.session.attached == 0

    run(scene)


def test_both_ends_tell_each_other_when_packets_arrive() -> None:
    async def scene() -> None:
        async with connected() as pair:
            pictures = pair.client.pictures()
            feeds = [pair.client._feed, pair.peer._feed]
            number = 0
            while not all(feed is not None and feed.told_of_arrivals for feed in feeds):
                pair.client.publish(plain(number % 200))
                await next_picture(pictures)
                number += 1

    run(scene)


def test_who_does_not_speak_of_arrivals_is_told_an_estimate() -> None:
    async def scene() -> None:
        async with connected(through=lambda sdp: sdp.replace("transport-cc", "no-such-thing")) as pair:
            pair.client.publish(plain(100))
            await next_picture(pair.client.pictures())
            answer = pair.peer._connection.localDescription.sdp
            assert "goog-remb" in answer
            assert "transport-cc" not in answer
            assert pair.peer._feed is not None
            assert not pair.peer._feed.told_of_arrivals

    run(scene)


def test_a_browser_is_answered_with_reports_of_arrivals_instead_of_an_estimate_and_with_where_to_begin() -> None:
    async def scene() -> None:
        answers: list[str] = []
        async with connected(back=lambda sdp: answers.append(sdp) or sdp):  # type: ignore[func-returns-value]
            (answer,) = answers
            assert "transport-cc" in answer
            assert "transport-wide-cc" in answer
            assert "goog-remb" not in answer
            assert f"x-google-start-bitrate={START_BPS // 1000}" in answer

    run(scene)


def test_who_speaks_of_playout_delays_is_asked_to_show_pictures_at_once() -> None:
    """Chromium held pictures back for 150 ms on a busy machine, to even out the times at which they were painted."""
    number = 13

    def offering(sdp: str) -> str:
        return sdp.replace("a=rtcp-mux", f"a=extmap:{number} {PLAYOUT_DELAY}\r\na=rtcp-mux", 1)

    def written(peer: Peer) -> dict[int, bytes]:
        (transceiver,) = (each for each in peer._connection.getTransceivers() if each.kind == "video")
        packet = RtpPacket().serialize(getattr(transceiver.sender, _SENDER_EXTENSIONS))
        profile, words = unpack("!HH", packet[12:16])
        return dict(unpack_header_extensions(profile, packet[16 : 16 + 4 * words]))

    async def scene() -> None:
        async with connected(through=offering) as pair:
            pair.client.publish(plain(100))
            await next_picture(pair.client.pictures())
            assert f"a=extmap:{number} {PLAYOUT_DELAY}" in pair.peer._connection.localDescription.sdp
            assert written(pair.peer)[number] == bytes(3), "no more than 0"
            assert len(written(pair.peer)) == 2, "beside the numbers of packets"
            pair.session.sound.take(SoundPacket(b"x", 1.0), 0.0)
            assert written(pair.peer)[number] == b"\x00\x0f\xff", "beside sound: 0 to 41 s"
        async with connected() as pair:
            assert PLAYOUT_DELAY not in pair.peer._connection.localDescription.sdp
            assert number not in written(pair.peer)

    run(scene)


def test_a_connection_that_fails_to_close_is_no_sign_of_life(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its session would keep its slot for ever."""
    session = FakeSession()

    async def fail(*what: Any) -> None:
        await close_connection(*what)
        raise ConnectionError("its socket is gone")

    async def scene() -> None:
        with pytest.raises(ConnectionError):
            async with connected(session):
                assert session.attached == 1
        assert session.attached == 0

    monkeypatch.setattr(peer_module, "close_connection", fail)
    run(scene)
