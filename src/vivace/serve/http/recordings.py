"""Recordings over HTTP: list, download (range requests), name, delete.

Each is for whoever made it, by the same token, and for operators; without tokens all are for the person at this
machine.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, Request
from fastapi.responses import FileResponse
from pydantic import Field

from vivace.checks import Table
from vivace.messages import RecordingInfo
from vivace.serve.http.errors import ApiError
from vivace.serve.http.state import Server, server_of
from vivace.serve.recording import RecordingStore, read_about

router = APIRouter(prefix="/v1/recordings", tags=["recordings"])

MAX_TITLE_CHARS = 200


class Rename(Table):
    """New title of a recording."""

    title: Annotated[str, Field(max_length=MAX_TITLE_CHARS)]


@router.get("")
async def list_recordings(request: Request) -> dict[str, list[RecordingInfo]]:
    """List the recordings that the client made, or all for operators, newest first."""
    server = server_of(request)
    access = server.access_control.need(request, "publish")
    store = server.manager.recording_store
    if store is None:
        return {"recordings": []}
    owner = None if access.operates else access.client
    return {"recordings": await asyncio.to_thread(store.list, owner, _writing(server))}


@router.get("/{name}", response_class=FileResponse)
async def download(name: str, request: Request) -> FileResponse:
    """Download a recording, whole or by ranges. Names cannot be guessed: who knows one was told it."""
    server = server_of(request)
    access = server.access_control.need(request, "view")
    if access.withdrawn is not None:
        raise ApiError(403, "scope", "a link shows no recordings; who made one may give you the file")
    _, path = await _find(server, name)
    return FileResponse(path, media_type="video/mp4", filename=name, headers={"Cache-Control": "private, no-store"})


@router.patch("/{name}", status_code=204)
async def rename(name: str, body: Rename, request: Request) -> None:
    """Call a recording something."""
    store, path = await _find_own(request, name)
    await asyncio.to_thread(store.rename, path, body.title.strip())


@router.delete("/{name}", status_code=204)
async def delete(name: str, request: Request) -> None:
    """Delete a recording that has ended."""
    store, path = await _find_own(request, name)
    if name in _writing(server_of(request)):
        raise ApiError(409, "recording", "this recording goes on; end it first")
    await asyncio.to_thread(store.delete, path)


def _writing(server: Server) -> set[str]:
    recordings = (session.recorder.current for session in server.manager.sessions())
    return {recording.name for recording in recordings if recording is not None}


async def _find(server: Server, name: str) -> tuple[RecordingStore, Path]:
    """Return where recordings are, and the file of one.

    Raises:
        ApiError: 404, the same for a name that could not be one and for a file that is not there.
    """
    store = server.manager.recording_store
    path = None if store is None else await asyncio.to_thread(store.find, name)
    if store is None or path is None:
        raise ApiError(404, "no_recording", f"there is no recording {name[:60]!r}; /v1/recordings lists them")
    return store, path


async def _find_own(request: Request, name: str) -> tuple[RecordingStore, Path]:
    """Return the same, if it is the client's to change.

    Raises:
        ApiError: 401, 403 or 404.
    """
    server = server_of(request)
    access = server.access_control.need(request, "publish")
    store, path = await _find(server, name)
    if not access.operates and (await asyncio.to_thread(read_about, path)).owner != access.client:
        raise ApiError(403, "owner", "another client made this recording; it and the operator may change it")
    return store, path
