"""Checks that the packages of an extra are installed, before what needs them is imported."""

from __future__ import annotations

import importlib.util

from vivace.errors import BackendUnavailableError, install_extra

SERVE = ("fastapi", "uvicorn", "aiortc", "prometheus_client", "websockets", "httpx2", "jwt")
"""Modules of the extra `serve`."""


def need_serve_extra(what: str = "the server") -> None:
    """Raise BackendUnavailableError where the packages of the `serve` extra are not installed."""
    missing = [name for name in SERVE if importlib.util.find_spec(name) is None]
    if missing:
        raise BackendUnavailableError(
            f"{what} needs {', '.join(missing)}, which the base install leaves out; {install_extra('serve')}"
        )
