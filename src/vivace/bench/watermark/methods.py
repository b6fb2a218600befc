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
DWT, RIVA = "dwtDct", "rivaGan"
"""Names of methods of `invisible-watermark`."""


class Method(Protocol):
    """Method of marking pictures and reading the mark."""

    name: str
    about: str

    def mark(self, pictures: Sequence[Rgb], payload: int) -> list[Rgb]:
        """Return the pictures of a clip, marked."""

    def carries(self, pictures: Sequence[Rgb], payload: int) -> bool:
        """Return True if this payload is read in pictures of one size."""


class OurWatermark:
    """Watermark of `vivace.trust`."""

    name = "vivace"
    about = "luma pattern of 64 bits, pilot and tail-biting code"

    def mark(self, pictures: Sequence[Rgb], payload: int) -> list[Rgb]:
        """Return the pictures as the finisher outputs them."""
        embedder = WatermarkEmbedder(payload)
        return [embedder.mark(rgb) for rgb in pictures]

    def carries(self, pictures: Sequence[Rgb], payload: int) -> bool:
        """Return True if this payload is found in all of them together."""
        return detect_watermark(spread(pictures)).payload == payload


class InvisibleWatermark:
    """Method of `invisible-watermark`, picture by picture; each bit by majority over the pictures."""

    def __init__(self, name: str, about: str, bits: int) -> None:
        """Import the package. Raises ImportError if it, or what its method needs, is missing."""
        from imwatermark import WatermarkDecoder, WatermarkEncoder

        self.name, self.about, self.bits = name, about, bits
        self._encoder: Any = WatermarkEncoder()
        self._decoder: Any = WatermarkDecoder("bits", bits)
        if name == RIVA:
            self._encoder.loadModel()
            self._decoder.loadModel()

    def mark(self, pictures: Sequence[Rgb], payload: int) -> list[Rgb]:
        """Return the pictures marked with the 64 bits of Vivace's, including the check, or the last of them."""
        self._encoder.set_watermark("bits", code.message_bits(payload)[-self.bits :].tolist())
        return [self._encoder.encode(rgb[..., ::-1].copy(), self.name)[..., ::-1].copy() for rgb in pictures]

    def carries(self, pictures: Sequence[Rgb], payload: int) -> bool:
        """Return True if every bit is read right."""
        if min(pictures[0].shape[:2]) ** 2 < 256 * 256:
            return False  # it rejects these
        found = [self._decoder.decode(rgb[..., ::-1].copy(), self.name) for rgb in spread(pictures)]
        majority = np.mean(found, axis=0) > 0.5
        return bool((majority == code.message_bits(payload)[-self.bits :]).all())


def spread(pictures: Sequence[Rgb]) -> list[Rgb]:
    """Return the pictures to examine."""
    return list(pictures[:: max(len(pictures) // LOOKED_AT, 1)])


def methods() -> tuple[list[Method], list[NotRun]]:
    """Return the available methods, Vivace's first, and the missing ones."""
    found: list[Method] = [OurWatermark()]
    missing: list[NotRun] = []
    for name, about, bits, needs in (
        (DWT, "invisible-watermark: wavelet, then cosine transform, one picture at a time", code.MESSAGE_BITS, ()),
        (RIVA, "invisible-watermark: a network, 32 bits without a check, one picture at a time", 32, ("onnxruntime",)),
    ):
        if all(importlib.util.find_spec(package) for package in ("imwatermark", *needs)):
            found.append(InvisibleWatermark(name, about, bits))
        else:
            packages = " ".join(("invisible-watermark==0.2.0", *needs))
            missing.append(NotRun(what=name, reason=f"pip install {packages}, which brings torch"))
    return found, missing
