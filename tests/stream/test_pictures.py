"""Pictures as control values: every accepted form, and nothing else under its name."""

from __future__ import annotations

import base64
import io
import struct
import threading
import zlib
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from tolerance import deviation
from vivace.errors import ControlError, SourceNotFoundError
from vivace.models.controls import ControlSpec
from vivace.stream.mask import open_mask
from vivace.stream.pictures import MAX_BYTES, is_folder, read_picture, read_sent

LOOK = ControlSpec(name="look", kind="image", help="The picture to paint like.")
AREA = ControlSpec(name="area", kind="mask", help="Where.")
COLOURS = np.random.default_rng(0).integers(0, 256, (6, 8, 3), np.uint8)
HALF = np.zeros((6, 8), np.uint8)
HALF[:, :3] = 255


def encoded(array: NDArray[Any], kind: str = "PNG", mode: str | None = None, **how: Any) -> bytes:
    file = io.BytesIO()
    image = Image.fromarray(array)
    (image.convert(mode) if mode else image).save(file, kind, **how)
    return file.getvalue()


def url(data: bytes, kind: str = "png") -> str:
    return f"data:image/{kind};base64," + base64.b64encode(data).decode()


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """Return the URL of a server with one picture at `/look.png`, and an invalid HTTP answer at `/odd.png`."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path.startswith("/odd.png"):
                self.wfile.write(b"220 ready\r\n\r\n")
                return
            self.send_response(200 if self.path == "/look.png" else 404)
            self.end_headers()
            self.wfile.write(encoded(COLOURS) if self.path == "/look.png" else b"")

        def log_message(self, *_: Any) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.mark.parametrize("control", [LOOK, AREA], ids=lambda control: control.kind)
@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P", "LA", "I;16"])
def test_a_picture_of_pillow_is_read_as_its_file_is(control: ControlSpec, mode: str) -> None:
    if mode == "I;16":
        image = Image.fromarray(np.arange(48, dtype=np.uint16).reshape(6, 8) * 1300)
    else:
        image = Image.fromarray(COLOURS).convert(mode)
    if "A" in mode:
        image.putalpha(Image.fromarray(HALF))
    file = io.BytesIO()
    image.save(file, "PNG")
    np.testing.assert_array_equal(read_picture(control, image), read_picture(control, file.getvalue()))


def test_a_picture_of_pillow_whose_file_is_cut_off_is_refused() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    with Image.open(io.BytesIO(encoded(noise)[:3000])) as image, pytest.raises(ControlError, match="look cannot be"):
        read_picture(LOOK, image)


@pytest.mark.parametrize("name", ["~nobody-of-that-name/key.png", "a\0b", "k" * 5000])
def test_what_cannot_be_a_path_is_no_folder(name: str) -> None:
    assert not is_folder(name)


def test_a_picture_is_a_path_an_address_bytes_or_an_array(tmp_path: Path, address: str) -> None:
    (tmp_path / "look.png").write_bytes(encoded(COLOURS))
    file = tmp_path / "look.png"
    for given in (
        file,
        str(file),
        file.read_bytes(),
        bytearray(file.read_bytes()),
        url(file.read_bytes()),
        f"{address}/look.png",
        COLOURS,
    ):
        found = read_picture(LOOK, given)
        np.testing.assert_array_equal(found, COLOURS)
        assert not found.flags.writeable
    given = COLOURS.copy()
    kept = read_picture(LOOK, given)
    given[:] = 0
    np.testing.assert_array_equal(kept, COLOURS)  # the giver may continue to change it


def test_a_model_gets_it_at_the_size_it_declares() -> None:
    small = ControlSpec(name="look", kind="image", size=(4, 4), help="")
    flat = np.full((90, 160, 3), (10, 200, 30), np.uint8)
    np.testing.assert_array_equal(read_picture(small, flat), flat[:4, :4])
    area = ControlSpec(name="area", kind="mask", size=(16, 12), help="")
    found = read_picture(area, HALF)
    assert found.shape == (12, 16)
    assert (found[:, 0] == 255).all()
    assert (found[:, -1] == 0).all()
    assert read_picture(small, np.full((1, 1, 3), 7, np.uint8)).tolist() == [[[7, 7, 7]] * 4] * 4  # however tiny


@pytest.mark.parametrize("mode", ["1", "L", "RGB", "RGBA", "P", "LA"])
def test_white_is_white_and_black_black_in_every_kind_of_png(mode: str) -> None:
    sent = encoded(HALF, mode=mode)
    np.testing.assert_array_equal(read_picture(AREA, sent), HALF)
    np.testing.assert_array_equal(read_picture(LOOK, sent), np.repeat(HALF[..., None], 3, axis=2))


def test_what_is_transparent_is_black() -> None:
    rgba = np.full((2, 2, 4), 255, np.uint8)
    rgba[0, 0, 3] = 0
    rgba[1, 1] = (100, 200, 50, 128)
    assert read_picture(AREA, encoded(rgba))[:, 0].tolist() == [0, 255]
    look = read_picture(LOOK, encoded(rgba))
    assert look[0, 0].tolist() == [0, 0, 0]
    assert look[1, 1].tolist() == [50, 100, 25]


def test_a_grey_of_16_bits_is_one_of_8() -> None:
    deep = (np.arange(48, dtype=np.uint16).reshape(6, 8) * 1365).astype(np.uint16)
    np.testing.assert_array_equal(read_picture(AREA, encoded(deep)), (deep >> 8).astype(np.uint8))
    np.testing.assert_array_equal(read_picture(LOOK, encoded(deep))[..., 0], (deep >> 8).astype(np.uint8))


@pytest.mark.parametrize(("orientation", "turns"), [(3, 2), (6, 3), (8, 1)])
def test_a_photograph_is_upright(orientation: int, turns: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    sent = encoded(COLOURS, exif=exif.tobytes())
    np.testing.assert_array_equal(read_picture(LOOK, sent), np.rot90(COLOURS, turns))


@pytest.mark.parametrize(("kind", "mode"), [("JPEG", "RGB"), ("JPEG", "CMYK"), ("JPEG", "L"), ("WEBP", "RGB")])
def test_other_files_are_pictures_too(kind: str, mode: str) -> None:
    smooth = np.full((16, 16, 3), (200, 100, 50), np.uint8)
    wanted = smooth if mode != "L" else np.full((16, 16, 3), 124, np.uint8)
    found = read_picture(LOOK, encoded(smooth, kind, mode, quality=95))
    assert deviation(found, wanted, scale=255.0) < 0.03


@pytest.mark.parametrize("dtype", [np.bool_, np.float32, np.float64])
def test_an_array_may_be_of_bools_or_of_floats_to_1(dtype: Any) -> None:
    np.testing.assert_array_equal(read_picture(AREA, (HALF / 255).astype(dtype)), HALF)
    np.testing.assert_array_equal(read_picture(AREA, HALF[..., None]), HALF)


def bomb(side: int) -> bytes:
    """Return a PNG of a few bytes that claims `side` px per side."""
    header = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(b"\0" * 100)), (b"IEND", b"")]
    parts = (
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data)) for name, data in chunks
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def animated(kind: str) -> bytes:
    file = io.BytesIO()
    first, *rest = (Image.fromarray(np.full((8, 8, 3), value, np.uint8)) for value in (0, 120, 240))
    first.save(file, kind, save_all=True, append_images=rest, duration=40)
    return file.getvalue()


WHOLE = encoded(np.random.default_rng(1).integers(0, 256, (64, 64), np.uint8))
UNUSABLE = [
    (b"", "cannot be read as a picture"),
    (b"GIF89a" + b"\0" * 40, "cannot be read"),
    (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "none that is known.*give a whole one of PNG, JPEG"),
    (bomb(50_000), "is too large; the limit is 64,000,000 pixels"),
    (bomb(9_000), "is 9000x9000 px; the limit is 64,000,000 pixels"),
    (WHOLE[:40], "cannot be read"),
    (WHOLE[:-300], "cannot be read"),
    (WHOLE[:60] + b"\xff" * 20 + WHOLE[80:], "cannot be read"),
    (encoded(COLOURS, "JPEG")[:-40], "cannot be read"),
]


@pytest.mark.parametrize("control", [LOOK, AREA], ids=lambda control: control.kind)
@pytest.mark.parametrize(("data", "reason"), UNUSABLE)
def test_what_is_no_picture_is_refused_with_the_reason(control: ControlSpec, data: bytes, reason: str) -> None:
    with pytest.raises(ControlError, match=f"^{control.name} .*({reason})"):
        read_picture(control, data)
    with pytest.raises(ControlError, match=f"^{control.name} "):
        read_sent(control, url(data), 1_000_000)
    with pytest.raises(ControlError, match=r"^mask "):  # the stream's own takes the same path
        open_mask(data)


def test_a_photograph_with_a_preview_or_a_page_after_it_is_a_picture() -> None:
    for kind in ("MPO", "TIFF"):
        first, second = (Image.fromarray(np.full((16, 16, 3), value, np.uint8)) for value in (200, 50))
        file = io.BytesIO()
        first.save(file, kind, save_all=True, append_images=[second])
        found = read_picture(LOOK, file.getvalue())
        assert deviation(found, np.full((16, 16, 3), 200), scale=255.0) < 0.03, kind


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP"])
def test_a_picture_that_moves_is_refused(kind: str, tmp_path: Path) -> None:
    with pytest.raises(ControlError, match="look is animated; give a still picture"):
        read_picture(LOOK, animated(kind))
    (tmp_path / "area.png").write_bytes(animated(kind))
    with pytest.raises(ControlError, match=r"area .*area\.png is animated"):
        read_picture(AREA, tmp_path / "area.png")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("nonsense", "begins with 'nonsense'; give a PNG, JPEG or WebP as a data:image/png;base64"),
        ("data:text/html;base64,AAAA", "give a PNG"),
        ("data:image/png;base64", "give a PNG"),
        ("file:///etc/passwd", "give a PNG"),
        ("/etc/passwd", "give a PNG"),
        ("http://127.0.0.1/", "give a PNG"),
        ("data:image/png;base64,%%%", "not base64"),
        (url(encoded(COLOURS, "GIF")), "cannot be read"),  # except those that browsers make
        (url(encoded(COLOURS, "TIFF"), "tiff"), "cannot be read"),
    ],
)
def test_a_client_of_a_server_sends_pictures_and_names_no_files(text: str, reason: str) -> None:
    with pytest.raises(ControlError, match=reason):
        read_sent(LOOK, text, 1_000_000)


def test_a_server_takes_so_many_pixels() -> None:
    assert read_sent(LOOK, url(encoded(COLOURS)), 48).shape == (6, 8, 3)
    with pytest.raises(ControlError, match="look is 8x6 px; the limit is 47 pixels"):
        read_sent(LOOK, url(encoded(COLOURS)), 47)


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (3, "look is 3; give a picture"),
        ("", "look is ''; give a picture"),
        ("a\0b", "give a picture"),
        (HALF, r"an array of shape \(6, 8\); give \[h w 3\]"),
        (np.zeros((0, 4, 3), np.uint8), "give"),
        (COLOURS.astype(np.int32), "an array of int32; give uint8"),
        (COLOURS.astype(np.float32), "look runs from 0 to 2.*; floats are 0 to 1"),
        (np.full((2, 2, 3), np.nan), "runs from nan"),
    ],
)
def test_a_value_that_is_no_picture_is_named(value: object, reason: str) -> None:
    with pytest.raises(ControlError, match=reason):
        read_picture(LOOK, value)


def test_files_and_addresses_that_are_not_there_are_named(tmp_path: Path, address: str) -> None:
    with pytest.raises(SourceNotFoundError, match=r"look .*nothing\.png: no such file"):
        read_picture(LOOK, tmp_path / "nothing.png")
    with pytest.raises(SourceNotFoundError, match="cannot be opened"):
        read_picture(LOOK, tmp_path)
    with pytest.raises(SourceNotFoundError, match=r"cannot be fetched .*404"):
        read_picture(LOOK, f"{address}/nothing.png")
    for odd in ("odd.png?key=secret", "a b.png?key=secret", "\N{SNOWMAN}.png?key=secret"):
        with pytest.raises(SourceNotFoundError, match=r"^look .*cannot be fetched") as refused:
            read_picture(LOOK, f"{address}/{odd}")
        assert "secret" not in str(refused.value)


def test_a_file_of_gigabytes_is_not_read(tmp_path: Path) -> None:
    with (tmp_path / "huge.png").open("wb") as file:
        file.truncate(MAX_BYTES + 1)
    with pytest.raises(ControlError, match=r"huge\.png has 67,108,865 bytes; the limit is 67,108,864"):
        read_picture(LOOK, tmp_path / "huge.png")


def test_a_mask_of_the_stream_is_read_the_same_way(address: str) -> None:
    for given in (encoded(HALF), bytearray(encoded(HALF)), url(encoded(HALF)), HALF):
        mask = open_mask(given)
        assert mask is not None
        assert mask.region((8, 6), 0.0).box == (0, 0, 3, 6)
    mask = open_mask(f"{address}/look.png")
    assert mask is not None
    assert mask.region((8, 6), 0.0).box == (0, 0, 8, 6)
