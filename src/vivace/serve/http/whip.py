"""WHIP (RFC 9725) and WHEP: OBS, FFmpeg and GStreamer publish, players watch, with one HTTP exchange each."""

from __future__ import annotations

import asyncio
import hashlib
import json
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request, Response

from vivace.media.source import on_error
from vivace.messages import Controls
from vivace.serve.http.access import SECRET_HEADER
from vivace.serve.http.errors import ApiError
from vivace.serve.http.sessions import MAX_DRIVES, Drive, OpenBody, find, open_for
from vivace.serve.http.sharing import link_header
from vivace.serve.http.state import Server, sdp_body, server_of
from vivace.serve.ports import Role
from vivace.serve.session import LiveSession

router = APIRouter(tags=["whip and whep"])

SDP = "application/sdp"
NOTICES_HEADER = "Vivace-Notices"
"""Header of the answer to a publisher, as a WHIP client has no other channel: a JSON array, in ASCII, of what would be
the `notices` of `POST /v1/sessions`; absent where there are none. Viewers get none: they repeat a publisher's words."""

LABEL_HEADER = "Vivace-Label"
"""Header of every answer where repainted pictures have a label: its words, as JSON in ASCII."""

_SDP_TEXT = {"content": {SDP: {"schema": {"type": "string"}}}}
_TAKES_AN_OFFER: dict[str, Any] = {
    "status_code": 201,
    "response_class": Response,
    "openapi_extra": {"requestBody": {"required": True, **_SDP_TEXT}},
    "responses": {201: _SDP_TEXT},
}


@router.post("/whip", **_TAKES_AN_OFFER)
async def publish_new(
    request: Request,
    model: Annotated[str | None, Query(max_length=100)] = None,
    prompt: Annotated[str | None, Query(max_length=2_000)] = None,
    strength: Annotated[float | None, Query(ge=0, le=1)] = None,
    drive: Annotated[list[Drive] | None, Query(max_length=MAX_DRIVES)] = None,
) -> Response:
    """Publish to a session made on the fly; it ends with the connection.

    Its secret is in the header `X-Session-Secret`; `Link` names its WHEP address and the pages to watch and steer it.

    WHIP has no word for waiting, so a server without a free slot answers 503. With a prompt that the model cannot
    serve the source passes untouched, and the header `Vivace-Notices` says so.
    """
    server = server_of(request)
    access = server.access_control.need(request, "publish")
    offer = await sdp_body(request)
    controls = Controls(prompt=prompt, strength=strength)
    session = await open_for(server, access.client, OpenBody(model=model, controls=controls, drive=drive))
    with on_error(lambda: server.manager.end(session.id, "failed", "The WHIP connection did not come about.")):
        if session.state == "waiting":
            raise ApiError(503, "full", "every slot is taken; try again", retry_after_s=10)
        answer = await _connect(server, session, "publish", offer)
    server.made_for_whip.add(session.id)
    answer.headers[SECRET_HEADER] = session.secret
    links = (session.links.make("watch"), session.links.make("steer"))
    answer.headers.append("Link", link_header(session.id, links))
    return answer


@router.post("/v1/sessions/{session_id}/whip", **_TAKES_AN_OFFER)
async def publish(session_id: str, request: Request) -> Response:
    """Publish to a session; whoever published to it before is disconnected."""
    server, session, _ = find(request, session_id, "own")
    return await _connect(server, session, "publish", await sdp_body(request))


@router.post("/v1/sessions/{session_id}/whep", **_TAKES_AN_OFFER)
async def watch(
    session_id: str,
    request: Request,
    size: Annotated[Literal["full", "half"], Query(description="Of each side of the pictures.")] = "full",
) -> Response:
    """Watch a session, at full size or, for a small screen or line, at half of each side."""
    offer = await sdp_body(request)  # first: the link may be withdrawn while it arrives
    server, session, access = find(request, session_id, "watch")
    return await _connect(server, session, "play", offer, access.withdrawn, half=size == "half")


@router.options("/whip", include_in_schema=False)
@router.options("/v1/sessions/{session_id}/whip", include_in_schema=False)
@router.options("/v1/sessions/{session_id}/whep", include_in_schema=False)
async def options(request: Request) -> Response:
    """Say what may be posted, and the ICE servers to those who may connect."""
    server = server_of(request)
    server.access_control.need(request, "view")
    return Response(status_code=204, headers={"Accept-Post": SDP, **_ice_links(server)})


@router.delete("/v1/sessions/{session_id}/whip/{name}")
async def end_publishing(session_id: str, name: str, request: Request) -> Response:
    """End a WHIP connection, and the session with it if it was made for it. Knowing its address is proof enough."""
    server = server_of(request)
    server.peers.get(session_id, name, "publish")
    await server.peers.close(name)
    if session_id in server.made_for_whip:
        server.made_for_whip.discard(session_id)
        server.manager.end(session_id, "client", "The publisher ended the session.")
    return Response(status_code=200)


@router.delete("/v1/sessions/{session_id}/whep/{name}")
async def end_watching(session_id: str, name: str, request: Request) -> Response:
    """End a WHEP connection. Knowing its address, which cannot be guessed, is proof enough."""
    server = server_of(request)
    server.peers.get(session_id, name, "play")
    await server.peers.close(name)
    return Response(status_code=200)


@router.patch("/v1/sessions/{session_id}/{kind}/{name}", include_in_schema=False)
async def trickle(session_id: str, kind: str, name: str, request: Request) -> Response:
    """Refuse trickled candidates and ICE restarts as both RFCs ask: answers carry all candidates of the server."""
    server = server_of(request)
    roles: dict[str, Role] = {"whip": "publish", "whep": "play"}
    if kind not in roles:
        raise ApiError(404, "not_found", f"there is nothing at {request.url.path[:200]}")
    server.peers.get(session_id, name, roles[kind])
    raise ApiError(
        405,
        "no_trickle",
        "this server takes no trickled candidates and no ICE restarts; send all candidates in the offer, and a new "
        "offer to connect anew",
        headers={"Allow": "DELETE, OPTIONS"},
    )


async def _connect(
    server: Server,
    session: LiveSession,
    role: Role,
    offer: str,
    withdrawn: asyncio.Event | None = None,
    *,
    half: bool = False,
) -> Response:
    name, answer = await server.peers.answer(session, role, offer, withdrawn, half=half)
    kind = "whip" if role == "publish" else "whep"
    headers = {
        "Location": f"/v1/sessions/{session.id}/{kind}/{name}",
        "ETag": f'"{hashlib.sha256(answer.encode()).hexdigest()[:32]}"',
        "Cache-Control": "no-store",
        **_ice_links(server),
    }
    if session.label is not None:
        headers[LABEL_HEADER] = json.dumps(session.label.words)
    if role == "publish" and session.notices:
        headers[NOTICES_HEADER] = json.dumps([notice.model_dump() for notice in session.notices])
    return Response(answer, 201, headers, media_type=SDP)


def _ice_links(server: Server) -> dict[str, str]:
    """Return the `Link` header that names the ICE servers."""
    links = []
    for ice in server.ice_servers():
        credential = ""
        if "credential" in ice:
            credential = (
                f'; username="{_quoted(ice.get("username", ""))}"; credential="{_quoted(ice["credential"])}"; '
                'credential-type="password"'
            )
        links += [f'<{url}>; rel="ice-server"{credential}' for url in ice["urls"]]
    return {"Link": ", ".join(links)} if links else {}


def _quoted(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')
