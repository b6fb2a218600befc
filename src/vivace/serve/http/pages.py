"""The pages, and what they are made of."""

from __future__ import annotations

import hashlib
from pathlib import Path

from fastapi import APIRouter, Request, Response
from fastapi.responses import FileResponse

from vivace.serve.bundle import bundle
from vivace.serve.http.errors import ApiError

router = APIRouter(include_in_schema=False)

WEB = Path(__file__).parents[1] / "web"

_BUNDLES = {f"css/{page}.css": "text/css" for page in ("studio", "watch", "verify", "admin", "docs")} | {
    f"studio/{page}.js": "text/javascript" for page in ("main", "watch", "clean", "verify", "admin", "docs")
}


@router.get("/bundle/{name:path}")
def bundled(name: str, request: Request) -> Response:
    """Return a page's script or style sheet with all that it imports."""
    if name not in _BUNDLES:
        raise ApiError(404, "not_found", f"there is no bundle {name[:80]!r}; modules are served by their own names")
    text = bundle(WEB, name)
    tag = f'"{hashlib.sha256(text.encode()).hexdigest()[:16]}"'
    if request.headers.get("if-none-match") == tag:
        return Response(status_code=304, headers={"ETag": tag})
    return Response(text, media_type=_BUNDLES[name], headers={"ETag": tag})


@router.get("/watch/{session_id}")
@router.get("/steer/{session_id}")
async def watch_page(session_id: str) -> FileResponse:  # noqa: ARG001  (the page reads it from its address)
    """Show a session to those who have its link, with what steers it if the link is for that."""
    return FileResponse(WEB / "watch.html")


@router.get("/verify")
async def verify_page() -> FileResponse:
    """Check files of anybody's."""
    return FileResponse(WEB / "verify.html")


@router.get("/admin")
async def admin_page() -> FileResponse:
    """Show operators the sessions there are; the page asks for the token, this address for none."""
    return FileResponse(WEB / "admin.html")


@router.get("/docs")
async def docs_page() -> FileResponse:
    """Show the API as `/openapi.json` describes it."""
    return FileResponse(WEB / "docs.html")


@router.get("/clean/{session_id}")
async def clean_page(session_id: str) -> FileResponse:  # noqa: ARG001
    """Show a session's picture and nothing else."""
    return FileResponse(WEB / "clean.html")
