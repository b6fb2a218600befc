"""Watermarking methods that are compared, each with the same 64 bits."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

from vivace.bench.document import NotRun
from vivace.media.frame import Rgb
from vivace.trust.watermark import code
from vivace.trust.watermark.detect import detect_watermark
from vivace.trust.watermark.embed import WatermarkEmbedder

LOOKED_AT = 12
"""Pictures per second that are examined, spread evenly."""


class Method(Protocol):
    """Method of marking pictures and reading the mark."""

    name: str
    about: str

    def mark(self, pictures: Sequence[Rgb], payload: int) -> list[Rgb]:
        """Return the pictures of a clip, marked."""

    def read(self, pictures: Sequence[Rgb]) -> int | None:
        """Return the payload, or None if none is found."""


class OurWatermark:
    """Watermark of `vivace.trust`."""

    name = "vivace"
    about = "luma pattern of 64 bits, pilot and tail-biting code"

    def mark(self, pictures: Sequence[Rgb], payload: int) -> list[Rgb]:
        """Return the pictures as the finisher outputs them."""
        embedder = WatermarkEmbedder(payload)
        return [embedder.mark(rgb) for rgb in pictures]

    def read(self, pictures: Sequence[Rgb]) -> int | None:
        """Return the payload found in all of them together."""
        return detect_watermark(spread(pictures)).payload


class DwtDct:
    """Method of `invisible-watermark` for the CPU, picture by picture; each bit by majority over the pictures."""

    name = "dwtDct"
    about = "invisible-watermark: wavelet, then cosine transform, one picture at a time"

    def __init__(self) -> None:
        """Import the package. Raises ImportError if it is missing."""
        from imwatermark import WatermarkDecoder, WatermarkEncoder

        self._encoder: Any = WatermarkEncoder()
        self._decoder: Any = WatermarkDecoder("bits", code.MESSAGE_BITS)

    def mark(self, pictures: Sequence[Rgb], payload: int) -> list[Rgb]:
        """Return the pictures marked with the same 64 bits as Vivace's, including the check."""
        self._encoder.set_watermark("bits", code.message_bits(payload).tolist())
        return [self._encoder.encode(rgb[..., ::-1].copy(), "dwtDct")[..., ::-1].copy() for rgb in pictures]

    def read(self, pictures: Sequence[Rgb]) -> int | None:
        """Return the payload if the check passes."""
        if min(pictures[0].shape[:2]) ** 2 < 256 * 256:
            return None  # it rejects these
        found = [self._decoder.decode(rgb[..., ::-1].copy(), "dwtDct") for rgb in spread(pictures)]
        return code.read_message((np.mean(found, axis=0) > 0.5).astype(np.uint8))


def spread(pictures: Sequence[Rgb]) -> list[Rgb]:
    """Return the pictures to examine."""
    return list(pictures[:: max(len(pictures) // LOOKED_AT, 1)])


def methods() -> tuple[list[Method], list[NotRun]]:
    """Return the available methods, Vivace's first, and the missing ones."""
    riva = NotRun(what="rivaGan of invisible-watermark", reason="it holds 32 bits, not 64")
    if importlib.util.find_spec("imwatermark") is None:
        missing = NotRun(what=DwtDct.name, reason="pip install invisible-watermark==0.2.0, which brings torch")
        return [OurWatermark()], [missing, riva]
    return [OurWatermark(), DwtDct()], [riva]
