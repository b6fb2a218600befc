"""Publish and watch over WebRTC from Python: frames of yours go to a server, painted ones come back.

    vivace serve
    python examples/webrtc_client.py scene:boat --prompt "ink" --frames 60 --output back.png

A server behind tokens takes `--token`, one with a certificate of its own `--ca FILE`.
"""

from __future__ import annotations

import argparse
import asyncio
import ssl
import time
from contextlib import AsyncExitStack
from pathlib import Path

from PIL import Image

import vivace
import vivace.client
from vivace.client.rtc import RtcSession

SIZE, FPS = (256, 144), 30


def publish(media: RtcSession, source: str) -> None:
    """Send a source's frames, the newest being the one that counts, until the connection ends."""
    with vivace.open_source(source, size=SIZE) as frames:
        for frame in frames:
            if not media.publish(frame.rgb):
                return
            time.sleep(1 / FPS)


async def run(options: argparse.Namespace) -> int:
    """Open a session, publish, and look at what comes back; return how many pictures did."""
    tls = ssl.create_default_context(cafile=options.ca) if options.ca else None
    async with AsyncExitStack() as opened:
        client = await opened.enter_async_context(vivace.client.connect(options.server, token=options.token, tls=tls))
        session = await opened.enter_async_context(await client.open(prompt=options.prompt))
        for notice in session.notices:
            print(notice.message)  # a prompt that the model does not know, and what is near
        media = await opened.enter_async_context(session.media())
        sending = asyncio.create_task(asyncio.to_thread(publish, media, options.source))
        count = 0
        async for picture in media.pictures():
            count += 1
            if count == options.frames // 2:
                ack = await session.update(prompt=options.then)
                print(f"{options.then} from frame {ack.frame_index} on")
            if count == options.frames:
                Image.fromarray(picture.rgb).save(options.output)
                break
    await sending  # it ends with the connection
    return count


def main() -> None:
    """Read the arguments and run."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("source", help="anything that `vivace run` takes")
    parser.add_argument("--server", default="http://127.0.0.1:8787")
    parser.add_argument("--token")
    parser.add_argument("--ca", help="PEM file of the certificate to trust")
    parser.add_argument("--prompt", default="ink")
    parser.add_argument("--then", default="watercolour", help="the prompt from half-way on")
    parser.add_argument("--frames", type=int, default=60)
    parser.add_argument("--output", type=Path, default=Path("back.png"), help="the last picture")
    print(f"{asyncio.run(run(parser.parse_args()))} pictures came back")


if __name__ == "__main__":
    main()
