"""Connections that carry garbage, break off, or come and go."""

from __future__ import annotations

import asyncio
import contextlib
import io
import random
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import av
import numpy as np
from aiortc import RTCDataChannel
from aiortc.rtcsctptransport import SCTP_DATA_LAST_FRAG, Chunk, DataChunk
from aiortc.rtp import RtpPacket

import vivace.client
from patience import PATIENCE_S
from rtc_relay import BadLine
from serve.faults.process import Served
from serve.faults.rough import Amount
from serve.faults.visitor import PROMPT, live, see_painted, sending
from vivace.client.control import ClientSession
from vivace.client.rtc import RtcSession

BOMB_MIB = 300
"""Size of a decoded bomb, MiB: a frame that claims 16383x16383 px would take more than a gigabyte."""


def transport_of(media: RtcSession) -> Any:
    """Return the connection below the pictures, on which anything can be sent."""
    return media._connection.getTransceivers()[0].sender.transport


def payload_types(media: RtcSession) -> dict[str, int]:
    codecs = media._connection.getTransceivers()[0]._codecs
    return {codec.name.upper(): codec.payloadType for codec in codecs}


async def rtp(media: RtcSession, payload: bytes, payload_type: int, number: int, ssrc: int, *, marker: int = 1) -> None:
    """Send one packet as if it belonged to a picture."""
    packet = RtpPacket(
        payload_type=payload_type, marker=marker, sequence_number=number & 0xFFFF, timestamp=number * 3000, ssrc=ssrc
    )
    packet.payload = payload
    await transport_of(media)._send_rtp(packet.serialize())


async def random_media(server: Served, amount: Amount) -> None:
    """Random payloads, cut packets, wrong types and sources: pictures continue, or the connection is closed."""
    chance = random.Random(3)
    async with live(server) as (session, media):
        types = [*payload_types(media).values(), 0, 13, 63, 127]
        try:
            for number in range(amount.packets):
                body = chance.randbytes(chance.choice([0, 1, 2, 3, 12, 60, 1_100]))
                ssrc = chance.choice([1, 2, chance.getrandbits(32)])
                await rtp(media, body, chance.choice(types), number, ssrc, marker=chance.getrandbits(1))
                if number % 3 == 0:  # not even encrypted: like STUN, DTLS, RTP, or nothing
                    first = bytes([chance.choice([0, 1, 20, 22, 63, 64, 127, 128, 144, 200, 255])])
                    await transport_of(media).transport._send(
                        first + chance.randbytes(chance.choice([0, 1, 11, 40, 1_400]))
                    )
                if number % 50 == 0:
                    await asyncio.sleep(0.005)
        except ConnectionError:
            pass  # the server has hung up
        assert (await session.ping()) > 0  # the session and its other connection stand


def tiny_vp8(size: tuple[int, int]) -> bytes:
    """Return a keyframe of 64x64 px that claims another size."""
    encoder = av.CodecContext.create("libvpx", "w")
    encoder.width = encoder.height = 64
    encoder.pix_fmt = "yuv420p"
    encoder.framerate = 25
    picture = av.VideoFrame.from_ndarray(np.zeros((64, 64, 3), np.uint8), format="rgb24")
    packets = [*encoder.encode(picture), *encoder.encode(None)]
    data = bytearray(bytes(packets[0]))
    data[6:10] = size[0].to_bytes(2, "little") + size[1].to_bytes(2, "little")
    return bytes(data)


def large_h264(size: tuple[int, int]) -> bytes:
    """Return a black keyframe of that size, of few bytes."""
    out = io.BytesIO()
    with av.open(out, "w", format="h264") as container:
        stream = container.add_stream("libx264", 25, options={"preset": "ultrafast", "tune": "zerolatency"})
        stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
        picture = av.VideoFrame(*size, "yuv420p")
        for plane in picture.planes:
            plane.update(bytes(plane.buffer_size))
        container.mux(stream.encode(picture))
        container.mux(stream.encode(None))
    return out.getvalue()


def vp8_payloads(data: bytes) -> list[bytes]:
    pieces = [data[at : at + 1_000] for at in range(0, len(data), 1_000)]
    return [(b"\x10" if number == 0 else b"\x00") + piece for number, piece in enumerate(pieces)]


def h264_payloads(data: bytes) -> list[bytes]:
    from aiortc.codecs.h264 import H264Encoder

    return list(H264Encoder._packetize(H264Encoder._split_bitstream(data)))


async def decoder_bombs(server: Served, amount: Amount) -> None:
    """A small frame that unpacks into a huge picture is refused before memory is spent on it."""
    bombs = {"VP8": vp8_payloads(tiny_vp8((16_383, 16_383))), "H264": h264_payloads(large_h264((4_096, 2_304)))}
    for codec, payloads in bombs.items():
        async with (
            vivace.client.connect(server.url, token=server.token("publish")) as client,
            await client.open(prompt=PROMPT) as session,
            session.media() as media,
        ):
            before_mib = server.hold().rss_mib
            server.forget_peak()
            for burst in range(5):
                for number, payload in enumerate(payloads):
                    last = number == len(payloads) - 1
                    sequence = burst * len(payloads) + number
                    await rtp(media, payload, payload_types(media)[codec], sequence, 7, marker=int(last))
                    await asyncio.sleep(0.001)
                await asyncio.sleep(0.1)
            grown_mib = server.peak_mib() - before_mib
            assert grown_mib < BOMB_MIB, f"{codec}: {grown_mib:.0f} MiB were spent on a picture nobody wants"
            await session.ping()


async def large_channel_messages(server: Served, amount: Amount) -> None:
    """A data channel that is flooded, or sends messages beyond every limit, stays within its limits."""
    async with _with_channel(server) as (session, _, channel):
        channel.send(b"\x00" * 700_000)
        for _ in range(amount.messages // 10):
            channel.send('{"type": "ping"}')
        async with asyncio.timeout(PATIENCE_S):
            while channel.readyState == "open" and channel.bufferedAmount:
                await asyncio.sleep(0.02)
        await session.ping()


async def endless_message(server: Served, amount: Amount) -> None:
    """An endless message is not awaited: the connection is closed."""
    async with _with_channel(server) as (session, media, channel):
        _never_end(media)
        channel.send(b"\x00" * 1_500_000)  # the window is a mebibyte
        async with asyncio.timeout(PATIENCE_S):
            await media._lost.wait()
        await session.ping()


def _never_end(media: RtcSession) -> None:
    """Let no fragment of a message be marked as the last."""
    sctp = media._connection.sctp
    send = sctp._send_chunk

    async def without_an_end(chunk: Chunk) -> None:
        if isinstance(chunk, DataChunk):
            chunk.flags &= ~SCTP_DATA_LAST_FRAG
        await send(chunk)

    sctp._send_chunk = without_an_end


async def many_sources(server: Served, amount: Amount) -> None:
    """A client with very many sources is disconnected: each source would be remembered."""
    async with live(server) as (session, media):
        video = payload_types(media)["VP8"]
        before = server.log().count("sources came")
        async with asyncio.timeout(PATIENCE_S):
            number = 0
            while server.log().count("sources came") == before:
                with contextlib.suppress(ConnectionError):
                    await rtp(media, bytes(20), video, number, 1_000 + number)
                number += 1
                await asyncio.sleep(0.001)
        await session.ping()


@asynccontextmanager
async def _with_channel(server: Served) -> AsyncIterator[tuple[ClientSession, RtcSession, RTCDataChannel]]:
    """Yield a painted session, over a connection with its own control channel that ignores limits."""
    async with (
        vivace.client.connect(server.url, token=server.token("publish")) as client,
        await client.open(prompt=PROMPT) as session,
        RtcSession(lambda offer: client.offer(session.info, offer)) as media,
        sending(media),
    ):
        await see_painted(media, 1)
        assert media._channel is not None
        media._connection.sctp._remote_max_message_size = 0
        yield session, media, media._channel


@asynccontextmanager
async def _publisher(server: Served) -> Any:
    command = [sys.executable, str(Path(__file__).with_name("publisher.py")), server.url, server.token("publish")]
    process = await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE)
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def killed_publishers(server: Served, amount: Amount) -> None:
    """A client that is killed in the middle of a frame is noticed, and its slot is freed."""
    absent = 'vivace_sessions_ended_total{reason="absent"}'
    before = server.metrics().get(absent, 0)
    count = 1 if amount.cycles < 50 else 3
    for _ in range(count):
        async with _publisher(server) as process:
            async with asyncio.timeout(PATIENCE_S):
                assert (await process.stdout.readline()).strip() == b"painted"
    async with asyncio.timeout(PATIENCE_S):
        while server.metrics().get(absent, 0) < before + count:
            await asyncio.sleep(0.1)


async def cycles(server: Served, amount: Amount) -> None:
    """Connect and leave: politely, silently, and before the connection stands."""
    token = server.token("publish")
    async with vivace.client.connect(server.url, token=token) as client:
        for number in range(amount.cycles):
            session = await client.open(prompt=PROMPT)
            try:
                match number % 4:
                    case 0:
                        async with session.media() as media, sending(media):
                            await see_painted(media, 1)
                    case 1:
                        async with session.media() as media, sending(media):
                            await asyncio.sleep(0.02)
                    case 2:
                        media = session.media()
                        connecting = asyncio.create_task(media.connect())
                        await asyncio.sleep(0.01 * (number % 7))
                        connecting.cancel()
                        await asyncio.wait([connecting])
                        await media.close()  # it may have been connected by then
                    case 3:
                        async with session.media(play=False), session.media(publish=False):
                            pass
            finally:
                await session.close()


async def lossy_line(server: Served, amount: Amount) -> None:
    """With a tenth of all packets lost, and others late, painted pictures still come."""
    line = BadLine(loss=0.1, reorder=0.1, seed=4, delay_s=0.03)  # late comes after the packets of the next picture
    async with (
        line,
        vivace.client.connect(server.url, token=server.token("publish")) as client,
        await client.open(prompt=PROMPT) as session,
    ):

        async def exchange(sdp: str) -> str:
            return line.answer(await client.offer(session.info, sdp))

        # The client's candidates lead nowhere, so that everything passes the line.
        media = RtcSession(lambda sdp: exchange(_without_candidates(sdp)), control=False)
        async with media, sending(media):
            await see_painted(media, 20)
    assert line.lost, "nothing was lost, so nothing was shown"
    assert line.reordered


def _without_candidates(sdp: str) -> str:
    return "".join(line + "\r\n" for line in sdp.splitlines() if not line.startswith(("a=candidate:", "a=end-of-")))
