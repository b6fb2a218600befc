"""Recordings over HTTP: list, download (range requests), delete."""

from __future__ import annotations

import asyncio
from pathlib import Path

from fastapi import APIRouter, Request
from fastapi.responses import FileResponse

from vivace.messages import RecordingInfo
from vivace.serve.http.errors import ApiError
from vivace.serve.http.state import Server, server_of

router = APIRouter(prefix="/v1/recordings", tags=["recordings"])


@router.get("")
async def list_recordings(request: Request) -> dict[str, list[RecordingInfo]]:
    """List the recordings, newest first; for operators."""
    server = server_of(request)
    server.access_control.need_operator(request)
    store = server.manager.recording_store
    found = [] if store is None else await asyncio.to_thread(store.list)
    return {"recordings": found}


@router.get("/{name}", response_class=FileResponse)
async def download(name: str, request: Request) -> FileResponse:
    """Download a recording, whole or by ranges. Names cannot be guessed: who knows one was told it."""
    server = server_of(request)
    server.access_control.need(request, "view")
    path = await _find(server, name)
    return FileResponse(path, media_type="video/mp4", filename=name, headers={"Cache-Control": "private, no-store"})


@router.delete("/{name}", status_code=204)
async def delete(name: str, request: Request) -> None:
    """Delete a recording; for operators."""
    server = server_of(request)
    server.access_control.need_operator(request)
    path = await _find(server, name)
    await asyncio.to_thread(path.unlink, missing_ok=True)


async def _find(server: Server, name: str) -> Path:
    """Return the file of a recording.

    Raises:
        ApiError: 404, the same for a name that could not be one and for a file that is not there.
    """
    store = server.manager.recording_store
    path = None if store is None else await asyncio.to_thread(store.find, name)
    if path is None:
        raise ApiError(404, "no_recording", f"there is no recording {name[:60]!r}; /v1/recordings lists them")
    return path
