"""Marks in repainted pictures themselves, whichever way they leave: a watermark and a label."""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Callable, Set
from dataclasses import dataclass
from functools import cached_property

from vivace.checks import brief
from vivace.errors import ControlError
from vivace.media.frame import Frame
from vivace.media.statement import Statement
from vivace.settings import Mark
from vivace.trust.label import Label, LabelStyle
from vivace.trust.watermark.embed import WatermarkEmbedder

PAYLOAD_BITS = 48


@dataclass(frozen=True)
class PictureMarks:
    """The marks of one stream."""

    label: LabelStyle | None = None
    payload: int | None = None
    """Payload of the watermark, 48 bits; None: there is no watermark."""
    everywhere: bool = False
    """True where the watermark is also put where a picture is its source's."""

    @classmethod
    def of(
        cls, marks: Set[Mark], payload: int, style: LabelStyle | None = None, *, everywhere: bool = False
    ) -> PictureMarks:
        """Return those of `marks` that are in pictures, with what each is if it is there."""
        return cls(
            (style or LabelStyle()) if "label" in marks else None,
            payload if "watermark" in marks else None,
            everywhere,
        )

    @cached_property
    def finishers(self) -> tuple[Callable[[Frame], Frame], ...]:
        """Finishers that mark the frames of the stream; the label comes last, so that it is as it is drawn."""
        marks: list[Callable[[Frame], Frame]] = []
        if self.payload is not None:
            marks.append(WatermarkEmbedder(self.payload, everywhere=self.everywhere))
        if self.label is not None:
            marks.append(Label(self.label))
        return tuple(marks)

    @property
    def statement(self) -> Statement | None:
        """Statement for files and streams, in the words of the label; None without a label."""
        return None if self.label is None else self.label.statement

    @property
    def told(self) -> dict[str, str]:
        """Marks as credentials tell them, by name."""
        watermark = "off" if self.payload is None else f"{self.payload:012x}"
        return {"label": "off" if self.label is None else str(self.label), "watermark": watermark}


def new_payload() -> int:
    """Return a payload that no other stream has."""
    return secrets.randbits(PAYLOAD_BITS)


def payload_of(session: str) -> int:
    """Return the payload of a server's session, or of a run: who knows what it is can tell that pictures are of it."""
    return int.from_bytes(hashlib.sha256(session.encode()).digest()[: PAYLOAD_BITS // 8], "big")


def parse_payload(text: str) -> int:
    """Return a payload that is written as up to 12 hexadecimal digits.

    Raises:
        ControlError: it is not.
    """
    if not re.fullmatch(r"[0-9a-fA-F]{1,12}", text):
        raise ControlError(f"the watermark's payload is {brief(text)}; give 1 to 12 hexadecimal digits")
    return int(text, 16)
