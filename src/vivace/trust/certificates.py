"""Certificates and their private keys as PEM files: read and checked, and kept where nobody else can read them."""

from __future__ import annotations

import os
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes

from vivace.errors import UsageError

PEM = serialization.Encoding.PEM


class Flags(NamedTuple):
    """Flags that name the two files, for messages."""

    certificate: str
    key: str


class Pair(NamedTuple):
    """A chain of certificates, valid now, and the private key of its first."""

    chain: tuple[x509.Certificate, ...]
    private: PrivateKeyTypes

    @property
    def leaf(self) -> x509.Certificate:
        """The certificate of the key."""
        return self.chain[0]

    @property
    def private_pem(self) -> bytes:
        """The key, not encrypted."""
        return self.private.private_bytes(PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())


def read_chain(certificate: Path, now: datetime, flags: Flags) -> tuple[x509.Certificate, ...]:
    """Return the certificates in a file, the first of which is valid now.

    Raises:
        UsageError: the file cannot be used; the message names the flag.
    """
    try:
        chain = tuple(x509.load_pem_x509_certificates(_read(certificate, flags)))
    except ValueError as error:
        raise UsageError(
            f"{certificate} holds no certificate in PEM form, from -----BEGIN CERTIFICATE----- on"
        ) from error
    begins, ends = chain[0].not_valid_before_utc, chain[0].not_valid_after_utc
    if not begins <= now <= ends:
        raise UsageError(
            f"the certificate in {certificate} is valid from {begins:%Y-%m-%d} to {ends:%Y-%m-%d}; renew it"
        )
    return chain


def read_pair(certificate: Path, key: Path, now: datetime, flags: Flags) -> Pair:
    """Return a certificate with its chain, and its key.

    Raises:
        UsageError: one of the files cannot be used, or they are no pair; the message names the flag.
    """
    chain = read_chain(certificate, now, flags)
    try:
        private = serialization.load_pem_private_key(_read(key, flags), None)
    except TypeError as error:
        raise UsageError(
            f"the private key in {key} is encrypted, and nobody can be asked for its password; write it without: "
            f"openssl pkey -in {key} -out plain.pem"
        ) from error
    except (ValueError, UnsupportedAlgorithm) as error:
        raise UsageError(f"{key} holds no private key in PEM form; name the file that does with {flags.key}") from error
    if private.public_key() != chain[0].public_key():
        raise UsageError(f"the private key in {key} is not that of the certificate in {certificate}; give a pair")
    return Pair(chain, private)


def write_pair(path: Path, pair: Pair) -> None:
    """Write a key and its chain into one file, at once and for its owner alone, and its folder if there is none.

    Raises:
        OSError: it cannot be written; what was there is kept.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    beside = path.with_suffix(f".{os.getpid()}")
    beside.unlink(missing_ok=True)
    try:
        with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as out:
            out.write(b"".join(certificate.public_bytes(PEM) for certificate in pair.chain) + pair.private_pem)
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)  # of a disk that is full; half a private key is kept nowhere


def _read(path: Path, flags: Flags) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise UsageError(
            f"{path} cannot be read ({error.strerror}); name another PEM file with {flags.certificate}, {flags.key}"
        ) from error
