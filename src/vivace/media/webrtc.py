"""Availability of WHIP and WHEP, which are above this room, in `vivace.client.whip`."""

from __future__ import annotations

from importlib.util import find_spec

from vivace.errors import install_extra


def lacking() -> str:
    """Return which packages WebRTC lacks here, and how to get them; empty where all are there."""
    missing = [name for name in ("aiortc", "httpx2", "websockets") if find_spec(name) is None]
    return f"WebRTC needs {', '.join(missing)}; {install_extra('serve')}" if missing else ""
