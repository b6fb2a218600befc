"""HTTPS of the server itself: a certificate that is given, or one that it makes for the names this machine has."""

from __future__ import annotations

import ipaddress
import re
import socket
import ssl
from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from vivace.errors import UsageError
from vivace.rtc.transport_seams import host_addresses
from vivace.serve.settings import ServeSettings
from vivace.settings import state_folder
from vivace.trust.certificates import Flags, Pair, read_pair, write_pair

VALID_FOR = timedelta(days=397)
"""Validity of a certificate that is made; some browsers take none that is valid for longer."""
FLAGS = Flags("--tls-cert", "--tls-key")
RENEWED_BEFORE = timedelta(days=30)

_HOST_NAME = re.compile(r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?")


@dataclass(frozen=True, slots=True)
class Tls:
    """A certificate that fits its key, and is valid now."""

    certificate_path: Path
    key_path: Path
    """The same file where it holds both."""
    leaf: x509.Certificate
    self_made: bool

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the certificate as browsers show it, `AB:CD:…`."""
        return self.leaf.fingerprint(hashes.SHA256()).hex(":").upper()


def reachable_hosts(host: str) -> list[str]:
    """Return the addresses at which a server that listens on `host` is found, this machine's own last."""
    try:
        everywhere = host == "" or ipaddress.ip_address(host).is_unspecified
    except ValueError:
        everywhere = False
    if not everywhere:
        return [host]
    found = host_addresses(ipv6=":" in host)
    return [
        *(each for each in found if not ipaddress.ip_address(each).is_loopback),
        "::1" if ":" in host else "127.0.0.1",
    ]


def open_tls(settings: ServeSettings, now: datetime | None = None) -> Tls | None:
    """Return what a server speaks HTTPS with, None where it speaks HTTP.

    Raises:
        UsageError: files that cannot be used, or a certificate that cannot be made.
    """
    now = now or datetime.now(UTC)
    given, key = settings.tls_cert, settings.tls_key
    if settings.tls_self_signed:
        if given is not None or key is not None:
            raise UsageError("--tls-self-signed makes a certificate, and --tls-cert brings one; give one of them")
        return _self_signed(state_folder() / "self-signed.pem", _names(settings), now)
    if given is not None:
        return _checked(given, key or given, now)
    if key is not None:
        raise UsageError(f"the key {key} (--tls-key) has no certificate; give it with --tls-cert")
    return None


def _checked(certificate: Path, key: Path, now: datetime, *, self_made: bool = False) -> Tls:
    """Return a certificate and its key, if they can be used.

    Raises:
        UsageError: they cannot.
    """
    leaf = read_pair(certificate, key, now, FLAGS).leaf
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key)
    except ssl.SSLError as error:
        raise UsageError(f"{certificate} cannot be used for HTTPS ({error.reason}); give another") from error
    return Tls(certificate, key, leaf, self_made)


def _self_signed(path: Path, names: Collection[str], now: datetime) -> Tls:
    """Return the certificate that is kept at a path, a new one if it is not for all names or runs out soon."""
    try:
        kept = _checked(path, path, now, self_made=True)
        if set(names) <= _names_in(kept.leaf) and now < kept.leaf.not_valid_after_utc - RENEWED_BEFORE:
            return kept
    except UsageError:  # none yet, or one that ran out
        pass
    key = ec.generate_private_key(ec.SECP256R1())
    try:
        write_pair(path, Pair((_certificate(key, names, now),), key))
    except OSError as error:
        raise UsageError(
            f"a certificate cannot be kept at {path} ({error.strerror}); name another folder with XDG_STATE_HOME, or "
            "give one with --tls-cert"
        ) from error
    return _checked(path, path, now, self_made=True)


def _certificate(key: ec.EllipticCurvePrivateKey, names: Collection[str], now: datetime) -> x509.Certificate:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Vivace, self-signed")])
    return (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))  # for clocks that are behind
        .not_valid_after(now + VALID_FOR)
        .add_extension(x509.SubjectAlternativeName([_general_name(each) for each in names]), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .sign(key, hashes.SHA256())
    )


def _names(settings: ServeSettings) -> list[str]:
    """Return the names and addresses that a certificate of this machine is for."""
    machine = socket.gethostname().lower()
    announced = [] if settings.announced_address is None else [settings.announced_address]
    wanted = [*reachable_hosts(settings.host), *announced, "localhost", "127.0.0.1", "::1"]
    wanted += [machine, f"{machine.partition('.')[0]}.local"]
    return [each for each in dict.fromkeys(map(str.lower, wanted)) if _is_address(each) or _HOST_NAME.fullmatch(each)]


def _names_in(certificate: x509.Certificate) -> set[str]:
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return set()
    return {str(name.value) for name in names}


def _general_name(name: str) -> x509.GeneralName:
    return x509.IPAddress(ipaddress.ip_address(name)) if _is_address(name) else x509.DNSName(name)


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
