"""The C2PA library, imported when it is needed, with the settings that signing and reading share.

Its own defaults differ between the two: a certificate for document signing, or for C2PA's claim signing, is used by
neither, and what it has signed reads as invalid. Nothing of what is done here leaves the machine.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from c2pa import Context

PURPOSES = {
    "1.3.6.1.5.5.7.3.4": "e-mail protection",
    "1.3.6.1.5.5.7.3.36": "document signing",
    "1.3.6.1.4.1.62558.2.1": "C2PA claim signing",
}
"""Extended key usages of certificates that may sign, by their object identifiers."""
_OF_SERVICES = ("1.3.6.1.5.5.7.3.8", "1.3.6.1.5.5.7.3.9")
"""Time stamping and answers on revocation, whose certificates are in credentials beside the signer's."""


def context(trusted: bytes = b"") -> Context:
    """Return the library's settings.

    Args:
        trusted: certificates in PEM form; who was certified by one of them is trusted. Without any nobody is, and what
            is signed is `Valid` at best.

    Raises:
        c2pa.C2paError: `trusted` holds no certificates.
    """
    from c2pa import Context

    return Context.from_dict(
        {
            "version": 1,
            "trust": {
                "trust_config": "\n".join((*PURPOSES, *_OF_SERVICES)),
                **({"user_anchors": trusted.decode("ascii", "replace")} if trusted else {}),
            },
            "verify": {"verify_trust": True, "remote_manifest_fetch": False, "ocsp_fetch": False},
            # One is added unasked, of the picture and of each ingredient: it is larger than many pictures.
            "builder": {"thumbnail": {"enabled": False}},
        }
    )
