"""Time until a phone's picture is back after a change of network: `python tests/e2e/measure_roaming.py`, Chromium."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from e2e.roaming import Phone, phone_on_networks

TURNS = 3


def measure(phone: Phone, name: str, *, hinted: bool = False, udp_only: bool = False) -> None:
    """Change the network; print the time until the page noticed, and until its first new picture."""
    page = phone.studio.page
    phone.watch()
    phone.wait_pictures()
    page.evaluate("window.since = performance.now()")
    phone.networks.leave(udp_only=udp_only)
    if not udp_only:
        phone.networks.join()
    if hinted:
        page.evaluate("dispatchEvent(new Event('online'))")
    phone.studio.wait_until("window.told.length > 0", 60)
    shown = page.evaluate("window.pictures")
    phone.studio.wait_until(f"window.pictures > {shown}", 60)
    noticed, back = page.evaluate("[told[0][2], newest].map((ms) => (ms - since) / 1000)")
    print(f"{name}: noticed after {noticed:.1f} s, a new picture after {back:.1f} s", flush=True)


with tempfile.TemporaryDirectory() as folder, phone_on_networks(Path(folder)) as phone:
    for _ in range(TURNS):
        measure(phone, "another network, which the browser does not tell of")
        measure(phone, "another network, which the browser tells of", hinted=True)
        measure(phone, "UDP alone", udp_only=True)
