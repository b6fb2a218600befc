"""Verification of a file's credentials, watermark and label, in bounded time and memory."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote, urlsplit

from vivace.errors import SourceLostError, SourceNotFoundError, SourceUnsupportedError, UsageError
from vivace.redaction import redact_address, redact_error
from vivace.trust.report import Report

CHUNK_BYTES = 2**20


@dataclass(frozen=True, slots=True)
class Bounds:
    """Limits of looking at one file."""

    time_s: float = 60.0
    """Longest time of reading, and once more of downloading, s."""
    download_bytes: int = 2**30


def verify(source: str | Path, *, trusted: Path | None = None, bounds: Bounds = Bounds()) -> Report:
    """Look at a file, or at what an http(s) address gives.

    Args:
        source: path or address.
        trusted: PEM file with certificates of who is trusted to vouch for signers.
        bounds: what it may cost.

    Raises:
        SourceNotFoundError: no such file or address.
        SourceUnsupportedError: it is no file, or larger than may be downloaded.
        SourceLostError: the download broke off or took too long.
        UsageError: `trusted` holds no certificates.
    """
    if trusted is not None:
        _check_trusted(trusted)
    text = str(source)
    scheme = urlsplit(text).scheme.lower() if "://" in text else ""
    if scheme not in ("", "file", "http", "https"):
        raise SourceUnsupportedError(f"{redact_address(text)}: give a file, or an http or https address of one")
    if scheme in ("http", "https"):
        with tempfile.TemporaryDirectory(prefix="vivace-verify-") as folder:
            name = PurePosixPath(unquote(urlsplit(text).path)).name.replace("\0", "")[-100:].lstrip(".")
            path = Path(folder) / (name or "file")
            _download(text, path, bounds)
            return _looked(path, trusted, bounds)
    path = Path(unquote(urlsplit(text).path) if scheme else text)
    try:
        if not path.is_file():
            what = "is a folder; name a file in it" if path.is_dir() else "no such file"
            raise SourceNotFoundError(f"{path}: {what}")
    except (OSError, ValueError) as error:
        raise SourceNotFoundError(f"{text[:100]}: no such file") from error
    return _looked(path.absolute(), trusted, bounds)


def _looked(path: Path, trusted: Path | None, bounds: Bounds) -> Report:
    """Have a program of its own look at a file, and return what it had found by its end."""
    command = [sys.executable, "-P", "-m", "vivace.trust.reading", str(path)]
    command += [] if trusted is None else [str(trusted.absolute())]
    note = ""
    # threads of OpenBLAS wait for each other: beside other work, minutes for what takes one a second
    one_thread = {**os.environ, "OPENBLAS_NUM_THREADS": "1"}
    try:
        done = subprocess.run(command, capture_output=True, timeout=bounds.time_s, check=False, env=one_thread)
        said, failed = done.stdout, done.returncode
        if failed:
            note = _reason(failed, done.stderr)
    except subprocess.TimeoutExpired as error:
        said, note = error.stdout or b"", f"looking at it was given up after {bounds.time_s:g} s"
    parts: dict[str, Any] = {}
    for line in said.splitlines(keepends=True):
        if line.endswith(b"\n"):
            parts |= json.loads(line)
    notes = [*parts.pop("notes", ()), *([note] if note else ())]
    return Report.model_validate({"name": path.name, "notes": notes, **parts})


def _reason(code: int, said: bytes) -> str:
    lines = said.decode(errors="replace").strip().splitlines()
    last = lines[-1][:200] if lines else ""
    how = f"ended by signal {-code}" if code < 0 else f"failed ({last or code})"
    return f"the program that looked at it {how}; it may need more memory than such a file may take"


def _download(address: str, path: Path, bounds: Bounds) -> None:
    shown = redact_address(address)
    too_large = SourceUnsupportedError(f"{shown}: is larger than {bounds.download_bytes >> 20} MiB; download it first")
    began_s = time.monotonic()
    try:
        with urllib.request.urlopen(address, timeout=10) as answer, path.open("wb") as file:
            left = bounds.download_bytes
            while chunk := answer.read1(CHUNK_BYTES):
                left -= len(chunk)
                if left < 0:
                    raise too_large
                if time.monotonic() - began_s > bounds.time_s:
                    raise SourceLostError(f"{shown}: the download took longer than {bounds.time_s:g} s")
                file.write(chunk)
    except urllib.error.HTTPError as error:
        raise SourceNotFoundError(f"{shown}: the server answers {error.code} ({error.reason})") from redact_error(error)
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", None) or error
        raise SourceLostError(f"{shown}: cannot be downloaded ({reason})") from redact_error(error)


def _check_trusted(path: Path) -> None:
    from cryptography import x509

    try:
        x509.load_pem_x509_certificates(path.read_bytes())
    except OSError as error:
        raise UsageError(f"{path}: cannot be read ({error.strerror}); name a PEM file of certificates") from error
    except ValueError as error:
        raise UsageError(f"{path} holds no certificate in PEM form; name a file that does") from error
