"""A connection ends, whatever has happened in it."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import aioice
import pytest

from rtc_loopback import connected, next_picture, plain, run
from vivace.rtc import connection as module


def test_a_close_that_hangs_in_aiortc_ends_all_the_same(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "CLOSE_S", 0.2)

    async def scene() -> None:
        async with connected() as pair:
            pair.client.publish(plain(100))
            await next_picture(pair.client.pictures())
            receiver: Any = pair.peer._connection.getTransceivers()[0].receiver
            # As when a report cannot be written: the task ends silently.
            receiver._RTCRtpReceiver__rtcp_task.cancel()
            await asyncio.sleep(0)
            receiver._RTCRtpReceiver__rtcp_exited = asyncio.Event()
            await pair.peer.close()
            assert pair.peer.closed
            assert not pair.peer._decoder._thread.is_alive()
            assert receiver.transport.transport.state == "closed"

    run(scene)
    assert "did not close" in caplog.text


@pytest.mark.parametrize("leave", ["cancelled", "closed"])
def test_sockets_opened_while_somebody_leaves_are_closed(leave: str, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[asyncio.DatagramTransport] = []
    monkeypatch.setattr("aioice.ice.get_host_addresses", lambda **_: ["127.0.0.1"])

    async def scene() -> None:
        loop = asyncio.get_running_loop()
        create = loop.create_datagram_endpoint
        reached, go_on = asyncio.Event(), asyncio.Event()

        async def slow(*args: Any, **how: Any) -> Any:
            if opened:  # the first socket is open, the second is not
                reached.set()
                await go_on.wait()
            transport, protocol = await create(*args, **how)
            opened.append(transport)
            return transport, protocol

        monkeypatch.setattr(loop, "create_datagram_endpoint", slow)
        connection = module.open_connection([])
        connection.addTransceiver("video")
        module.prepare_transports(connection)
        describing = loop.create_task(connection.setLocalDescription(await connection.createOffer()))
        await reached.wait()
        if leave == "cancelled":
            describing.cancel()
            await asyncio.wait([describing])
        closing = loop.create_task(module.close_connection(connection, None))
        await asyncio.sleep(0)
        go_on.set()
        await closing
        await asyncio.wait([describing])
        if not describing.cancelled():
            describing.exception()
        assert len(opened) == 2
        assert all(transport.is_closing() for transport in opened)

    run(scene)


def test_a_connection_closed_while_it_is_just_made_leaves_no_task(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scene() -> None:
        ends = aioice.Connection(ice_controlling=True), aioice.Connection(ice_controlling=False)
        for end in ends:
            await end.gather_candidates()
        for end, other in (ends, ends[::-1]):
            for candidate in [*other.local_candidates, None]:
                await end.add_remote_candidate(candidate)
            end.remote_username, end.remote_password = other.local_username, other.local_password
        ours, theirs = ends
        held: Any = SimpleNamespace(close=ours.close)
        monkeypatch.setattr(module, "_ice_transports", lambda _held: [SimpleNamespace(_connection=ours)])
        closed = False
        check = ours._check_periodic
        ours._check_periodic = lambda: check() or not closed  # so that all is found, and `connect` has not continued
        connecting = [asyncio.create_task(end.connect()) for end in ends]
        while not ours._check_list_done:  # aioice does not tell
            await asyncio.sleep(0.01)
        await module.close_connection(held, None)
        closed = True
        await asyncio.gather(*connecting)
        await theirs.close()
        await asyncio.sleep(0)
        left = [task.get_coro() for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        assert not [coro for coro in left if "consent" in coro.__qualname__]

    run(scene)
