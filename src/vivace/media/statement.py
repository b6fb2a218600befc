"""Statements in files and streams that pictures are painted: XMP of pictures, a comment and SEI of videos."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

import av
from PIL import Image

from vivace.media.images import DAMAGED, PNG_XMP

SEI_UUID = uuid.UUID("7f0e4c5a-2f64-5b0e-9d0c-5a4c8a3b1e76")
"""Tells our messages in an H.264 stream from those of others."""

PACKETS = 300
"""Packets of a video that are searched for statements: ten seconds."""
TEXT_CHARS = 2**20

_XMP = """<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
<rdf:Description rdf:about="" xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/"
 xmlns:dc="http://purl.org/dc/elements/1.1/" Iptc4xmpExt:DigitalSourceType="{source_type}">
<dc:description><rdf:Alt><rdf:li xml:lang="x-default">{words}</rdf:li></rdf:Alt></dc:description>
</rdf:Description></rdf:RDF></x:xmpmeta>
<?xpacket end="w"?>"""


@dataclass(frozen=True, slots=True)
class Statement:
    """Statement of how painted pictures came to be."""

    words: str
    """For people."""
    source_type: str
    """The same in IPTC's vocabulary of digital source types: an address."""

    @property
    def text(self) -> str:
        """Both, for places that hold a line."""
        return f"{self.words}; {self.source_type}"

    def xmp(self) -> bytes:
        """Return it as picture files hold it."""
        return _XMP.format(words=escape(self.words), source_type=escape(self.source_type)).encode()

    def in_packet(self, packet: Any) -> Any:
        """Return a packet of H.264, with start codes, that says it: as SEI, which stays when a stream is copied."""
        said = av.Packet(_sei(self.text) + bytes(packet))
        for name in ("pts", "dts", "time_base", "duration", "is_keyframe", "stream"):
            setattr(said, name, getattr(packet, name))
        return said


def _sei(text: str) -> bytes:
    """Return a NAL unit of user data that is not registered (H.264, D.1.7), behind a start code."""
    payload = SEI_UUID.bytes + text.encode()
    size = b"\xff" * (len(payload) // 255) + bytes([len(payload) % 255])
    body = b"\x06\x05" + size + payload + b"\x80"
    return b"\0\0\0\1" + _without_start_codes(body)


def _without_start_codes(body: bytes) -> bytes:
    """Return a NAL unit with a 3 put into what would be taken for a start code (H.264, 7.4.1)."""
    written, zeros = bytearray(), 0
    for byte in body:
        if zeros == 2 and byte <= 3:
            written.append(3)
            zeros = 0
        written.append(byte)
        zeros = zeros + 1 if byte == 0 else 0
    return bytes(written)


def words_in(path: Path) -> Iterator[tuple[str, str]]:
    """Yield what a file says in its own words, with the place where: `XMP`, `comment` (any tag of a video), `SEI`."""
    try:
        with Image.open(path) as image:
            for name in ("xmp", PNG_XMP):
                yield "XMP", _text(image.info.get(name, ""))
            return
    except DAMAGED:
        pass  # no picture
    try:
        with av.open(f"file:{path}") as container:
            yield from (("comment", _text(value)) for value in container.metadata.values())
            if container.streams.video:
                yield from (("SEI", text) for text in _sei_in(container))
    except (av.FFmpegError, OSError, ValueError):
        pass  # nor a video


def _sei_in(container: Any) -> Iterator[str]:
    for count, packet in enumerate(container.demux(container.streams.video[0])):
        _, found, text = bytes(packet).partition(SEI_UUID.bytes)
        if found:
            yield _text(text[:300])
        if count >= PACKETS:
            return


def _text(value: object) -> str:
    return (value.decode(errors="replace") if isinstance(value, bytes) else str(value))[:TEXT_CHARS]
