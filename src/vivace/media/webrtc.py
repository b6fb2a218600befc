"""Whether this machine has what WHIP and WHEP need; they themselves are above, in `vivace.client.whip`."""

from __future__ import annotations

from importlib.util import find_spec

from vivace.errors import install_extra


def lacking() -> str:
    """Return what is missing for WebRTC, and how to get it."""
    missing = [name for name in ("aiortc", "httpx2", "websockets") if find_spec(name) is None]
    return f"WebRTC needs {', '.join(missing)}; {install_extra('serve')}" if missing else ""
