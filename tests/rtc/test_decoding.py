"""Incoming media is decoded within limits."""

from __future__ import annotations

import threading

import av
import numpy as np
import pytest

from patience import PATIENCE_S
from vivace.rtc.assemble import EncodedFrame
from vivace.rtc.decoding import LiveDecoder, vp8_size


def vp8(size: tuple[int, int]) -> bytes:
    encoder = av.CodecContext.create("libvpx", "w")
    encoder.width, encoder.height, encoder.pix_fmt, encoder.framerate = *size, "yuv420p", 25
    picture = av.VideoFrame.from_ndarray(np.zeros((size[1], size[0], 3), np.uint8), format="rgb24")
    return bytes([*encoder.encode(picture), *encoder.encode(None)][0])


def test_the_size_of_a_vp8_keyframe_is_read_from_its_header() -> None:
    assert vp8_size(EncodedFrame("VP8", vp8((96, 64)), 0, True, 0.0)) == (96, 64)
    assert vp8_size(EncodedFrame("VP8", b"\x01" * 20, 0, False, 0.0)) is None
    assert vp8_size(EncodedFrame("H264", bytes(20), 0, True, 0.0)) is None
    assert vp8_size(EncodedFrame("VP8", b"\x10\x02", 0, True, 0.0)) is None


def test_a_frame_that_says_it_is_huge_is_never_given_to_the_decoder(monkeypatch: pytest.MonkeyPatch) -> None:
    decoded: list[int] = []
    came, asked = threading.Event(), threading.Event()
    real = LiveDecoder._open_codec

    def decoder(self: LiveDecoder, codec: str) -> object:
        made = real(self, codec)
        decoded.append(1)
        return made

    monkeypatch.setattr(LiveDecoder, "_open_codec", decoder)
    decoder = LiveDecoder(lambda *_: came.set(), asked.set, max_frame_px=640 * 480)
    try:
        bomb = bytearray(vp8((96, 64)))
        bomb[6:10] = b"\xff\x3f\xff\x3f"  # 16383x16383
        decoder.put(EncodedFrame("VP8", bytes(bomb), 0, True, 0.0))
        assert asked.wait(PATIENCE_S)
        assert decoded == []
        decoder.put(EncodedFrame("VP8", vp8((96, 64)), 3000, True, 0.0))
        assert came.wait(PATIENCE_S)
        assert decoder.size == (96, 64)
    finally:
        decoder.close()
