"""A client that publishes until it is killed: `publisher.py URL TOKEN`. Prints `painted` once it is served."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))


async def publish(url: str, token: str) -> None:
    import vivace.client
    from serve.faults.visitor import PROMPT, see_painted, sending

    async with (
        vivace.client.connect(url, token=token) as client,
        await client.open(prompt=PROMPT) as session,
        session.media() as media,
        sending(media),
    ):
        await see_painted(media)
        print("painted", flush=True)
        await asyncio.sleep(3600)


if __name__ == "__main__":
    asyncio.run(publish(*sys.argv[1:]))
