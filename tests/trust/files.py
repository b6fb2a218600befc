"""Files and certificates for the tests of this folder."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from fractions import Fraction
from pathlib import Path
from typing import Any, cast

import av
import numpy as np
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from PIL import Image

from vivace.media.frame import Frame
from vivace.media.open import open_sink
from vivace.trust import keys
from vivace.trust.certificates import Pair
from vivace.trust.library import PURPOSES
from vivace.trust.manifest import Work

NOW = datetime.now(UTC)
EMAIL = next(iter(PURPOSES))


def work(**more: Any) -> Work:
    return Work(**{"source": "clip.mp4", "model": "mini", "painted": True, **more})


def picture(path: Path, seed: int = 0) -> Path:
    noise = np.random.default_rng(seed).integers(0, 256, (64, 64, 3), np.uint8)
    Image.fromarray(noise).save(path)
    return path


def video(path: Path, frames: int = 4) -> Path:
    rgb = np.full((64, 64, 3), 90, np.uint8)
    with open_sink(path, fps=25) as sink:
        for index in range(frames):
            sink.write(Frame(rgb + np.uint8(index), index, index, Fraction(1, 25), 0.0))
    return path


def any_file(path: Path) -> Path:
    if path.suffix == ".avi":
        with av.open(path, "w") as container:
            stream = container.add_stream("mpeg4", rate=25)
            stream.width = stream.height = 64
            stream.pix_fmt = "yuv420p"
            for _ in range(2):
                container.mux(stream.encode(av.VideoFrame(64, 64, "yuv420p")))
            container.mux(stream.encode(None))
        return path
    return video(path) if path.suffix in (".mp4", ".m4v", ".mov", ".gif", ".mkv", ".webm") else picture(path)


def changed(path: Path) -> None:
    """Change a byte of the pictures in a file."""
    data = bytearray(path.read_bytes())
    data[data.rindex(b"mdat") + 16 if b"mdat" in data else -20] ^= 1
    path.write_bytes(bytes(data))


def users_pair(purpose: str | None = EMAIL, private: Any = None, ends: timedelta = timedelta(days=30)) -> Pair:
    """Return a certificate as an authority would issue it, for one purpose."""
    authority = keys._new_authority(NOW - timedelta(days=400))
    private = private or ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "Ada"), *keys._named("", authority.private)])
    builder = keys._begun(authority.leaf.subject, name, private, NOW - timedelta(days=90), timedelta(days=90) + ends)
    builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
    builder = builder.add_extension(x509.KeyUsage(**keys._NO_USAGE | {"digital_signature": True}), critical=True)
    if purpose is not None:
        builder = builder.add_extension(x509.ExtendedKeyUsage([x509.ObjectIdentifier(purpose)]), critical=False)
    issuer = cast(Any, authority.private)
    known = x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer.public_key())
    leaf = builder.add_extension(known, critical=False).sign(issuer, hashes.SHA256())
    return Pair((leaf, authority.leaf), private)
