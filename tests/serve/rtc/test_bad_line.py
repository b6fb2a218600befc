"""10 % loss and reordering: pictures still come, in order and recent, and the path is used less."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest

from rtc_loopback import connected, run
from rtc_relay import BadLine
from vivace.bench.latency.webrtc_code import Code

SIZE = (128, 96)
ENOUGH = 15
MOST_FRAMES = 500
"""Limit for busy machines, which send and show fewer of them."""


@pytest.mark.parametrize("codec", ["H264", "VP8"])
def test_pictures_come_through_a_bad_line(codec: str) -> None:
    code = Code(SIZE)
    noise = np.random.default_rng(0).integers(0, 255, (8, SIZE[1], SIZE[0], 3), dtype=np.uint8)
    seen: list[int] = []

    async def scene() -> None:
        async with (
            BadLine(loss=0.1, reorder=0.05) as line,
            connected(through=line.offer, back=line.answer, codecs=[codec], control=False) as pair,
        ):

            async def look() -> None:
                async for picture in pair.client.pictures():
                    number = code.read(picture.rgb)
                    if number is not None:
                        seen.append(number)

            def enough() -> bool:
                return len(set(seen)) >= ENOUGH and line.lost > 20 and line.reordered > 10

            eye = asyncio.create_task(look())
            number = -1
            while number < MOST_FRAMES and not enough():
                number += 1
                pair.client.publish(code.draw(noise[number % 8], number))
                await asyncio.sleep(0.012)
            for _ in range(200):  # the last picture again, until it arrives
                if seen and seen[-1] == number:
                    break
                pair.client.publish(code.draw(noise[0], number))
                await asyncio.sleep(0.02)
            eye.cancel()
            assert enough()
            assert seen[-1] == number
            assert pair.peer.state == "connected"

    run(scene)
    assert seen == sorted(seen)
