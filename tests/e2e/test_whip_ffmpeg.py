"""FFmpeg publishes by WHIP to a server and is painted; it is disconnected by its own goodbye."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from http_fakes import settings_for
from live_server import LiveServer, live_server
from patience import PATIENCE_S
from vivace.media.frame import Rgb
from vivace.serve.rtc import make_peer_factory

PUBLISHER = Path(__file__).parent / "whip_publisher.py"
FRAMES = 75


def write_certificate(folder: Path, kind: str) -> tuple[Path, Path]:
    """Write a certificate: RSA, as GStreamer 1.22's, or on the common curve; GnuTLS's is on another."""
    key = rsa.generate_private_key(65537, 2048) if kind == "rsa" else ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "publisher")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    plain = serialization.NoEncryption()
    paths = folder / "certificate.pem", folder / "key.pem"
    paths[0].write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    paths[1].write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain))
    return paths


async def painted(server: LiveServer, process: subprocess.Popen[str]) -> Rgb | None:
    """Return a picture of the session that appears, as long as the publisher runs."""
    while process.poll() is None:
        for session in server.manager.sessions():
            async for frame in session.subscribe():
                return frame.rgb
        await asyncio.sleep(0.02)
    return None


@pytest.mark.parametrize("kind", ["ec", "rsa"])
def test_ffmpeg_publishes_by_whip(kind: str, tmp_path: Path) -> None:
    certificate, key = write_certificate(tmp_path, kind)
    settings = settings_for(size=(128, 96))
    with live_server(settings, peers=make_peer_factory(settings)) as server:
        command = [sys.executable, PUBLISHER, f"{server.url}/whip?prompt=red", certificate, key, str(FRAMES)]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        try:
            rgb = asyncio.run(painted(server, process))
            said, _ = process.communicate(timeout=PATIENCE_S)
        finally:
            process.kill()
        assert process.returncode == 0, said
        assert rgb is not None, said
        red, green, blue = rgb.mean((0, 1))
        assert red - max(green, blue) > 40, "painted as the address asks"
        assert np.ptp([green, blue]) < 20
        assert not server.manager.sessions(), "its DELETE ended the session"
        assert server.manager.snapshot().ended == {"client": 1}
