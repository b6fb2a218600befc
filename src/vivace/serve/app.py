"""The web application: everything that is served over HTTP and WebSocket, put together from its parts."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI
from starlette.staticfiles import StaticFiles

from vivace.serve.http import catalog, health, pages, pictures, recordings, sessions, sharing, verify, whip
from vivace.serve.http.access import AccessControl
from vivace.serve.http.errors import ErrorBody, install_errors
from vivace.serve.http.guard import Guard, GuardRules
from vivace.serve.http.pages import WEB
from vivace.serve.http.state import Peers, Server
from vivace.serve.metrics import Metrics
from vivace.serve.ports import PeerFactory
from vivace.serve.session_manager import SessionManager
from vivace.serve.settings import ServeSettings
from vivace.serve.thumbnails import Thumbnails
from vivace.serve.version import VERSION

_log = logging.getLogger(__name__)

_ERROR: dict[str, Any] = {"model": ErrorBody, "description": "Anything that went wrong, by its status."}

SWEEP_S = 1.0
"""Time between two looks for peers of sessions that have ended, s."""


def create_app(settings: ServeSettings, manager: SessionManager, *, peer_factory: PeerFactory) -> FastAPI:
    """Return the application of a server.

    Args:
        settings: of the server.
        manager: its sessions; started and stopped with the application, which answers while the model is loaded.
        peer_factory: makes peer connections.
    """
    secret = settings.token_secret.get_secret_value() if settings.token_secret else None
    peers = Peers(peer_factory)
    server = Server(
        settings=settings,
        manager=manager,
        access_control=AccessControl(secret, manager),
        peers=peers,
        thumbnails=Thumbnails(moderator=manager.moderation),
        metrics=Metrics(manager, peers.watching),
    )

    @asynccontextmanager
    async def life(_: FastAPI) -> AsyncIterator[None]:
        loading = asyncio.create_task(manager.start(), name="vivace-loading")  # meanwhile there is a page that says so
        sweeper = asyncio.create_task(_sweep(server), name="vivace-sweep")
        try:
            yield
        finally:
            sweeper.cancel()
            loading.cancel()  # nobody would ever see the model; what it failed with is the manager's `load_error`
            await asyncio.gather(sweeper, loading, return_exceptions=True)
            await server.peers.close_all()
            await manager.stop()

    app = FastAPI(
        title="Vivace",
        version=VERSION,
        summary="Live video diffusion: sessions, WHIP and WHEP, models, recordings.",
        lifespan=life,
        docs_url=None,  # their pages come from a CDN; ours is in `http/pages.py`
        redoc_url=None,
        responses={422: _ERROR, "default": _ERROR},
    )
    app.state.server = server
    install_errors(app)
    for part in (sessions, pictures, sharing, whip, catalog, recordings, verify, health, pages):
        app.include_router(part.router)
    app.mount("/", StaticFiles(directory=WEB, html=True, check_dir=False), name="studio")
    app.add_middleware(
        Guard,
        rules=GuardRules(
            max_body_bytes=settings.max_body_bytes,
            larger={verify.PATH: settings.verify_max_mib * 2**20},
            body_s=settings.request_s,
            origins=frozenset(settings.allowed_origins),
            local_only=secret is None,
        ),
    )
    return app


async def _sweep(server: Server) -> None:
    """Look after connections for as long as the server runs."""
    while True:
        await asyncio.sleep(SWEEP_S)
        try:
            await _sweep_once(server)
        except Exception:  # noqa: BLE001  (the next look may do better; the log has it)
            _log.exception("looking after connections failed; it goes on")


async def _sweep_once(server: Server) -> None:
    """End sessions whose publisher has gone, and close connections that have ended or whose session has."""
    for session_id in server.made_for_whip - server.peers.published():
        server.made_for_whip.discard(session_id)
        server.manager.end(session_id, "client", "The publisher has gone.")
    alive = {session.id for session in server.manager.sessions()}
    server.made_for_whip.intersection_update(alive)
    await server.peers.close_ended(alive)
