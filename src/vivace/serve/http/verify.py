"""Checking a file over HTTP: what `vivace verify` says of it, one file at a time."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path, PurePath
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request

from vivace.serve.http.errors import ApiError
from vivace.serve.http.state import server_of
from vivace.trust.verify import verify

router = APIRouter(tags=["trust"])

PATH = "/v1/verify"


@router.post(PATH, openapi_extra={"requestBody": {"required": True, "content": {"application/octet-stream": {}}}})
async def check(request: Request, name: Annotated[str, Query(max_length=200)] = "file") -> dict[str, Any]:
    """Say whether a picture or video, the body, is marked as AI-modified, and whether that holds; nothing is kept."""
    server = server_of(request)
    server.access_control.need(request, "publish")
    if server.checking.locked():
        raise ApiError(503, "busy", "another file is being checked; try again", retry_after_s=10)
    async with server.checking:
        with tempfile.TemporaryDirectory(prefix="vivace-verify-") as folder:
            path = Path(folder) / (PurePath(name.replace("\0", "")).name.lstrip(".") or "file")
            with path.open("wb") as file:
                async for chunk in request.stream():
                    file.write(chunk)
            report = await asyncio.to_thread(verify, path)
    return report.document()
