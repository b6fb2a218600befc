"""Sessions over HTTP: open, look, end, connect, steer."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Request, Response, WebSocket
from pydantic import Field
from starlette.requests import ClientDisconnect, HTTPConnection

from vivace.checks import Table
from vivace.errors import VivaceError
from vivace.messages import MAX_PROMPT_CHARS, Controls, Error, Label, Limits, Notice, ServerMessage, Stats, Waiting
from vivace.models.controls import ControlSpec
from vivace.serve import thumbnails
from vivace.serve.auth import Access
from vivace.serve.control import ControlLimits, Conversation
from vivace.serve.http.access import given_secret
from vivace.serve.http.errors import ApiError, api_error
from vivace.serve.http.state import MAX_SDP_BYTES, MAX_VIEWERS, Server, server_of
from vivace.serve.record import Fps
from vivace.serve.session import LiveSession
from vivace.stream.pictures import read_sent

router = APIRouter(prefix="/v1/sessions", tags=["sessions"])

CLOSE_NORMAL = 1000
CLOSE_FLOOD = 1008
CLOSE_BY_STATUS = {401: 4401, 403: 4403, 404: 4404, 410: 4404, 503: 4503}
"""WebSocket close codes: browsers show no HTTP status, so the cause comes as an `error` message and one of these."""

MAX_THUMBNAIL_CHARS = 256 * 1024
THUMBNAIL = ControlSpec(name="picture", kind="image", size=thumbnails.SIZE, help="What is painted small")

SEND_TIMEOUT_S = 10.0
"""A client that takes nothing for so long is gone; its session is kept for the grace time."""


class Resume(Table):
    """A session whose connection was lost."""

    id: Annotated[str, Field(max_length=100)]
    secret: Annotated[str, Field(max_length=200)]


MAX_DRIVES = 16
Drive = Annotated[str, Field(max_length=2 * MAX_PROMPT_CHARS)]


class OpenBody(Table):
    """Request for a new session."""

    model: Annotated[str, Field(max_length=100)] | None = None
    """One of `/v1/models`; the server's default if left out."""
    controls: Controls | None = None
    fps: Fps | None = None
    """Frames a second to be promised, 1 to 60: fewer leave room for others; the server's `min_fps` if left out."""
    drive: Annotated[list[Drive], Field(max_length=MAX_DRIVES)] | None = None
    """Controls that follow the session's sound, such as `strength=level:0.3..1`; those of the server if left out."""
    resume: Resume | None = None


class Offer(Table):
    """An SDP offer."""

    sdp: Annotated[str, Field(max_length=MAX_SDP_BYTES)]
    type: Literal["offer"] = "offer"


class Answer(Table):
    """An SDP answer."""

    sdp: str
    type: Literal["answer"] = "answer"


class ThumbnailBody(Table):
    """A small picture to be painted, to see what a prompt makes of it."""

    prompt: Annotated[str, Field(min_length=1, max_length=MAX_PROMPT_CHARS)]
    picture: Annotated[str, Field(max_length=MAX_THUMBNAIL_CHARS)]
    """PNG, JPEG or WebP in a `data:` address; it is scaled and cropped to 256x144."""


class SessionView(Table):
    """A session, as anybody who may watch it sees it."""

    id: str
    state: Literal["waiting", "live", "ended"]
    model: str
    age_s: float
    """Time since it was opened, s."""
    viewers: int
    """Connections that only watch."""
    max_viewers: int
    control_channels: int
    """Connections that may steer it just now: its owner's, and of guests."""
    painted: bool
    """True while the newest picture is AI-modified; false while the source is shown as it is."""
    label: Label | None
    """Label in repainted pictures; null: whoever shows them should say that they are."""
    position: int | None = None
    """In the queue; 1 is next."""
    retry_after_s: float | None = None
    whep_url: str
    control_url: str
    """For those who may steer it."""
    ice_servers: list[dict[str, Any]]


class OperatedSession(SessionView):
    """A session, as operators see it."""

    client: str
    """Client that opened it: the `jti` of a token, or an address."""
    stats: Stats
    """Statistics of now."""


class OpenedSession(SessionView):
    """A session, as the client that opened it sees it."""

    secret: str
    """Proves that it is yours; keep it."""
    offer_url: str
    whip_url: str
    limits: Limits
    notices: list[Notice]
    """Notices of controls that were asked for and left out; empty where all is as wished."""


@router.post("", status_code=201)
async def open_session(body: OpenBody, request: Request, response: Response) -> OpenedSession:
    """Open a session, or take back one whose connection was lost."""
    server = server_of(request)
    access = server.access_control.need(request, "publish")
    session = await open_for(server, access.client, body)
    response.headers["Location"] = f"/v1/sessions/{session.id}"
    response.headers["Cache-Control"] = "no-store"
    return await opened(server, session)


@router.get("")
async def list_sessions(request: Request) -> dict[str, list[OperatedSession]]:
    """List the sessions, oldest first; for operators."""
    server = server_of(request)
    server.access_control.need_operator(request)
    return {
        "sessions": [
            OperatedSession(**(await view(server, session)).model_dump(), client=session.client, stats=session.stats())
            for session in server.manager.sessions()
        ]
    }


@router.get("/{session_id}")
async def show_session(session_id: str, request: Request) -> SessionView:
    """Show one session."""
    server, session, _ = find(request, session_id, "watch")
    return await view(server, session)


@router.delete("/{session_id}", status_code=204)
async def end_session(session_id: str, request: Request) -> None:
    """End a session, one's own or, for operators, any; its recording is closed."""
    server = server_of(request)
    control = server.access_control
    access = control.need(request, "publish")
    session = control.session(session_id)
    if access.may("admin") or (access.operates and not given_secret(request)):
        server.manager.end(session.id, "admin", "the operator of the server ended the session")
    else:
        control.need_control(request, session, "publish")
        server.manager.end(session.id, "client", "you ended the session")
    await server.peers.close_all(session.id)


@router.get("/{session_id}/show", response_class=Response, responses={200: {"content": {"application/toml": {}}}})
async def show_played(session_id: str, request: Request) -> Response:
    """Write what was steered up to now, whoever steered, as a script for `vivace run --script`."""
    _, session, _ = find(request, session_id, "own")
    text = await asyncio.to_thread(session.show.script)
    headers = {"Cache-Control": "no-store", "Content-Disposition": 'attachment; filename="show.toml"'}
    return Response(text, media_type="application/toml", headers=headers)


@router.post("/{session_id}/offer")
async def offer(session_id: str, body: Offer, request: Request) -> Answer:
    """Publish and play in one connection."""
    server, session, _ = find(request, session_id, "own")
    _, sdp = await server.peers.answer(session, "both", body.sdp)
    return Answer(sdp=sdp)


@router.post("/{session_id}/thumbnail", response_class=Response, responses={200: {"content": {"image/jpeg": {}}}})
async def thumbnail(session_id: str, body: ThumbnailBody, request: Request) -> Response:
    """Paint a small picture with the session's model, when no session's frame waits for it; the stream goes on."""
    server, session, _ = find(request, session_id, "steer")
    rgb = await asyncio.to_thread(read_sent, THUMBNAIL, body.picture, server.settings.max_frame_px)
    return jpeg_response(await server.thumbnails.of_picture(session.served, body.prompt, rgb, session.id), "no-store")


@router.websocket("/{session_id}/control")
async def control(websocket: WebSocket, session_id: str) -> None:
    """Carry control messages both ways until the session or the client ends."""
    server = server_of(websocket)
    await websocket.accept()
    try:
        _, session, access = find(websocket, session_id, "steer")
    except (ApiError, VivaceError) as error:
        refusal = error if isinstance(error, ApiError) else api_error(error)
        how = server.manager.how_ended(session_id) if refusal.status == 410 else None
        said = how or Error(code=refusal.code, message=refusal.message)
        await websocket.send_text(said.model_dump_json())
        await websocket.close(CLOSE_BY_STATUS.get(refusal.status, CLOSE_FLOOD), refusal.code)
        return
    await _converse(websocket, server, session, access.withdrawn)


async def _converse(
    websocket: WebSocket, server: Server, session: LiveSession, withdrawn: asyncio.Event | None
) -> None:
    """Run both directions; whichever ends first ends the other, as does the link that a guest came by.

    Raises:
        ClientDisconnect: the client has left, or takes nothing any more.
    """
    sending = asyncio.Lock()

    async def patiently(send: Callable[[], Awaitable[None]]) -> None:
        try:
            async with sending, asyncio.timeout(SEND_TIMEOUT_S):
                await send()
        except TimeoutError as error:
            raise ClientDisconnect from error

    async def tell(message: ServerMessage) -> None:
        text = message.model_dump_json()
        await patiently(lambda: websocket.send_text(text))

    settings = server.settings
    limits = ControlLimits(settings.max_messages_per_s, settings.max_body_bytes)
    conversation = Conversation(session, tell, limits, guest=withdrawn is not None)

    async def listen() -> int:
        while True:
            message = await websocket.receive()
            if message["type"] == "websocket.disconnect":
                raise ClientDisconnect
            if not await conversation.take(message.get("text") or message.get("bytes") or b""):
                return CLOSE_FLOOD

    async def speak() -> int:
        await conversation.pass_events()
        return CLOSE_NORMAL

    async def end_with_link(withdrawn: asyncio.Event) -> int:
        await withdrawn.wait()
        await tell(Error(code="link_withdrawn", message="this link has been withdrawn"))
        return CLOSE_BY_STATUS[401]

    tasks = [asyncio.create_task(listen()), asyncio.create_task(speak())]
    if withdrawn is None:
        detach = session.attach()  # for as long as the channel stands, the client is there
    else:
        detach = lambda _heard_s: None  # noqa: E731  (a guest keeps no session)
        tasks.append(asyncio.create_task(end_with_link(withdrawn)))
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        detach(server.manager.clock())  # first: a server that is being stopped may not let us wait
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
    ended = [task for task in tasks if not task.cancelled()]
    errors = [error for task in ended if (error := task.exception()) is not None]
    if errors:  # a mistake of ours goes before a client that has left
        raise min(errors, key=lambda error: isinstance(error, ClientDisconnect))
    code = max(task.result() for task in ended)
    await patiently(lambda: websocket.close(code))


# What other routes use too


async def open_for(server: Server, client: str, body: OpenBody) -> LiveSession:
    """Open a session for a client; in a thread, because a model may have to be loaded for it.

    Raises:
        VivaceError: full, unknown model, controls that cannot be used.
    """
    return await asyncio.to_thread(
        server.manager.open_session,
        client=client,
        model=body.model,
        controls=body.controls,
        fps=body.fps,
        drive=body.drive,
        resume=None if body.resume is None else body.resume.secret,
    )


def find(
    request: HTTPConnection, session_id: str, to: Literal["own", "steer", "watch"]
) -> tuple[Server, LiveSession, Access]:
    """Return the server, a session and who asks, if they may do with it as its owner, steer it, or watch it.

    Raises:
        ApiError: 401 or 403; 404, there never was one of this name, which is for those alone who might use it.
        SessionClosedError: it has ended, which is for them, too.
    """
    server = server_of(request)
    control = server.access_control
    scope: Literal["publish", "steer"] = "publish" if to == "own" else "steer"
    control.need(request, "view" if to == "watch" else scope)
    session = control.session(session_id)
    if to == "watch":
        return server, session, control.need_view(request, session)
    return server, session, control.need_control(request, session, scope)


async def view(server: Server, session: LiveSession) -> SessionView:
    """Return a session as viewers see it."""
    control_channels = session.control_channels
    events = session.events()
    state = await anext(events)  # they begin with the present state
    events.close()
    waiting = state if isinstance(state, Waiting) else None
    return SessionView(
        id=session.id,
        state=session.state,
        model=session.model,
        age_s=round(time.monotonic() - session.created_s, 3),
        viewers=server.peers.watching(session.id),
        max_viewers=MAX_VIEWERS,
        control_channels=control_channels,
        painted=session.painted,
        label=session.label,
        position=None if waiting is None else waiting.position,
        retry_after_s=None if waiting is None else waiting.retry_after_s,
        whep_url=f"/v1/sessions/{session.id}/whep",
        control_url=f"/v1/sessions/{session.id}/control",
        ice_servers=server.ice_servers(),
    )


async def opened(server: Server, session: LiveSession) -> OpenedSession:
    """Return a session as its owner sees it."""
    base = f"/v1/sessions/{session.id}"
    return OpenedSession(
        **(await view(server, session)).model_dump(),
        secret=session.secret,
        offer_url=f"{base}/offer",
        whip_url=f"{base}/whip",
        limits=limits_of(server),
        notices=list(session.notices),
    )


def jpeg_response(jpeg: bytes | None, cache_control: str) -> Response:
    """Return a thumbnail as an answer.

    Raises:
        ApiError: 404, there is none.
    """
    if jpeg is None:
        raise ApiError(404, "no_thumbnail", "the model is too slow to paint thumbnails beside its sessions")
    return Response(jpeg, media_type="image/jpeg", headers={"Cache-Control": cache_control})


def limits_of(server: Server) -> Limits:
    """Return what the server puts up with."""
    settings = server.settings
    return Limits(
        max_frame_px=settings.max_frame_px,
        max_output_px=settings.max_output_px,
        max_prompt_chars=MAX_PROMPT_CHARS,
        max_body_bytes=settings.max_body_bytes,
        messages_per_s=settings.max_messages_per_s,
        heartbeat_s=settings.heartbeat_s,
        grace_s=settings.grace_s,
        idle_s=settings.idle_s,
    )
