"""The client from a program without asyncio: its event loop runs in a thread, and plain calls wait for it.

vivace serve
python examples/sync_client.py --prompt "ink" --frames 30 --output back.png
"""

from __future__ import annotations

import argparse
import asyncio
import queue
import threading
from collections.abc import Coroutine
from contextlib import AsyncExitStack
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from PIL import Image

import vivace.client


class SyncSession:
    """A session on a server, for a thread that does not know of asyncio. A context manager."""

    def __init__(self, server: str, token: str | None = None, **controls: Any) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="vivace-client")
        self._thread.start()
        self._open = AsyncExitStack()
        self._newest: queue.Queue[np.ndarray] = queue.Queue(maxsize=1)
        try:
            self._wait(self._connect(server, token, controls))
        except BaseException:
            self.close()
            raise

    def publish(self, rgb: np.ndarray) -> bool:
        """Send a picture, `uint8 [h w 3]`; False when the connection has ended."""
        return self._media.publish(rgb)

    def picture(self, timeout_s: float = 10.0) -> np.ndarray:
        """Return the newest painted picture that was not returned before. Raises queue.Empty where none comes."""
        return self._newest.get(timeout=timeout_s)

    def update(self, **controls: Any) -> None:
        """Change the prompt or another control; raises what the server refuses."""
        self._wait(self._session.update(**controls))

    def close(self) -> None:
        """End the session."""
        self._wait(self._open.aclose())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def __enter__(self) -> SyncSession:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _wait(self, work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    async def _connect(self, server: str, token: str | None, controls: dict[str, Any]) -> None:
        client = await self._open.enter_async_context(vivace.client.connect(server, token=token))
        self._session = await self._open.enter_async_context(await client.open(**controls))
        self._media = await self._open.enter_async_context(self._session.media())
        receiving = asyncio.create_task(self._receive())
        self._open.callback(receiving.cancel)

    async def _receive(self) -> None:
        async for picture in self._media.pictures():
            if self._newest.full():
                self._newest.get_nowait()
            self._newest.put_nowait(picture.rgb)


def main() -> None:
    """Send noise that drifts, and keep the last picture that comes back."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--server", default="http://127.0.0.1:8787")
    parser.add_argument("--token")
    parser.add_argument("--prompt", default="ink")
    parser.add_argument("--frames", type=int, default=30)
    parser.add_argument("--output", type=Path, default=Path("back.png"))
    options = parser.parse_args()
    waves = np.sin(np.linspace(0, 12, 256))[None, :] * np.cos(np.linspace(0, 7, 144))[:, None]
    picture = np.repeat(((waves + 1) * 127)[..., None], 3, axis=2).astype(np.uint8)
    came = 0
    with SyncSession(options.server, options.token, prompt=options.prompt) as session:
        while came < options.frames:
            if not session.publish(np.roll(picture, came, axis=1)):
                raise SystemExit("the connection has ended")
            try:
                painted = session.picture(timeout_s=0.1)
            except queue.Empty:
                continue  # none is painted yet, or the server is slower than we are
            came += 1
    Image.fromarray(painted).save(options.output)
    print(f"{came} pictures came back")


if __name__ == "__main__":
    main()
