"""`vivace serve --cluster`: joins Ray, has the directory and the workers run there, and serves as their gateway."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

import uvicorn

from vivace.cluster import actors
from vivace.cluster.gateway import create_gateway
from vivace.cluster.scaling import Bounds
from vivace.cluster.worker import LoadModel
from vivace.errors import UsageError
from vivace.serve.logs import logging_to_stderr
from vivace.serve.main import check_names, listen, uvicorn_config, where
from vivace.serve.settings import ServeSettings
from vivace.serve.tls import open_tls

_log = logging.getLogger(__name__)

LOOK_S = 0.5


@dataclass(frozen=True, slots=True)
class ClusterOptions:
    """Options of one gateway and of the workers that it has started."""

    state: Path
    """File of the directory's checkpoint."""
    ray: str | None = None
    """Address of a Ray; None: the environment's, or one of this process's own."""
    workers: Bounds | None = None
    """Least and most workers; None: one for each graphics card or, without any, for each machine."""
    region: str = ""
    """Label of where this gateway's clients, and the workers that it starts, are."""


def serve_cluster(settings: ServeSettings, options: ClusterOptions, load_model: LoadModel | None = None) -> int:
    """Serve as a gateway until told to stop; return the exit code.

    Workers that it finds it uses as they are. A Ray of its own ends with it, and all that runs there; one that was
    there before goes on, with sessions and all.

    Raises:
        UsageError: it may not or cannot listen where it should, or the cluster runs another version.
        DeviceError: there is no Ray.
    """
    check_names(settings, known_models=load_model is None)
    of_workers = worker_settings(settings)
    with logging_to_stderr(settings.log_level, settings.log_format), listen(settings) as listening:
        tls = open_tls(settings)
        owned = actors.connect(options.ray, 1 if options.workers is None else options.workers.most)
        try:
            count = actors.devices()
            bounds = options.workers or Bounds(count, count)
            gpus = 1.0 if actors.has_gpus() else 0.0
            host = "127.0.0.1" if owned else None
            fleet = actors.Fleet(of_workers, options.region, gpus, host, load_model)
            actors.start_directory(
                actors.DirectoryOptions(
                    options.state,
                    settings.default_model,
                    settings.max_sessions_per_client,
                    bounds if bounds.least < bounds.most else None,
                    fleet,
                )
            )
            names = [f"{actors.prefix_of(options.region)}w{index}" for index in range(bounds.least)]
            fleet.start(names)
            app = create_gateway(settings, actors.RayDirectory(), options.region)
            server = _Gateway(
                uvicorn_config(app, settings, tls), where(settings, listening.getsockname()[1], tls), names
            )
            server.run(sockets=[listening])
        finally:
            if owned:
                actors.stop_workers()
            actors.disconnect()
    return 0


def worker_settings(settings: ServeSettings) -> ServeSettings:
    """Return a worker's settings: any free port, no certificate, which is the gateway's, and files by their whole path.

    Raises:
        UsageError: a setting that a cluster cannot have.
    """
    if settings.osc is not None:
        raise UsageError("--osc steers the sessions of its own process, and a gateway has none; leave it out")
    changed: dict[str, Any] = {"port": 0, "tls_cert": None, "tls_key": None, "tls_self_signed": False}
    changed |= {"allowed_origins": [], "models": [_whole(model) for model in settings.models]}
    for name in ("recordings", "sign_certificate", "sign_key"):
        path = getattr(settings, name)
        changed[name] = None if path is None else path.absolute()
    if settings.policy is not None:
        changed["policy"] = _whole(settings.policy)
    return settings.model_copy(update=changed)


def _whole(name: str) -> str:
    """Return the whole path of a file, since workers run elsewhere; other names as they are."""
    return str(Path(name).absolute()) if name.endswith(".toml") else name


class _Gateway(uvicorn.Server):
    """A server that says where it is, and then how its workers do until they take sessions."""

    def __init__(self, config: uvicorn.Config, said: str, workers: Sequence[str]) -> None:
        super().__init__(config)
        self._said = said
        self._workers = workers
        self._watching: asyncio.Task[None] | None = None

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002
        """End on a signal, without raising it anew afterwards: a gateway that is told to stop has done its work."""
        self.should_exit = True

    async def startup(self, sockets: list[object] | None = None) -> None:  # type: ignore[override]
        """Begin to serve, and tell."""
        await super().startup(sockets)  # type: ignore[arg-type]
        if self.started:
            print(self._said, flush=True)
            self._watching = asyncio.create_task(self._watch(), name="vivace-gateway-workers")

    async def shutdown(self, sockets: list[object] | None = None) -> None:  # type: ignore[override]
        """End."""
        if self._watching is not None:
            self._watching.cancel()
        await super().shutdown(sockets)  # type: ignore[arg-type]

    async def _watch(self) -> None:
        waiting = dict.fromkeys(self._workers)
        while waiting:
            for name in list(waiting):
                try:
                    ready, failure = await actors.RayWorker(name).state()
                except ConnectionError:  # its process is only being started
                    continue
                if ready:
                    _log.info("worker %s takes sessions", name)
                elif failure:
                    _log.error("worker %s has failed: %s", name, failure)
                if ready or failure:
                    del waiting[name]
            await asyncio.sleep(LOOK_S)
