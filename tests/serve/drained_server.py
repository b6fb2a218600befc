"""A program for a test: serves a fake model, records, receives one signal or two, and reports the result."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import av
import numpy as np

import vivace.client
from fakes import FakeModel
from http_fakes import settings_for
from patience import PATIENCE_S
from serve_rig import until
from vivace.client import ServerError
from vivace.messages import Ended
from vivace.serve.app import create_app
from vivace.serve.main import DrainingServer, listen, uvicorn_config
from vivace.serve.rtc import make_peer_factory
from vivace.serve.session_manager import SessionManager

PICTURE = np.zeros((48, 64, 3), np.uint8)


async def use(url: str, manager: SessionManager, sign: signal.Signals, times: int) -> None:
    async with vivace.client.connect(url) as client:
        await until(lambda: manager.ready)
        session = await client.open(prompt="red")
        await session.wait_live()
        print(session.state)
        await session.record(True)
        live = manager.get(session.id)
        media = session.media()
        await media.connect()
        pushing = asyncio.create_task(push(live))
        await asyncio.sleep(0.5)
        os.kill(os.getpid(), sign)
        while not manager.draining:
            await asyncio.sleep(0.02)
        try:
            await client.open()
        except ServerError as error:
            print(f"refused:{error.code}")
        if times == 2:
            os.kill(os.getpid(), sign)
        events = [event async for event in session.events()]
        ended = next(event for event in events if isinstance(event, Ended))
        print(f"ended:{ended.reason}")
        pushing.cancel()
        await media.close()
        await session.close()


async def push(session) -> None:  # type: ignore[no-untyped-def]
    while session.push(PICTURE):
        await asyncio.sleep(0.03)


def main(sign: signal.Signals, times: int, folder: Path) -> None:
    drain_s = 0.5 if times == 1 else 600.0  # nobody waits so long
    settings = settings_for(folder, port=0, size=(64, 48), drain_s=drain_s)
    with listen(settings) as listening:
        manager = SessionManager(settings, load_model=lambda _: FakeModel(record=False))
        app = create_app(settings, manager, peer_factory=make_peer_factory(settings))
        server = DrainingServer(uvicorn_config(app, settings), manager)
        url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        using = threading.Thread(target=lambda: asyncio.run(use(url, manager, sign, times)))
        using.start()
        server.run(sockets=[listening])
        using.join(PATIENCE_S)
    (path,) = folder.glob("*.mp4")
    with av.open(path) as container:
        frames = sum(1 for _ in container.decode(video=0))
    print("frames:ok" if frames > 3 else f"frames:{frames}")
    print("stopped")


if __name__ == "__main__":
    main(signal.Signals[sys.argv[1]], int(sys.argv[2]), Path(sys.argv[3]))
