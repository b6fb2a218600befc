"""For those who run the server: does it live, does it take sessions, and its numbers."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from vivace.serve.http.errors import ApiError
from vivace.serve.http.state import server_of
from vivace.serve.version import VERSION

router = APIRouter(tags=["health"])


@router.get("/healthz")
async def healthz() -> dict[str, str]:
    """The process lives and answers."""
    return {"status": "ok", "version": VERSION}


@router.get("/readyz")
async def readyz(request: Request) -> dict[str, str]:
    """It takes new sessions, maybe into the queue; 503 while it starts (`loading`, and how far it is) or drains."""
    manager = server_of(request).manager
    manager.models.check_loaded()
    if not manager.ready:
        raise ApiError(503, "not_ready", "the server is shutting down and takes no new sessions", retry_after_s=5)
    return {"status": "ready"}


@router.get("/metrics", response_class=Response, responses={200: {"content": {"text/plain": {}}}})
async def metrics(request: Request) -> Response:
    """Prometheus metrics; for operators."""
    server = server_of(request)
    server.access_control.need_operator(request)
    text, kind = server.metrics.render()
    return Response(text, headers={"Content-Type": kind})
