"""Pictures from clients: masks within limits, and nothing else under their name."""

from __future__ import annotations

import base64
import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from fakes import FakeModel
from vivace import messages
from vivace.errors import ControlError
from vivace.serve.limits import free_memory_bytes, read_mask
from vivace.serve.steering import changes_of


def url(data: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(data).decode()


def png(array: np.ndarray, mode: str) -> bytes:
    file = io.BytesIO()
    Image.fromarray(array).convert(mode).save(file, "PNG")
    return file.getvalue()


@pytest.mark.parametrize("mode", ["1", "L", "RGB", "RGBA", "P"])
def test_white_may_change_in_every_kind_of_png(mode):
    alpha = np.zeros((6, 8), np.uint8)
    alpha[:, :3] = 255
    np.testing.assert_array_equal(read_mask(url(png(alpha, mode)), 1000), alpha)


def test_what_is_transparent_stays_the_source():
    rgba = np.full((2, 2, 4), 255, np.uint8)
    rgba[0, 0, 3] = 0
    assert read_mask(url(png(rgba, "RGBA")), 1000).tolist() == [[0, 255], [255, 255]]


def bomb() -> bytes:
    """A PNG of a few bytes that says it is of 50000x50000 px."""
    header = struct.pack(">IIBBBBB", 50_000, 50_000, 8, 0, 0, 0, 0)
    chunk = b"IHDR" + header
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + chunk + struct.pack(">I", zlib.crc32(chunk))


WHOLE = png(np.zeros((64, 64), np.uint8), "L")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("nonsense", "give a PNG"),
        ("data:image/svg+xml;base64,AAAA", "give a PNG"),
        ("file:///etc/passwd", "give a PNG"),
        ("data:image/png;base64,%%%", "no base64"),
        (url(b""), "no PNG"),
        (url(b"GIF89a" + b"\0" * 40), "no PNG"),
        (url(bomb()), "50000x50000 px"),
        (url(WHOLE[:40]), "damaged"),
        (url(WHOLE[:-30]), "damaged"),
        (url(WHOLE[:30] + b"\xff" * 20 + WHOLE[50:]), "damaged"),
    ],
)
def test_what_is_no_mask_is_refused_with_the_reason(text, reason):
    with pytest.raises(ControlError, match=reason):
        read_mask(text, 1_000_000)


def test_what_is_left_out_stays_and_what_is_empty_goes():
    spec = FakeModel().spec
    assert changes_of(messages.Controls(), spec, 1000) == {}
    assert changes_of(messages.Controls(prompt=" ", mask="", reference=""), spec, 1000) == {
        "prompt": None,
        "mask": None,
    }
    assert changes_of(messages.Controls(seed=3, strength=0), spec, 1000) == {"seed": 3, "strength": 0.0}


def test_memory_is_known():
    assert free_memory_bytes() > 2**20
