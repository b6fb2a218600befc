"""The studio in a browser on a cluster: the same page, and its session goes on where its worker was killed."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from cluster.local_cluster import LocalCluster, local_cluster
from cluster.test_media import SIZE
from e2e.browsers import CHROMIUM
from e2e.studio import Studio, browser_with_camera
from serve_rig import in_loop

pytest.importorskip("playwright.sync_api", reason="needs playwright (the dev extra)")

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(CHROMIUM is None, reason="needs chromium (Debian: apt-get install chromium)"),
]

GREY_CAMERA = """
const canvas = Object.assign(document.createElement("canvas"), { width: 128, height: 96 });
const pen = canvas.getContext("2d");
setInterval(() => { pen.fillStyle = "rgb(60 60 60)"; pen.fillRect(0, 0, 128, 96); }, 50);
navigator.mediaDevices.getUserMedia = async () => canvas.captureStream(20);
"""


def drive(cluster: LocalCluster, loop: asyncio.AbstractEventLoop, folder: Path) -> None:
    """Paint, have the worker killed, and paint on, as a person would see it."""
    with browser_with_camera(folder) as browser:
        studio = Studio(browser, cluster.url)
        studio.context.add_init_script(GREY_CAMERA)
        studio.open("green")
        studio.start_camera()
        studio.wait_state("live")
        studio.wait_colour("g > r + 30 && g > b + 30")
        session = studio.session_id()
        killed = cluster.session_on(session)
        assert killed is not None
        asyncio.run_coroutine_threadsafe(cluster.kill(killed), loop).result()
        asyncio.run_coroutine_threadsafe(cluster.until(lambda: cluster.session_on(session)), loop).result()
        record = cluster.workers[cluster.session_on(session) or ""].worker.record(session)
        assert record is not None
        assert record.controls.prompt == "green"
        studio.wait_state("live")
        studio.paint("red")
        studio.wait_colour("r > g + 30 && r > b + 30")
        assert studio.session_id() == session
        assert not studio.errors
        studio.close()


@in_loop
async def test_a_page_on_a_cluster_paints_on_when_its_worker_is_killed(tmp_path: Path) -> None:
    async with local_cluster(tmp_path, "one", "two", size=SIZE, marks=frozenset()) as cluster:
        await asyncio.to_thread(drive, cluster, asyncio.get_running_loop(), tmp_path)
