"""HTTPS: an unusable certificate is reported before anything is loaded, and a self-made one is kept."""

from __future__ import annotations

import asyncio
import hashlib
import re
import socket
import ssl
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

import vivace.client
from fakes import FakeModel
from http_fakes import settings_for
from live_server import live_server
from vivace.client import ServerUnreachableError
from vivace.errors import UsageError
from vivace.serve import main, tls
from vivace.serve.settings import ServeSettings
from vivace.serve.tls import Tls, open_tls, reachable_hosts

NOW = datetime.now(UTC)
PLAIN = serialization.NoEncryption()
SECRET = "s" * 64


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the folder in which a server of this test keeps its certificate."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setattr(tls, "host_addresses", lambda *, ipv6: ["2001:db8::7"] if ipv6 else ["192.0.2.7"])
    return tmp_path / "state" / "vivace"


def write_pair(folder: Path, now: datetime = NOW, encryption: Any = PLAIN) -> tuple[Path, Path]:
    """Write a certificate made at a given time, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    certificate, private = folder / "cert.pem", folder / "key.pem"
    pem = serialization.Encoding.PEM
    certificate.write_bytes(tls._certificate(key, ["localhost"], now).public_bytes(pem))
    private.write_bytes(key.private_bytes(pem, serialization.PrivateFormat.PKCS8, encryption))
    return certificate, private


def given(certificate: Path | None, key: Path | None, **more: Any) -> ServeSettings:
    return settings_for(tls_cert=certificate, tls_key=key, port=0, **more)


def self_signed(host: str = "127.0.0.1", now: datetime = NOW) -> Tls:
    made = open_tls(settings_for(tls_self_signed=True, host=host, token_secret=SECRET), now)
    assert made is not None
    return made


def test_a_server_speaks_https_and_nothing_else(tmp_path: Path) -> None:
    """Clients and control channel as over HTTP; without trust in the certificate, or with plain HTTP, nothing works."""
    used = open_tls(given(*write_pair(tmp_path)))
    assert used is not None
    trusting = ssl.create_default_context(cafile=used.certificate_path)
    trusting.check_hostname = False  # it is for localhost

    async def scene(url: str) -> None:
        async with vivace.client.connect(url, tls=trusting) as client, await client.open() as session:
            assert (await session.update(prompt="red")).applied == ["prompt"]
        for other in (url, url.replace("https", "http")):
            async with vivace.client.connect(other) as client:
                said = "certificate is not trusted here; give `tls`" if other == url else "is `vivace serve` running"
                with pytest.raises(ServerUnreachableError, match=said):
                    await client.quota()

    with live_server(tls=used) as server:
        assert server.url.startswith("https://")
        asyncio.run(scene(server.url))


def broken(kind: str, folder: Path) -> ServeSettings:
    """Return settings with invalid TLS files."""
    certificate, key = write_pair(folder)
    if kind == "certificate missing":
        return given(folder / "none.pem", key)
    if kind == "certificate a folder":
        return given(folder, key)
    if kind == "no certificate":
        certificate.write_text("hello")
    elif kind == "damaged certificate":
        certificate.write_bytes(certificate.read_bytes().replace(b"MII", b"AAA", 1))
    elif kind == "key missing":
        return given(certificate, folder / "none.pem")
    elif kind == "no key":
        key.write_text("hello")
    elif kind == "no key in one file":
        return given(certificate, None)
    elif kind == "key alone":
        return given(None, key)
    elif kind == "key of another":
        (folder / "other").mkdir()
        return given(certificate, write_pair(folder / "other")[1])
    elif kind == "key of another kind":
        pem, pkcs8 = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
        key.write_bytes(rsa.generate_private_key(65537, 2048).private_bytes(pem, pkcs8, PLAIN))
    elif kind == "encrypted":
        return given(*write_pair(folder, encryption=serialization.BestAvailableEncryption(b"secret")))
    elif kind == "run out":
        return given(*write_pair(folder, NOW - timedelta(days=400)))
    elif kind == "not yet valid":
        return given(*write_pair(folder, NOW + timedelta(days=3)))
    elif kind == "both ways":
        return given(certificate, key, tls_self_signed=True)
    return given(certificate, key)


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("certificate missing", "none.pem cannot be read"),
        ("certificate a folder", "cannot be read"),
        ("no certificate", "cert.pem holds no certificate"),
        ("damaged certificate", "cert.pem holds no certificate"),
        ("key missing", "none.pem cannot be read"),
        ("no key", "key.pem holds no private key"),
        ("no key in one file", "cert.pem holds no private key.*--tls-key"),
        ("key alone", "--tls-cert"),
        ("key of another", "not that of the certificate"),
        ("key of another kind", "not that of the certificate"),
        ("encrypted", "encrypted.*openssl pkey"),
        ("run out", "valid from .* renew"),
        ("not yet valid", "valid from .* renew"),
        ("both ways", "one of them"),
    ],
)
def test_what_cannot_be_used_is_told_before_a_model_is_loaded(kind: str, message: str, tmp_path: Path) -> None:
    loaded: list[str] = []

    def load(name: str) -> FakeModel:
        loaded.append(name)
        return FakeModel()

    with pytest.raises(UsageError, match=message) as refused:
        main.serve(broken(kind, tmp_path), load_model=load)
    assert not loaded
    assert "BEGIN PRIVATE" not in str(refused.value)


def test_certificate_and_key_may_lie_in_one_file(tmp_path: Path) -> None:
    certificate, key = write_pair(tmp_path)
    for parts in ((certificate, key), (key, certificate)):
        both = tmp_path / "both.pem"
        both.write_bytes(b"".join(part.read_bytes() for part in parts))
        used = open_tls(given(both, None))
        assert used is not None
        assert (used.certificate_path, used.key_path) == (both, both)


def test_a_certificate_of_our_own_is_for_what_the_machine_is_called_and_nobody_else_reads_its_key(state: Path) -> None:
    made = self_signed("0.0.0.0")
    assert made.certificate_path == state / "self-signed.pem"
    assert [path.name for path in state.iterdir()] == ["self-signed.pem"]
    assert stat.S_IMODE(made.certificate_path.stat().st_mode) == 0o600
    assert {"192.0.2.7", "127.0.0.1", "::1", "localhost"} <= tls._names_in(made.leaf)
    usage = made.leaf.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert [each._name for each in usage] == ["serverAuth"]


def test_it_is_kept_while_it_is_good_and_made_anew_when_not(state: Path) -> None:
    announced = settings_for(tls_self_signed=True, token_secret=SECRET, announced_address="203.0.113.7")
    assert "203.0.113.7" in tls._names(announced)
    first = self_signed("0.0.0.0")
    assert self_signed("0.0.0.0", NOW + timedelta(days=360)).leaf == first.leaf
    assert self_signed("127.0.0.1").leaf == first.leaf, "it is for more than is asked"
    renewed = self_signed("0.0.0.0", NOW + timedelta(days=370))
    assert renewed.leaf != first.leaf, "it runs out within 30 days"
    moved = self_signed("198.51.100.3", NOW + timedelta(days=370))
    assert "198.51.100.3" in tls._names_in(moved.leaf)
    path = state / "self-signed.pem"
    path.write_bytes(path.read_bytes()[:300])
    mended = self_signed()
    assert mended.leaf != moved.leaf, "a damaged one is no reason not to start"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_name_that_no_certificate_can_have_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "gethostname", lambda: "Königs_rechner")
    assert tls._names_in(self_signed().leaf) == {"127.0.0.1", "::1", "localhost"}


def test_a_folder_that_cannot_be_written_is_told(state: Path) -> None:
    state.parent.mkdir()
    state.write_text("a file")
    with pytest.raises(UsageError, match=r"cannot be kept.*XDG_STATE_HOME"):
        self_signed()


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("127.0.0.1", ["127.0.0.1"]),
        ("box.lan", ["box.lan"]),
        ("0.0.0.0", ["192.0.2.7", "127.0.0.1"]),
        ("::", ["2001:db8::7", "::1"]),
    ],
)
def test_where_a_server_is_found(host: str, expected: list[str]) -> None:
    assert reachable_hosts(host) == expected


def test_the_start_says_what_to_open_and_what_the_browser_will_say() -> None:
    settings = settings_for(host="0.0.0.0", token_secret=SECRET)
    made = self_signed("0.0.0.0")
    said = main.where(settings, 8787, made)
    assert re.search(r"^Vivace is at https://192\.0\.2\.7:8787 .*\n +or https://127\.0\.0\.1:8787$", said, re.M)
    assert str(made.certificate_path) in said
    fingerprint = hashlib.sha256(made.leaf.public_bytes(serialization.Encoding.DER)).digest().hex(":").upper()
    assert f"\n  {fingerprint}\n" in said
    assert "http://" not in said
    plain = main.where(settings, 8787, None)
    assert "--tls-self-signed" in plain
    assert "https://" not in plain
    assert "--tls" not in main.where(settings_for(), 8787, None), "a browser on this machine gives a camera"
    assert "https://[2001:db8::7]:8787" in main.where(settings_for(host="::", token_secret=SECRET), 8787, made)
