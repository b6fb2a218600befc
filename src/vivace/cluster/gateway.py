"""The gateway: the API of a server without a session. It asks the directory for workers and passes on what is said."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Annotated, Any, Protocol, cast

import httpx2
from fastapi import APIRouter, FastAPI, Request, Response, WebSocket
from pydantic import Field, ValidationError
from starlette.requests import HTTPConnection
from starlette.staticfiles import StaticFiles

from vivace.checks import Table
from vivace.cluster.metrics import merged_metrics
from vivace.cluster.proxy import Proxy, converse, kept_headers, passed_on, path_of
from vivace.cluster.records import Drained, Place, Refusal, Want, WorkerState
from vivace.errors import SessionClosedError, describe_invalid
from vivace.messages import Controls, Error
from vivace.serve.http import pages, verify
from vivace.serve.http.access import AccessControl
from vivace.serve.http.errors import ApiError, install_errors
from vivace.serve.http.guard import Guard, GuardRules
from vivace.serve.http.pages import WEB
from vivace.serve.http.sessions import OpenBody
from vivace.serve.record import SessionRecord
from vivace.serve.settings import ServeSettings
from vivace.serve.version import VERSION

_log = logging.getLogger(__name__)

TRIES = 3
"""Workers that are asked before a client is refused."""
NOT_HERE = 4404
AWAY = 4503

ANY_METHOD = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]


class DirectoryPort(Protocol):
    """Directory as a gateway needs it; one that does not answer is a ConnectionError."""

    async def place(self, want: Want) -> Place | Refusal:
        """Return where a new session goes."""

    async def opened(self, place: Place, record: SessionRecord) -> None:
        """Note that a session has come to its place."""

    async def refused(self, place: Place, *, full: bool) -> None:
        """Give a place back."""

    async def unreachable(self, place: Place) -> None:
        """Note that a worker could not be reached."""

    async def anyone(self) -> Place | Refusal:
        """Return a worker for what any of them answers."""

    async def route(self, session_id: str) -> Place | Refusal | None:
        """Return where a session is."""

    async def move(self, session_id: str, to: str | None) -> Place | Refusal | None:
        """Have a session go on at another worker."""

    async def drain(self, name: str, *, on: bool, move: bool, restart: bool = False) -> Refusal | Drained:
        """Give a worker nothing new, and have its sessions go on elsewhere."""

    async def workers(self) -> list[WorkerState]:
        """Return all workers."""


class NoSessions:
    """Sessions of a gateway, which has none: links are for workers to look at."""

    def get(self, session_id: str) -> Any:
        """Find nothing."""
        raise SessionClosedError(f"there is no session {session_id[:40]!r} here; open a new one")

    def how_ended(self, session_id: str) -> None:  # noqa: ARG002
        """Know of nothing."""
        return


class Gateway:
    """Shared state of a gateway's routes."""

    def __init__(self, settings: ServeSettings, directory: DirectoryPort, region: str) -> None:
        secret = settings.token_secret.get_secret_value() if settings.token_secret else None
        self.settings = settings
        self.directory = directory
        self.region = region
        self.access_control = AccessControl(secret, NoSessions())
        self.proxy = Proxy()

    async def anyone(self, request: Request) -> Response:
        """Have any worker answer."""
        return await self._with_tries(request, self.directory.anyone)

    async def of_session(self, session_id: str, request: Request) -> Response:
        """Have the worker of a session answer; one that was lost is opened elsewhere first."""
        return await self._with_tries(request, lambda: self.directory.route(session_id))

    async def _with_tries(self, request: Request, where: Callable[[], Awaitable[Place | Refusal | None]]) -> Response:
        body = await request.body()
        for _ in range(TRIES):
            place = _found(await where())
            try:
                return passed_on(await self.proxy.ask(request, place.url, body))
            except ConnectionError as error:
                _log.warning("worker %s: %s", place.worker, error)
                await self.directory.unreachable(place)
        raise _no_worker()

    async def open(self, request: Request, body: bytes, wish: OpenBody) -> Response:
        """Have a worker open a session, another one where the first refuses."""
        client = self.access_control.need(request, "publish").client
        if wish.resume is not None:
            for _ in range(TRIES):
                found = await self.directory.route(wish.resume.id)
                if found is None:
                    break
                answer = await self._ask(request, place := _found(found), body)
                if answer is not None:
                    return await self._opened_at(place, answer, client, wish)
        want = self._want(client, wish)
        refusal: Response | None = None
        for _ in range(TRIES):
            found = await self.directory.place(want)
            if isinstance(found, Refusal) and refusal is not None:
                return refusal
            place = _found(found)
            want = want.model_copy(update={"avoid": want.avoid | {place.worker}})
            opened = await self._ask(request, place, body)
            if opened is None or opened.status_code == 503:
                await self.directory.refused(place, full=opened is not None)
                refusal = refusal if opened is None else opened
                continue
            return await self._opened_at(place, opened, client, wish)
        return refusal or _no_worker().response()

    async def _ask(self, request: Request, place: Place, body: bytes) -> Response | None:
        try:
            answer = await self.proxy.ask(request, place.url, body)
            content = await answer.aread()
        except (ConnectionError, OSError) as error:
            _log.warning("worker %s: %s", place.worker, error)
            await self.directory.unreachable(place)
            return None
        return Response(content, answer.status_code, kept_headers(answer.headers))

    async def _opened_at(self, place: Place, answer: Response, client: str, wish: OpenBody) -> Response:
        """Tell the directory of a session that was opened, and return the worker's answer."""
        if answer.status_code != 201:
            await self.directory.refused(place, full=False)
            return answer
        session_id, secret = _opened(answer)
        if session_id != (wish.resume and wish.resume.id):
            record = SessionRecord(
                id=session_id,
                secret=secret,
                client=client,
                model=wish.model,
                controls=wish.controls or Controls(),
                fps=wish.fps,
            )
            await self.directory.opened(place, record)
        return answer

    def _want(self, client: str, wish: OpenBody) -> Want:
        width, height = (wish.controls and wish.controls.size) or self.settings.size
        model = wish.model or self.settings.default_model
        if model not in self.settings.offered:
            known = ", ".join(self.settings.offered)
            raise ApiError(404, "usage", f"this cluster does not offer the model {model[:80]!r}; it has {known}")
        return Want(
            model=model,
            area=max(1e-3, width * height / (self.settings.size[0] * self.settings.size[1])),
            rate=1.0 if wish.fps is None else wish.fps / self.settings.min_fps,
            region=self.region,
            client=client,
        )

    async def each(self, request: Request) -> dict[str, httpx2.Response]:
        """Return the answers of all workers to a request, by worker; errors are left out."""
        states = await self.directory.workers()
        path = path_of(request)
        answers = await asyncio.gather(*(self.proxy.get(f"{each.url}{path}", request.headers) for each in states))
        return {
            state.name: answer
            for state, answer in zip(states, answers, strict=True)
            if answer is not None and answer.is_success
        }


def _found(answer: Place | Refusal | None) -> Place:
    """Return a place.

    Raises:
        ApiError: 404, or why there is none.
    """
    if answer is None:
        raise ApiError(404, "no_session", "there is no such session in this cluster (any more); open a new one")
    if isinstance(answer, Refusal):
        raise ApiError(503, answer.code, answer.message, retry_after_s=answer.retry_after_s)
    return answer


def _no_worker() -> ApiError:
    return ApiError(503, "no_worker", "no worker answers; try again in a few seconds", retry_after_s=2)


def _opened(answer: Response) -> tuple[str, str]:
    """Return id and secret of a session that a worker has opened, by API or by WHIP."""
    if (secret := answer.headers.get("x-session-secret")) is not None:
        return answer.headers["location"].split("/")[3], secret
    opened = json.loads(bytes(answer.body))
    return str(opened["id"]), str(opened["secret"])


def gateway_of(request: HTTPConnection) -> Gateway:
    """Return what the routes share."""
    return cast("Gateway", request.app.state.gateway)


router = APIRouter()


@router.get("/healthz")
async def healthz() -> dict[str, str]:
    """The process lives and answers."""
    return {"status": "ok", "version": VERSION}


@router.get("/readyz")
async def readyz(request: Request) -> dict[str, str]:
    """A worker takes new sessions; 503 while none does."""
    gateway = gateway_of(request)
    states = await gateway.directory.workers()
    if not any(load.loaded for state in states if not state.draining for load in state.models.values()):
        text = f"{len(states)} workers run, and none takes sessions yet; try again in a few seconds"
        raise ApiError(503, "loading", text, retry_after_s=2)
    return {"status": "ready"}


@router.post("/v1/sessions", status_code=201)
async def open_session(request: Request) -> Response:
    """Open a session on the worker that has room for it, or take back one whose connection was lost."""
    body = await request.body()
    try:
        wish = OpenBody.model_validate_json(body or b"{}")
    except ValidationError as error:
        raise ApiError(422, "invalid", describe_invalid(error.errors())) from error
    return await gateway_of(request).open(request, body, wish)


@router.post("/whip", status_code=201)
async def publish_new(request: Request, model: str | None = None) -> Response:
    """Publish to a session made on the fly, on the worker that has room for it."""
    return await gateway_of(request).open(request, await request.body(), OpenBody(model=model))


@router.get("/v1/sessions")
async def list_sessions(request: Request) -> dict[str, list[Any]]:
    """List the sessions of all workers; for operators."""
    gateway = gateway_of(request)
    gateway.access_control.need_operator(request)
    found = await gateway.each(request)
    return {
        "sessions": [
            {**session, "worker": name} for name, answer in found.items() for session in answer.json()["sessions"]
        ]
    }


@router.get("/v1/recordings")
async def list_recordings(request: Request) -> dict[str, list[Any]]:
    """List the recordings of all workers, newest first."""
    gateway = gateway_of(request)
    gateway.access_control.need(request, "publish")
    answers = (await gateway.each(request)).values()
    found = {each["name"]: each for answer in answers for each in answer.json()["recordings"]}
    return {"recordings": [found[name] for name in sorted(found, reverse=True)]}


@router.api_route("/v1/recordings/{name}", methods=ANY_METHOD, include_in_schema=False)
async def recording(name: str, request: Request) -> Response:  # noqa: ARG001
    """Pass on to the worker that has a recording: they are where they were made."""
    gateway = gateway_of(request)
    body = await request.body()
    for state in await gateway.directory.workers():
        try:
            answer = await gateway.proxy.ask(request, state.url, body)
        except ConnectionError:
            continue
        if answer.status_code != 404:
            return passed_on(answer)
        await answer.aclose()
    raise ApiError(404, "no_recording", "no worker that runs has this recording; /v1/recordings lists them")


@router.get("/v1/quota")
async def quota(request: Request) -> dict[str, Any]:
    """Say how many slots there are in all."""
    gateway = gateway_of(request)
    gateway.access_control.need(request, "view")
    found = [answer.json() for answer in (await gateway.each(request)).values()]
    summed = {name: sum(each[name] for each in found) for name in ("sessions", "slots", "free_slots", "waiting")}
    return {
        **summed,
        "max_sessions": gateway.settings.max_sessions_per_client,
        "queue_length": sum(each["queue_length"] for each in found),
        "draining": bool(found) and all(each["draining"] for each in found),
    }


@router.get("/metrics")
async def metrics(request: Request) -> Response:
    """Prometheus metrics of all workers, each with the label `worker`; for operators."""
    gateway = gateway_of(request)
    gateway.access_control.need_operator(request)
    text, kind = merged_metrics({name: answer.text for name, answer in (await gateway.each(request)).items()})
    return Response(text, headers={"Content-Type": kind})


class Drain(Table):
    """Request to drain a worker, or to stop draining it."""

    on: bool = True
    """False: it takes sessions again."""
    move: bool = True
    """True to move its sessions to other workers now; else they end in their own time."""
    restart: bool = False
    """True to restart its process afterwards, which then takes sessions again."""


class Move(Table):
    """Request to move a session."""

    to: Annotated[str, Field(max_length=64)] | None = None
    """A worker's name; the best one if left out."""


@router.get("/v1/cluster")
async def cluster(request: Request) -> dict[str, list[WorkerState]]:
    """List the workers; for operators."""
    gateway = gateway_of(request)
    gateway.access_control.need_operator(request)
    return {"workers": await gateway.directory.workers()}


@router.post("/v1/cluster/workers/{name}/drain")
async def drain(name: str, body: Drain, request: Request) -> Drained:
    """Give a worker no new sessions, and have its own go on elsewhere; for operators."""
    gateway = gateway_of(request)
    gateway.access_control.need_operator(request)
    answer = await gateway.directory.drain(name, on=body.on, move=body.move, restart=body.restart)
    if isinstance(answer, Refusal):  # its sessions find no other place, or there is none of the name
        raise ApiError(409 if answer.code == "no_worker" else 404, "no_worker", answer.message)
    return answer


@router.post("/v1/cluster/sessions/{session_id}/move")
async def move(session_id: str, body: Move, request: Request) -> dict[str, str]:
    """Have a session go on at another worker; for operators."""
    gateway = gateway_of(request)
    gateway.access_control.need_operator(request)
    return {"worker": _found(await gateway.directory.move(session_id, body.to)).worker}


@router.websocket("/v1/sessions/{session_id}/control")
async def control(websocket: WebSocket, session_id: str) -> None:
    """Pass control messages on, both ways."""
    gateway = gateway_of(websocket)
    await websocket.accept()
    said, code = Error(code="no_worker", message="the worker does not answer; connect again"), AWAY
    for _ in range(TRIES):
        try:
            place = _found(await gateway.directory.route(session_id))
            try:
                worker = await gateway.proxy.dial(websocket, place.url)
            except ConnectionError as error:
                _log.warning("worker %s: %s", place.worker, error)
                await gateway.directory.unreachable(place)
                continue
        except ApiError as error:
            said, code = Error(code=error.code, message=error.message), NOT_HERE if error.status == 404 else AWAY
            break
        except ConnectionError as error:
            said = Error(code="no_directory", message=str(error))
            break
        await converse(websocket, worker)
        return
    await websocket.send_text(said.model_dump_json())
    await websocket.close(code, said.code)


@router.api_route("/v1/sessions/{session_id}", methods=ANY_METHOD, include_in_schema=False)
@router.api_route("/v1/sessions/{session_id}/{rest:path}", methods=ANY_METHOD, include_in_schema=False)
async def of_session(session_id: str, request: Request, rest: str = "") -> Response:  # noqa: ARG001
    """Pass on to the worker of a session."""
    return await gateway_of(request).of_session(session_id, request)


@router.api_route("/whip", methods=["OPTIONS"], include_in_schema=False)
@router.api_route("/openapi.json", methods=["GET"], include_in_schema=False)
@router.api_route("/v1/{rest:path}", methods=ANY_METHOD, include_in_schema=False)
async def anyone(request: Request, rest: str = "") -> Response:  # noqa: ARG001
    """Pass on to any worker: models, presets, settings, files to be checked."""
    return await gateway_of(request).anyone(request)


def create_gateway(settings: ServeSettings, directory: DirectoryPort, region: str = "") -> FastAPI:
    """Return the application of a gateway; `region` is where its clients are."""
    gateway = Gateway(settings, directory, region)

    @asynccontextmanager
    async def life(_: FastAPI) -> AsyncIterator[None]:
        yield
        await gateway.proxy.close()

    app = FastAPI(title="Vivace", version=VERSION, lifespan=life, docs_url=None, redoc_url=None, openapi_url=None)
    app.state.gateway = gateway
    install_errors(app)

    async def away(_: Request, error: Exception) -> Response:
        _log.warning("%s", error)
        return ApiError(503, "no_directory", str(error), retry_after_s=2).response()

    app.add_exception_handler(ConnectionError, away)
    app.include_router(pages.router)
    app.include_router(router)
    app.mount("/", StaticFiles(directory=WEB, html=True, check_dir=False), name="studio")
    app.add_middleware(
        Guard,
        rules=GuardRules(
            max_body_bytes=settings.max_body_bytes,
            larger={verify.PATH: settings.verify_max_mib * 2**20},
            body_s=settings.request_s,
            origins=frozenset(settings.allowed_origins),
            local_only=settings.token_secret is None,
        ),
    )
    return app
