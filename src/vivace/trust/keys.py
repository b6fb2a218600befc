"""Signing keys: a certificate of the user's, its key in a file or behind a command, or one made on first use.

What is made is a certificate authority of this user on this machine (`authority.pem`) and a signer that it certifies
(`signer.pem`), both ES256, with their private keys, readable by nobody else. Nobody vouches for them: what they sign is
valid and not trusted, but by those who take the authority's certificate (`export_authority`).
"""

from __future__ import annotations

import shlex
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature
from cryptography.x509.oid import NameOID

from vivace.errors import SinkWriteError, UsageError
from vivace.settings import state_folder
from vivace.trust.certificates import PEM, Flags, Pair, read_chain, read_pair, write_pair
from vivace.trust.library import PURPOSES

FLAGS = Flags("--sign-certificate", "--sign-key")
AUTHORITY_VALID_FOR = timedelta(days=20 * 365)
SIGNER_VALID_FOR = timedelta(days=10 * 365)
"""Signatures are valid as long as the certificate: nobody is asked for a time stamp."""
RENEWED_BEFORE = timedelta(days=365)
COMMAND_S = 60.0
"""Time for a command to sign: somebody may have to touch a token."""

_CURVES = {"secp256r1": ("ES256", hashes.SHA256()), "secp384r1": ("ES384", hashes.SHA384())}
_CURVES |= {"secp521r1": ("ES512", hashes.SHA512())}
_PSS = padding.PSS(padding.MGF1(hashes.SHA256()), hashes.SHA256.digest_size)
_MAILS = x509.ExtendedKeyUsage([x509.ObjectIdentifier(next(iter(PURPOSES)))])
_NO_USAGE = dict.fromkeys(
    [
        *("digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement"),
        *("key_cert_sign", "crl_sign", "encipher_only", "decipher_only"),
    ],
    False,
)


@dataclass(frozen=True, slots=True)
class SigningKey:
    """Certificate chain and private key, or the command that signs."""

    chain: tuple[x509.Certificate, ...]
    """The signer's certificate first."""
    algorithm: str
    """As the library names it: `ES256`, `PS256`, `ED25519`, …"""
    private_pem: bytes | None = field(default=None, repr=False)
    """The private key, where it is known."""
    sign: Callable[[bytes], bytes] | None = None
    """Signs bytes where it is not, in COSE's form. Raises SinkWriteError where that fails."""
    made_here: bool = False
    """True where it was made here, so that nobody vouches for it."""

    @property
    def name(self) -> str:
        """Common name of the signer."""
        return _common_name(self.chain[0])

    @property
    def chain_pem(self) -> bytes:
        """The certificates."""
        return b"".join(certificate.public_bytes(PEM) for certificate in self.chain)


def open_key(
    certificate: Path | None = None,
    key: Path | None = None,
    command: str | None = None,
    now: datetime | None = None,
    folder: Path | None = None,
) -> SigningKey:
    """Return the key to sign with.

    Args:
        certificate: PEM file with the chain; None: one made here, on first use.
        key: PEM file of its private key; None: the certificate's file holds it.
        command: signs in place of a key: gets the bytes on standard input and answers with the signature.
        now: the time.
        folder: where what is made here is kept; None: `credentials` in the user's folder of state.

    Raises:
        UsageError: a file cannot be used, the certificate may not sign, or one cannot be made.
    """
    now = now or datetime.now(UTC)
    if certificate is None:
        if key is not None or command is not None:
            given = f"{FLAGS.key} {key}" if command is None else f"--sign-command {command}"
            raise UsageError(f"{given} has no certificate; give it with {FLAGS.certificate}")
        return _made_here(folder or key_folder(), now)
    if command is None:
        signing = _signing(read_pair(certificate, key or certificate, now, FLAGS), made_here=False)
    elif key is not None:
        raise UsageError(f"{FLAGS.key} and --sign-command both sign; give one of them")
    else:
        chain = read_chain(certificate, now, FLAGS)
        algorithm, _ = _algorithm(chain[0].public_key())
        signing = SigningKey(chain, algorithm, sign=_by_command(shlex.split(command), chain[0].public_key()))
    _check_purpose(certificate, signing.chain[0])
    return signing


def rotate(now: datetime | None = None, folder: Path | None = None, *, authority: bool = False) -> SigningKey:
    """Make another signer, certified by the same authority, or by another one, too; the keys before are gone.

    Raises:
        UsageError: they cannot be kept.
    """
    now, folder = now or datetime.now(UTC), folder or key_folder()
    try:
        pair = _make(folder, now, new_authority=authority)
    except OSError as error:
        raise _no_place(folder, error) from error
    return _signing(pair, made_here=True)


def export_authority(folder: Path | None = None) -> bytes:
    """Return the certificate, in PEM form, by which others can trust what is signed here; it holds no secret.

    Raises:
        UsageError: it can neither be read nor made.
    """
    return open_key(folder=folder).chain[-1].public_bytes(PEM)


def key_folder() -> Path:
    """Return where what is made here is kept.

    Raises:
        UsageError: the user has no home.
    """
    try:
        return state_folder() / "credentials"
    except RuntimeError as error:  # nobody is at home
        raise _no_place(Path("~"), error) from error


def _no_place(folder: Path, error: Exception) -> UsageError:
    reason = getattr(error, "strerror", None) or error
    return UsageError(
        f"the key that signs what is written cannot be kept in {folder} ({reason}); name another folder with "
        f"XDG_STATE_HOME, give a certificate with {FLAGS.certificate}, or write without credentials: --no-sign, or "
        "VIVACE_MARKS=none"
    )


def _made_here(folder: Path, now: datetime) -> SigningKey:
    path = folder / "signer.pem"
    try:
        pair = read_pair(path, path, now, FLAGS)
        if now > pair.leaf.not_valid_after_utc - RENEWED_BEFORE:
            raise UsageError("it runs out soon")
    except UsageError:  # none yet, or one that ran out
        try:
            pair = _make(folder, now)
        except OSError as error:
            raise _no_place(folder, error) from error
    return _signing(pair, made_here=True)


def _make(folder: Path, now: datetime, *, new_authority: bool = False) -> Pair:
    """Make a signer, and an authority where there is none that lasts as long. Raises OSError; keys are kept then."""
    path = folder / "authority.pem"
    authority = None if new_authority else _lasting_authority(path, now)
    if authority is None:
        authority = _new_authority(now)
        write_pair(path, authority)
    signer = _new_signer(authority, now)
    write_pair(folder / "signer.pem", signer)
    return signer


def _lasting_authority(path: Path, now: datetime) -> Pair | None:
    try:
        return read_pair(path, path, now + SIGNER_VALID_FOR, FLAGS)
    except UsageError:
        return None


def _new_authority(now: datetime) -> Pair:
    key = ec.generate_private_key(ec.SECP256R1())
    name = _named("local authority", key)
    made = (
        _begun(name, name, key, now, AUTHORITY_VALID_FOR)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(x509.KeyUsage(**_NO_USAGE | {"key_cert_sign": True, "crl_sign": True}), critical=True)
        .sign(key, hashes.SHA256())
    )
    return Pair((made,), key)


def _new_signer(authority: Pair, now: datetime) -> Pair:
    key = ec.generate_private_key(ec.SECP256R1())
    issuer: Any = authority.private
    made = (
        _begun(authority.leaf.subject, _named("local signer", key), key, now, SIGNER_VALID_FOR)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.KeyUsage(**_NO_USAGE | {"digital_signature": True}), critical=True)
        .add_extension(_MAILS, critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer.public_key()), critical=False)
        .sign(issuer, hashes.SHA256())
    )
    return Pair((made, authority.leaf), key)


def _begun(
    issuer: x509.Name, name: x509.Name, key: ec.EllipticCurvePrivateKey, now: datetime, valid_for: timedelta
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder(issuer, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))  # for clocks that are behind
        .not_valid_after(now + valid_for)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )


def _named(what: str, key: ec.EllipticCurvePrivateKey) -> x509.Name:
    """Return a name that tells signers apart and says nothing of the machine or its user."""
    number = x509.SubjectKeyIdentifier.from_public_key(key.public_key()).digest.hex()[:8]
    return x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Vivace, not verified"),
            x509.NameAttribute(NameOID.COMMON_NAME, f"{what} {number}"),
        ]
    )


def _common_name(certificate: x509.Certificate) -> str:
    names = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    return str(names[0].value) if names else certificate.subject.rfc4514_string()


def _check_purpose(path: Path, leaf: x509.Certificate) -> None:
    try:
        purposes = leaf.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except x509.ExtensionNotFound:
        purposes = x509.ExtendedKeyUsage([])
    if not any(purpose.dotted_string in PURPOSES for purpose in purposes):
        raise UsageError(
            f"the certificate in {path} is not made for signing content; it needs one of the purposes (extended key "
            f"usages) {', '.join(f'{name} ({oid})' for oid, name in PURPOSES.items())}"
        )
    if leaf.issuer == leaf.subject:
        raise UsageError(f"the certificate in {path} is signed by itself, which nobody takes; let an authority sign it")


def _algorithm(public: object) -> tuple[str, hashes.HashAlgorithm | None]:
    """Return what COSE calls signing with a key, and the hash that is signed.

    Raises:
        UsageError: with such a key nothing is signed.
    """
    if isinstance(public, ec.EllipticCurvePublicKey) and public.curve.name in _CURVES:
        return _CURVES[public.curve.name]
    if isinstance(public, rsa.RSAPublicKey) and public.key_size >= 2048:
        return "PS256", hashes.SHA256()
    if isinstance(public, ed25519.Ed25519PublicKey):
        return "ED25519", None
    raise UsageError("the signing key is of no kind that C2PA takes: P-256, P-384, P-521, RSA from 2048 bits, Ed25519")


def _signing(pair: Pair, *, made_here: bool) -> SigningKey:
    algorithm, _ = _algorithm(pair.leaf.public_key())
    return SigningKey(pair.chain, algorithm, pair.private_pem, made_here=made_here)


def _joined(der: bytes, public: ec.EllipticCurvePublicKey) -> bytes:
    """Return the two numbers of an ECDSA signature, one after the other, as COSE has them."""
    length = (public.key_size + 7) // 8
    return b"".join(number.to_bytes(length, "big") for number in decode_dss_signature(der))


def _by_command(words: list[str], public: Any) -> Callable[[bytes], bytes]:
    """Return what lets a command sign. Of ECDSA it may answer in either form, so both are tried on the certificate."""
    _, digest = _algorithm(public)

    def sign(data: bytes) -> bytes:
        try:
            done = subprocess.run(words, input=data, capture_output=True, timeout=COMMAND_S, check=True)
        except (OSError, subprocess.SubprocessError) as error:
            said = (getattr(error, "stderr", None) or b"").decode(errors="replace").strip()[-200:]
            raise SinkWriteError(f"the command that signs failed ({said or error})") from error
        for signature in (_separated(done.stdout, public), done.stdout):
            try:
                if isinstance(public, ec.EllipticCurvePublicKey):
                    public.verify(signature, data, ec.ECDSA(digest or hashes.SHA256()))
                    return _joined(signature, public)
                public.verify(signature, data, *((_PSS, digest) if digest else ()))
            except (InvalidSignature, ValueError):
                continue
            return signature
        raise SinkWriteError(
            "what the command that signs has answered is no signature of the certificate's key, over the bytes on its "
            "standard input"
        )

    return sign


def _separated(joined: bytes, public: Any) -> bytes:
    """Return an ECDSA signature in the form of X.509, where it is in that of COSE; any other as it is."""
    if not isinstance(public, ec.EllipticCurvePublicKey) or len(joined) != 2 * ((public.key_size + 7) // 8):
        return joined
    half = len(joined) // 2
    return encode_dss_signature(int.from_bytes(joined[:half], "big"), int.from_bytes(joined[half:], "big"))
