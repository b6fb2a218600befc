"""Flags that say how what is written is marked as repainted, the same for every command that writes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Group, Parameter

from vivace.errors import UsageError
from vivace.settings import Settings

if TYPE_CHECKING:
    from vivace.trust.keys import SigningKey
    from vivace.trust.label import LabelStyle

MARKS = Group("Marks", sort_key=7)


@Parameter(name="*")
@dataclass(frozen=True, slots=True, kw_only=True)
class MarkFlags:
    """The flags."""

    sign: Annotated[bool | None, Parameter(group=MARKS, show_default=False)] = None
    """Give files content credentials (C2PA), which say what was repainted, by what and of what. They do if not
    given."""
    sign_prompt: Annotated[bool, Parameter(group=MARKS, negative=(), show_default=False)] = False
    """Have them tell the prompts, too."""
    sign_certificate: Annotated[Path | None, Parameter(group=MARKS)] = None
    """PEM file of the certificate to sign with, with its chain; one that is made on this machine if not given, which
    nobody vouches for."""
    sign_key: Annotated[Path | None, Parameter(group=MARKS)] = None
    """PEM file of its private key, where that is not in the same file."""
    sign_command: Annotated[str | None, Parameter(group=MARKS)] = None
    """A command that signs in place of a key: bytes on standard input, the signature on standard output."""

    label: Annotated[
        Literal["top-left", "top-right", "bottom-left", "bottom-right", "off"] | None,
        Parameter(group=MARKS, negative=()),
    ] = None
    """The corner in which repainted pictures say that they are AI-modified, or `off`; top-left if not given. Files and
    network streams say it, too, in their own words."""
    label_size: Annotated[Literal["small", "medium", "large"] | None, Parameter(group=MARKS)] = None
    """Of the label: small if not given."""
    label_language: Annotated[Literal["en", "de", "es", "fr", "it", "pt"] | None, Parameter(group=MARKS)] = None
    """Of the label: English if not given."""

    def label_style(self, settings: Settings) -> LabelStyle | None:
        """Return what the label looks like, None where there is none.

        Raises:
            UsageError: it is turned off, and something else is said of it.
        """
        given = {"corner": self.label, "size": self.label_size, "language": self.label_language}
        named = {name: value for name, value in given.items() if value is not None}
        if self.label == "off":
            if len(named) > 1:
                raise UsageError("--label off leaves no label; leave out the other flags of it, or this one")
            return None
        if not named and "label" not in settings.marks:
            return None
        from vivace.trust.label import LabelStyle

        return LabelStyle(**named)  # type: ignore[arg-type]

    def signing_key(self, settings: Settings) -> SigningKey | None:
        """Return what signs, None where nothing is signed.

        Raises:
            UsageError: it cannot be used, or cannot be kept here.
        """
        given = self.sign_certificate or self.sign_key or self.sign_command or self.sign_prompt
        if not ("credentials" in settings.marks if self.sign is None and not given else self.sign is not False):
            if given:
                raise UsageError("--no-sign leaves nothing to sign; leave out the other flags of signing, or this one")
            return None
        from vivace.trust.keys import open_key

        return open_key(self.sign_certificate, self.sign_key, self.sign_command)
