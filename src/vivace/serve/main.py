"""Runs the server: listens, serves until it is told to stop, then lets sessions end properly."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections.abc import Callable, Sequence
from types import FrameType
from typing import Any

import uvicorn
from fastapi import FastAPI

from vivace.errors import UsageError
from vivace.models.base import StreamModel
from vivace.models.catalog import describe
from vivace.serve.app import create_app
from vivace.serve.auth import check_listening, is_loopback
from vivace.serve.logs import logging_to_stderr
from vivace.serve.marking import Marking
from vivace.serve.patience import PatientWebSocket, patient_protocol
from vivace.serve.rtc import make_peer_factory
from vivace.serve.session_manager import SessionManager
from vivace.serve.settings import ServeSettings
from vivace.serve.surfaces import OscSurface
from vivace.serve.tls import Tls, open_tls, reachable_hosts
from vivace.show.drive import parse_drive
from vivace.stream.finish import Finisher
from vivace.trust.moderation import Moderation

_log = logging.getLogger(__name__)

WS_QUEUE = 4
"""Messages of a client that wait unread before its connection is not read any more."""
WS_PING_S = 5.0
"""A machine that has vanished says no goodbye; its channel stands for twice as long at most."""
MAX_CONNECTIONS = 512
"""Open connections and running requests; beyond it clients get 503 rather than memory."""
KEEP_ALIVE_S = 15
CLOSING_S = 3
"""Time for connections to close after sessions have ended."""


def listen(settings: ServeSettings) -> socket.socket:
    """Return a listening socket.

    Raises:
        UsageError: the address cannot be listened on, or may not without a secret.
    """
    secret = settings.token_secret.get_secret_value() if settings.token_secret else None
    check_listening(settings.host, secret)
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    try:
        return socket.create_server((settings.host, settings.port), family=family)
    except OSError as error:
        raise UsageError(
            f"cannot listen on {settings.host} port {settings.port} ({error.strerror}); choose another with --host and "
            "--port"
        ) from error


class DrainingServer(uvicorn.Server):
    """On the first signal, drains the sessions and then stops; on the second, or without its model, stops at once.

    At once is not by force (uvicorn's `force_exit`): that cancels whatever runs, before connections can close.
    """

    def __init__(
        self,
        config: uvicorn.Config,
        manager: SessionManager,
        when_started: Callable[[], None] = lambda: None,
        when_stopping: Callable[[], None] = lambda: None,
    ) -> None:
        super().__init__(config)
        self._manager = manager
        self._when_started = when_started
        self._when_stopping = when_stopping
        self._draining: asyncio.Task[None] | None = None
        self._signals = 0

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002
        """Note a signal; what follows happens on the event loop."""
        self._signals += 1

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to serve, and tell: from here on a signal is heard and a client answered."""
        await super().startup(sockets)
        if self.started:
            self._when_started()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop, what steers sessions first, in a thread: it waits for their answers."""
        await asyncio.to_thread(self._when_stopping)
        await super().shutdown(sockets)

    async def on_tick(self, counter: int) -> bool:
        """Look every 0.1 s whether to stop."""
        if self._signals and self._draining is None:
            drain_s = self._manager.settings.drain_s
            _log.info("no new sessions; those that run have %g s to end (a second signal stops at once)", drain_s)
            self._draining = asyncio.create_task(self._manager.drain(drain_s))
        if self._signals > 1:
            await self._manager.drain(0.0)  # the longer one finds nobody left
        if self._manager.models.load_error is not None or (self._draining is not None and self._draining.done()):
            self.should_exit = True
        return await super().on_tick(counter)


def serve(
    settings: ServeSettings,
    *,
    load_model: Callable[[str], StreamModel[Any]] | None = None,
    finishers: Callable[[str], Sequence[Finisher]] = lambda _session: (),
) -> int:
    """Run the server until it is told to stop; return the exit code.

    Args:
        settings: how it runs.
        load_model: loads a model by name; None is `vivace.models.load_model`.
        finishers: makes what is done to every frame of a session before it leaves (`stream.finish`), from its id.

    Raises:
        UsageError: it may not or cannot listen where it should, a certificate cannot be used, or a profile is none.
        UnknownModelError: no model of a name that is to be served; told before anything listens.
        DeviceError: the default model cannot be loaded.
    """
    check_names(settings, known_models=load_model is None)
    with logging_to_stderr(settings.log_level, settings.log_format), listen(settings) as listening:
        tls = open_tls(settings)
        manager = SessionManager(
            settings,
            load_model,
            finishers=finishers,
            marking=Marking.of(settings),
            moderation=Moderation.of(settings.policy, settings.safety),
        )
        osc = None if settings.osc is None else OscSurface(settings.osc, manager)
        peer_factory = make_peer_factory(settings)
        app = create_app(settings, manager, peer_factory=peer_factory)
        beside: list[asyncio.Task[None]] = []

        def when_started() -> None:
            print(where(settings, listening.getsockname()[1], tls), flush=True)
            if osc is not None:
                osc.begin()
            beside.append(asyncio.get_running_loop().create_task(peer_factory.name_silent_servers()))

        with contextlib.ExitStack() as surfaces:
            if osc is not None:
                surfaces.callback(osc.close)
            server = DrainingServer(uvicorn_config(app, settings, tls), manager, when_started, surfaces.close)
            server.run(sockets=[listening])
    if manager.models.load_error is not None:
        raise manager.models.load_error
    return 0


def check_names(settings: ServeSettings, *, known_models: bool) -> None:
    """Refuse what is mistyped before anything listens: drives and, where `known_models` are served, profiles.

    Raises:
        UsageError: a drive that is none, or a profile that is none.
        UnknownModelError: no model of a name.
    """
    if known_models:
        for profile in settings.offered.values():
            describe(profile)
    for drive in settings.drive:
        parse_drive(drive)


def uvicorn_config(app: FastAPI, settings: ServeSettings, tls: Tls | None = None) -> uvicorn.Config:
    """Return how connections are served."""
    return uvicorn.Config(
        app,
        ssl_certfile=None if tls is None else tls.certificate_path,
        ssl_keyfile=None if tls is None else tls.key_path,
        http=patient_protocol(settings.request_s),
        ws=PatientWebSocket,
        ws_max_size=settings.max_body_bytes,
        ws_max_queue=WS_QUEUE,
        ws_ping_interval=WS_PING_S,
        ws_ping_timeout=WS_PING_S,
        ws_per_message_deflate=False,  # a small message must not unpack into a large one
        limit_concurrency=MAX_CONNECTIONS,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=CLOSING_S,
        proxy_headers=False,  # behind a proxy clients are told apart by their tokens; nobody may claim an address
        access_log=False,  # addresses may carry tokens
        server_header=False,
        log_config=None,
        lifespan="on",
    )


def where(settings: ServeSettings, port: int, tls: Tls | None) -> str:
    """Return the text of the start: where the server is, and what a browser will say to that."""
    hosts = [f"[{host}]" if ":" in host else host for host in reachable_hosts(settings.host)]
    first, *others = (f"{'http' if tls is None else 'https'}://{host}:{port}" for host in hosts)
    lines = [f"Vivace is at {first}  (Ctrl-C ends it)", *(f"          or {other}" for other in others)]
    if tls is not None and tls.self_made:
        lines += [
            "Its certificate is self-signed: a browser warns once, and goes on when told to (Advanced, Proceed). It is",
            "the right one if the browser shows this SHA-256 fingerprint of it:",
            f"  {tls.fingerprint}",
            f"It lies with its key in {tls.certificate_path}, valid until {tls.leaf.not_valid_after_utc:%Y-%m-%d}.",
        ]
    elif tls is None and not is_loopback(settings.host):
        lines += ["Over http, browsers give a page no camera but on this machine: --tls-self-signed makes it https."]
    lines += [f"Loading {settings.default_model}..."]
    if settings.token_secret is not None:
        lines += [
            "Clients need a token: vivace serve token --scope publish --expires 1h (and --config, if the server has it)"
        ]
    return "\n".join(lines)
