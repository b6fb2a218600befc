"""A connection ends, whatever has happened in it."""

from __future__ import annotations

import asyncio
from typing import Any

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
            # As when a report cannot be written: the task is gone without a word.
            receiver._RTCRtpReceiver__rtcp_task.cancel()
            await asyncio.sleep(0)
            receiver._RTCRtpReceiver__rtcp_exited = asyncio.Event()
            await pair.peer.close()
            assert pair.peer.closed
            assert not pair.peer._intake._thread.is_alive()
            assert receiver.transport.transport.state == "closed"

    run(scene)
    assert "did not close" in caplog.text
