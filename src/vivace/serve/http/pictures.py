"""The newest picture of a session as a file that says what it is: a snapshot, with content credentials."""

from __future__ import annotations

import asyncio
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Literal

from fastapi import APIRouter, Query, Request, Response

from vivace.media.draw import side_by_side
from vivace.media.frame import Frame
from vivace.media.images import save_picture
from vivace.serve.http.errors import ApiError
from vivace.serve.http.sessions import find
from vivace.serve.marking import FileMarks
from vivace.trust.label import Corner, Label, LabelStyle, Language

router = APIRouter(prefix="/v1/sessions", tags=["sessions"])

TYPES = {"png": "image/png", "jpg": "image/jpeg", "webp": "image/webp"}


@router.get(
    "/{session_id}/snapshot",
    response_class=Response,
    responses={200: {"content": {media_type: {} for media_type in TYPES.values()}}},
)
async def snapshot(
    session_id: str,
    request: Request,
    type: Literal["png", "jpg", "webp"] = "png",  # noqa: A002  (its name in the address)
    compare: Annotated[bool, Query(description="Put the source left of it.")] = False,
    before: Annotated[bool, Query(description="Give the source alone.")] = False,
    label: Annotated[
        Corner | None, Query(description="Where to say that it is AI-modified, if the server's pictures do not.")
    ] = None,
    language: Annotated[Language, Query(description="Of that label.")] = "en",
) -> Response:
    """Return the newest picture as it left the model, with the marks that recordings have; nothing is kept."""
    server, session, _ = find(request, session_id, "steer")
    frame = session.newest
    if frame is None:
        raise ApiError(409, "no_picture", "the session has no picture yet; send it some and try again")
    if before and frame.source_rgb is not None:
        frame = replace(frame, rgb=frame.source_rgb, alpha=None, source_rgb=None, painted=False)
    marking = server.manager.marking
    style = LabelStyle(label, language=language) if label is not None and marking.label is None else None
    marks = marking.files(session.id, session.model)
    async with server.signing:
        data = await asyncio.to_thread(_file, frame, type, marks, style, compare=compare)
    return Response(data, media_type=TYPES[type], headers={"Cache-Control": "no-store"})


def _file(frame: Frame, suffix: str, marks: FileMarks, label: LabelStyle | None, *, compare: bool) -> bytes:
    """Return a frame as the bytes of a marked file.

    Raises:
        SinkWriteError: it cannot be signed.
    """
    statement = marks.statement
    if label is not None:
        frame = Label(label)(frame)
        statement = label.statement
    if compare and frame.source_rgb is not None:
        frame = replace(frame, rgb=side_by_side([frame.source_rgb, frame.rgb]), alpha=None)
    with tempfile.TemporaryDirectory(prefix="vivace-snapshot-") as folder:
        path = Path(folder) / f"snapshot.{suffix}"
        save_picture(frame, path, statement if frame.painted else None)
        if marks.sign is not None:
            work = marks.begin()
            work.see(frame)
            marks.sign(path, work)
        return path.read_bytes()
