"""A client of a Vivace server: open sessions, change controls, read events, send and receive pictures.

    import vivace.client

    async with vivace.client.connect("http://127.0.0.1:8787") as client:
        async with await client.open(prompt="ink sketch") as session:
            ack = await session.update(prompt="watercolour", strength=0.8)   # ack.frame_index: the first frame with it
            async with session.media() as media:                             # WebRTC
                media.publish(rgb)                                           # uint8 [h w 3]
                async for picture in media.pictures():                       # always the newest
                    show(picture.rgb)

Needs the extra `serve`: `pip install '.[serve]'` in the folder of Vivace's source.
"""

from __future__ import annotations

from vivace.errors import install_extra

try:
    from vivace.client.api import ServerError, ServerUnreachableError
    from vivace.client.control import ClientSession
    from vivace.client.http import Client, connect
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(f"vivace.client needs {error.name}; {install_extra('serve')}", name=error.name) from error

__all__ = ["Client", "ClientSession", "ServerError", "ServerUnreachableError", "connect"]
