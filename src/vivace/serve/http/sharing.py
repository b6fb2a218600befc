"""Links that the owner of a session gives to others, to watch and to steer it, and their QR codes."""

from __future__ import annotations

from typing import Annotated

import segno
from fastapi import APIRouter, Request, Response
from pydantic import Field

from vivace.checks import Table
from vivace.serve.http.sessions import find
from vivace.serve.http.state import server_of
from vivace.serve.links import Link, LinkKind

router = APIRouter(tags=["sharing"])

MAX_QR_CHARS = 500

_RELATION = "urn:x-vivace"
"""Beginning of relation types in `Link` headers, which are addresses (RFC 8288)."""


class SharedLink(Table):
    """A link in force. What stands behind `#` no server sees: browsers keep it to themselves."""

    token: str
    """Opens the session to whoever has it, as a bearer token."""
    pages: dict[str, str]
    """Addresses on this server by what they show: `watch` and `clean`, or `steer`."""


class Text(Table):
    """Text of a QR code."""

    text: Annotated[str, Field(min_length=1, max_length=MAX_QR_CHARS)]


@router.put("/v1/sessions/{session_id}/links/{kind}")
async def share(session_id: str, kind: LinkKind, request: Request, response: Response) -> SharedLink:
    """Return the link of a session to give to others, made when it is first asked for."""
    _, session, _ = find(request, session_id, "own")
    response.headers["Cache-Control"] = "no-store"
    link = session.links.make(kind)
    return SharedLink(token=link.token, pages=pages_of(session.id, link))


@router.delete("/v1/sessions/{session_id}/links/{kind}", status_code=204)
async def withdraw(session_id: str, kind: LinkKind, request: Request) -> None:
    """End a link and the connections made by it; the next one that is asked for is another."""
    server, session, _ = find(request, session_id, "own")
    session.links.withdraw(kind)
    await server.peers.close_withdrawn()


@router.post("/v1/qr", response_class=Response, responses={200: {"content": {"image/svg+xml": {}}}})
async def qr_code(body: Text, request: Request) -> Response:
    """Draw a QR code as SVG; the text comes in the body, since addresses are written down in many places."""
    server_of(request).access_control.need(request, "publish")
    svg = segno.make(body.text, micro=False, error="m").svg_inline(border=2, light="#fff", omitsize=True)
    return Response(svg, media_type="image/svg+xml", headers={"Cache-Control": "no-store"})


def pages_of(session_id: str, link: Link) -> dict[str, str]:
    """Return the pages that a link opens, by what they show."""
    shown = ("watch", "clean") if link.kind == "watch" else ("steer",)
    return {page: f"/{page}/{session_id}#token={link.token}" for page in shown}


def link_header(session_id: str, links: tuple[Link, ...]) -> str:
    """Return a `Link` header's value that names a session's WHEP address and the pages of links."""
    pages = {"whep": f"/v1/sessions/{session_id}/whep"}
    for link in links:
        pages |= pages_of(session_id, link)
    return ", ".join(f'<{address}>; rel="{_RELATION}:{name}"' for name, address in pages.items())
