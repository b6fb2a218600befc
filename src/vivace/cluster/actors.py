"""Ray actors: the directory, one for a cluster, and workers, one a device; and the ways to call them.

The only module that knows Ray. Calls are never repeated by it: one that killed its actor would kill the next. An actor
that is being restarted, or is gone, is a ConnectionError.
"""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is reported to anybody

import ray
from ray.exceptions import RayActorError, RayError

from vivace.cluster.records import Drained, Hello, Place, Refusal, Report, Want, WorkerState
from vivace.cluster.registrar import FleetPort, Registrar, WorkerPort, open_registrar
from vivace.cluster.scaling import Bounds, Scaling
from vivace.errors import BackendUnavailableError, DeviceError, UsageError, VivaceError
from vivace.serve.record import SessionRecord
from vivace.serve.settings import ServeSettings
from vivace.serve.settings_sources import ENV_PREFIX, read_settings
from vivace.serve.version import VERSION

if TYPE_CHECKING:
    from vivace.cluster.worker import LoadModel

NAMESPACE = "vivace"
DIRECTORY = "vivace-directory"
MIN_RAY = (2, 60)
AWAY_S = 15.0
"""Time for a directory that is being restarted: a process of Python has to start."""
LOOK_S = 0.1
ADDRESSES = ("announced_address", "udp_ports")
"""Settings that each machine may have of its own, as `VIVACE_SERVE_…` in the environment of its Ray."""
STOP_S = 15.0
"""Time for workers to close what they have open."""
START_S = 120.0
"""Time for an actor's process, and for a worker to load its model."""


@dataclass(frozen=True, slots=True)
class Fleet(FleetPort):
    """Workers of one kind, each on a device: Ray finds a machine for each, its autoscaler adds one where none is."""

    settings: ServeSettings
    region: str = ""
    gpus: float = 0.0
    """Graphics cards of each."""
    host: str | None = None
    """Address that they listen on; None: that of their machine."""
    load_model: LoadModel | None = None

    def start(self, names: list[str]) -> None:
        """Start workers that are not there yet, spread over the machines; returns before they are ready."""
        for name in names:
            ray.remote(WorkerActor).options(
                name=worker_actor(name),
                namespace=NAMESPACE,
                lifetime="detached",
                get_if_exists=True,
                num_cpus=1,
                num_gpus=self.gpus,
                max_restarts=-1,
                max_task_retries=0,
                max_concurrency=16,
                scheduling_strategy="SPREAD",
            ).remote(self.settings, name, self.region, self.load_model, self.host)

    def stop(self, name: str) -> None:
        """End a worker for good."""
        _kill(worker_actor(name))


@dataclass(frozen=True, slots=True)
class DirectoryOptions:
    """Options of the directory's actor."""

    state: Path
    """File of its checkpoint, on the machine that it runs on."""
    default_model: str
    max_sessions_per_client: int
    bounds: Bounds | None = None
    """Least and most workers; None: their number is nobody's to change."""
    fleet: Fleet | None = None
    """Workers that are started when sessions wait."""


def connect(address: str | None, workers: int) -> bool:
    """Join the Ray at an address, or that of `RAY_ADDRESS`; without either, start one on this machine for this process.

    Return whether it was started.

    Raises:
        BackendUnavailableError: this Ray is too old.
        DeviceError: there is none at the address, or none could be started.
    """
    check_ray(ray.__version__)
    where = address or os.environ.get("RAY_ADDRESS")
    common: dict[str, Any] = {"namespace": NAMESPACE, "log_to_driver": False, "configure_logging": False}
    try:
        if where:
            ray.init(address=where, **common)
        else:
            # Ray ends its largest actors when memory runs short, whoever takes it: here that is mostly others.
            os.environ.setdefault("RAY_memory_monitor_refresh_ms", "0")
            ray.init(
                num_cpus=max(workers + 1, os.cpu_count() or 1),
                include_dashboard=False,
                _node_ip_address="127.0.0.1",
                **common,
            )
    except (ConnectionError, RuntimeError, ValueError, RayError) as error:
        found = f"no Ray answers at {where}" if where else "Ray could not be started on this machine"
        text = f"{found} ({_first_line(error)}); start one with `ray start --head`, see docs/cluster.md"
        raise DeviceError(text) from error
    return not where


def disconnect() -> None:
    """Leave Ray; one that this process has started ends."""
    ray.shutdown()


def devices() -> int:
    """Return how many workers there is a device for: graphics cards or, without any, machines."""
    cards = int(ray.cluster_resources().get("GPU", 0.0))
    return cards or sum(node["Alive"] and node["Resources"].get("CPU", 0.0) >= 1 for node in ray.nodes())


def check_ray(version: str) -> None:
    """Refuse a Ray that is older than what this was written for.

    Raises:
        BackendUnavailableError: it is.
    """
    numbers = tuple(int(part) for part in version.split(".")[:2] if part.isdigit())
    if numbers < MIN_RAY:
        wanted = ".".join(map(str, MIN_RAY))
        raise BackendUnavailableError(
            f"Ray {version} is too old for a cluster, which needs {wanted}; pip install 'ray>={wanted}' on all machines"
        )


class DirectoryActor:
    """The directory in a process of its own, which Ray restarts. Its methods run on one event loop."""

    def __init__(self, options: DirectoryOptions) -> None:
        self._registrar: Registrar = open_registrar(
            VERSION,
            time.monotonic,
            options.state,
            RayWorker,
            default_model=options.default_model,
            max_sessions_per_client=options.max_sessions_per_client,
            scaling=_scaling(options),
            fleet=options.fleet,
        )
        self._housekeeping: asyncio.Task[None] | None = None

    async def call(self, method: str, *args: Any, **named: Any) -> Any:
        """Call a method of the registrar."""
        if self._housekeeping is None:
            self._housekeeping = asyncio.get_running_loop().create_task(self._registrar.keep_house())
        result = getattr(self._registrar, method)(*args, **named)
        return await result if asyncio.iscoroutine(result) else result

    async def version(self) -> str:
        """Return the version of Vivace that it runs."""
        return VERSION

    async def pid(self) -> int:
        """Return the id of its process, for those who look after the machine."""
        return os.getpid()


class WorkerActor:
    """One worker in a process of its own, which Ray restarts. Its server has an event loop in a thread of its own."""

    def __init__(
        self, settings: ServeSettings, name: str, region: str, load_model: LoadModel | None, host: str | None
    ) -> None:
        from vivace.cluster.worker import Worker  # the directory, which has to be back soon, needs none of it

        context = ray.get_runtime_context()
        address = ray.util.get_node_ip_address()
        self._failure: BaseException | None = None
        self._loop = asyncio.new_event_loop()
        self._worker = Worker(
            settings.model_copy(update={"host": host or address, **of_machine()}),
            name,
            RayDirectory(),
            region=region,
            node=address,
            restarted=context.was_current_actor_reconstructed,
            load_model=load_model,
        )
        self._running = self._loop.create_task(self._worker.run())
        self._thread = threading.Thread(target=self._serve, name="vivace-worker", daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_until_complete(self._running)
        except asyncio.CancelledError:
            return
        except Exception as error:  # noqa: BLE001  (told to whoever asks for its state; a restart would fail alike)
            self._failure = error

    def state(self) -> tuple[bool, str]:
        """Return whether the worker takes sessions, and why it never will, if so."""
        if self._failure is not None:
            return False, str(self._failure)
        return self._worker.manager.ready, ""

    def stop(self) -> None:
        """End its sessions and close their recordings."""
        self._loop.call_soon_threadsafe(self._running.cancel)
        self._thread.join(STOP_S)

    def pid(self) -> int:
        """Return the id of its process, for those who look after the machine."""
        return os.getpid()

    def restore(self, record: SessionRecord) -> Refusal | None:
        """Go on with a session; return why not."""
        refusal: Refusal | None = self._run(self._worker.restore(record))
        return refusal

    def release(self, session_id: str) -> bool:
        """Let go of a session."""
        return bool(self._run(self._worker.release(session_id)))

    def record(self, session_id: str) -> SessionRecord | None:
        """Return a session as it is steered now."""
        return self._worker.record(session_id)

    def _run(self, coroutine: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result()


def of_machine(environ: Mapping[str, str] = os.environ) -> dict[str, Any]:
    """Return the settings that the environment of a machine says for its workers: those of its addresses."""
    here = {name: value for name, value in environ.items() if name.removeprefix(ENV_PREFIX).lower() in ADDRESSES}
    found = read_settings(environ=here)
    return {
        name.removeprefix(ENV_PREFIX).lower(): getattr(found, name.removeprefix(ENV_PREFIX).lower()) for name in here
    }


async def _ask(actor_name: str, method: str, *args: Any, **named: Any) -> Any:
    """Call an actor by its name, once.

    Raises:
        ConnectionError: there is none, or it ended before it answered.
    """
    try:
        actor = ray.get_actor(actor_name, NAMESPACE)
    except ValueError as error:
        raise ConnectionError(f"there is no actor {actor_name}") from error
    try:
        return await getattr(actor, method).remote(*args, **named)
    except RayActorError as error:
        raise ConnectionError(_first_line(error)) from error


class RayWorker(WorkerPort):
    """Way to a worker's actor."""

    def __init__(self, name: str) -> None:
        self._name = name

    async def _call(self, method: str, *args: Any) -> Any:
        return await _ask(worker_actor(self._name), method, *args)

    async def restore(self, record: SessionRecord) -> Refusal | None:
        """Go on with a session; return why not."""
        found: Refusal | None = await self._call("restore", record)
        return found

    async def release(self, session_id: str) -> bool:
        """Let go of a session."""
        return bool(await self._call("release", session_id))

    async def record(self, session_id: str) -> SessionRecord | None:
        """Return a session as it is steered now."""
        found: SessionRecord | None = await self._call("record", session_id)
        return found

    async def restart(self) -> None:
        """Have its process started anew."""
        ray.kill(ray.get_actor(worker_actor(self._name), NAMESPACE), no_restart=False)

    async def state(self) -> tuple[bool, str]:
        """Return whether the worker takes sessions, and why it never will, if so."""
        ready, failure = await self._call("state")
        return bool(ready), str(failure)


class RayDirectory:
    """Way to the directory's actor, for gateways and workers. What it is asked may be asked twice without harm."""

    async def _call(self, method: str, *args: Any, **named: Any) -> Any:
        """Call it; wait while it is being restarted.

        Raises:
            ConnectionError: it did not come back.
        """
        until_s = time.monotonic() + AWAY_S
        while True:
            try:
                return await _ask(DIRECTORY, "call", method, *args, **named)
            except ConnectionError as error:
                if time.monotonic() > until_s:
                    raise ConnectionError(f"the directory of the cluster does not answer: {error}") from error
                await asyncio.sleep(LOOK_S)

    async def register(self, hello: Hello) -> Refusal | None:
        """Come in as a worker; return why not."""
        found: Refusal | None = await self._call("register", hello)
        return found

    async def report(self, report: Report) -> list[str] | None:
        """Report as a worker."""
        found: list[str] | None = await self._call("report", report)
        return found

    async def place(self, want: Want) -> Place | Refusal:
        """Return where a new session goes."""
        found: Place | Refusal = await self._call("place", want)
        return found

    async def opened(self, place: Place, record: SessionRecord) -> None:
        """Note that a session has come to its place."""
        await self._call("opened", place, record)

    async def refused(self, place: Place, *, full: bool) -> None:
        """Give a place back."""
        await self._call("refused", place, full=full)

    async def unreachable(self, place: Place) -> None:
        """Note that a worker could not be reached."""
        await self._call("unreachable", place)

    async def anyone(self) -> Place | Refusal:
        """Return a worker for what any of them answers."""
        found: Place | Refusal = await self._call("anyone")
        return found

    async def route(self, session_id: str) -> Place | Refusal | None:
        """Return where a session is."""
        found: Place | Refusal | None = await self._call("route", session_id)
        return found

    async def move(self, session_id: str, to: str | None) -> Place | Refusal | None:
        """Have a session go on at another worker."""
        found: Place | Refusal | None = await self._call("move", session_id, to)
        return found

    async def drain(self, name: str, *, on: bool, move: bool, restart: bool = False) -> Refusal | Drained:
        """Give a worker nothing new, and have its sessions go on elsewhere."""
        found: Refusal | Drained = await self._call("drain", name, on=on, move=move, restart=restart)
        return found

    async def workers(self) -> list[WorkerState]:
        """Return all workers."""
        found: list[WorkerState] = await self._call("workers")
        return found


def process_of(actor_name: str) -> int:
    """Return the id of an actor's process, on its machine."""
    return int(ray.get(ray.get_actor(actor_name, NAMESPACE).pid.remote(), timeout=START_S))


def worker_actor(name: str) -> str:
    """Return the name of a worker's actor."""
    return f"vivace-worker-{name}"


def start_directory(options: DirectoryOptions) -> None:
    """Start the directory, or find the one there is.

    Raises:
        UsageError: the one there is runs another version of Vivace.
        DeviceError: it cannot be started, as where its file cannot be used.
    """
    actor = (
        ray.remote(DirectoryActor)
        .options(
            name=DIRECTORY,
            namespace=NAMESPACE,
            lifetime="detached",
            get_if_exists=True,
            num_cpus=0,
            max_restarts=-1,
            max_task_retries=0,
            max_concurrency=1000,
        )
        .remote(options)
    )
    try:
        version = ray.get(actor.version.remote(), timeout=START_S)
    except RayError as error:
        raise DeviceError(f"the directory of the cluster cannot be started: {_cause(error)}") from error
    if version != VERSION:
        raise UsageError(
            f"the cluster runs Vivace {version}, and this gateway {VERSION}; install the same on all machines"
        )


def stop_workers() -> None:
    """Have all workers close their sessions and recordings; for a Ray that ends now."""
    names = [name for name in ray.util.list_named_actors() if name.startswith(worker_actor(""))]
    stopping = [ray.get_actor(name, NAMESPACE).stop.remote() for name in names]
    if stopping:
        ray.wait(stopping, num_returns=len(stopping), timeout=STOP_S)


def _kill(actor_name: str) -> None:
    try:
        ray.kill(ray.get_actor(actor_name, NAMESPACE), no_restart=True)
    except ValueError:
        return  # it is gone already


def _scaling(options: DirectoryOptions) -> Scaling | None:
    if options.bounds is None or options.fleet is None:
        return None
    return Scaling(options.bounds, time.monotonic, prefix_of(options.fleet.region))


def prefix_of(region: str) -> str:
    """Return the beginning of the names of a region's workers."""
    return f"{region}-" if region else ""


def has_gpus() -> bool:
    """Return whether the cluster has graphics cards, of which a worker gets one each."""
    return bool(ray.cluster_resources().get("GPU", 0.0) >= 1.0)


def _first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0][:300]


def _cause(error: RayError) -> str:
    cause = getattr(error, "cause", None)
    return str(cause) if isinstance(cause, VivaceError) else _first_line(error)
