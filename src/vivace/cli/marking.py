"""Flags that say how what is written is marked as repainted, the same for every command that writes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Group, Parameter

from vivace.errors import UsageError
from vivace.settings import Mark, Settings

if TYPE_CHECKING:
    from vivace.trust.keys import SigningKey
    from vivace.trust.marks import PictureMarks

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
    """Size of the label; small if not given."""
    label_language: Annotated[Literal["en", "de", "es", "fr", "it", "pt"] | None, Parameter(group=MARKS)] = None
    """Language of the label; English if not given."""

    watermark: Annotated[bool | None, Parameter(group=MARKS, show_default=False)] = None
    """Put an invisible watermark into what is repainted, which `vivace verify` finds after credentials are lost. There
    is one if not given."""
    watermark_payload: Annotated[str | None, Parameter(group=MARKS)] = None
    """Payload of the watermark, up to 12 hexadecimal digits; if not given, a random number of a live source, else a
    number made of source, model, prompt and seed, so that the same run gives the same pictures."""
    watermark_everywhere: Annotated[bool, Parameter(group=MARKS, negative=(), show_default=False)] = False
    """Also where a picture is its source's."""

    def marks(self, usual: frozenset[Mark]) -> frozenset[Mark]:
        """Return the marks there are, `usual` being those where nothing is said.

        Raises:
            UsageError: one is turned off, and something else is said of it.
        """
        said: tuple[tuple[Mark, bool | None, str, tuple[object, ...]], ...] = (
            (
                "credentials",
                self.sign,
                "--no-sign",
                (self.sign_prompt or None, self.sign_certificate, self.sign_key, self.sign_command),
            ),
            (
                "label",
                None if self.label is None else self.label != "off",
                "--label off",
                (self.label_size, self.label_language),
            ),
            (
                "watermark",
                self.watermark,
                "--no-watermark",
                (self.watermark_payload, self.watermark_everywhere or None),
            ),
        )
        for mark, on, off, others in said:
            given = any(other is not None for other in others)
            if given and on is False:
                raise UsageError(f"`{off}` turns the {mark} off, and other flags ask for it; leave out one of them")
            wanted = given or mark in usual if on is None else on
            usual = usual | {mark} if wanted else usual - {mark}
        return usual

    def picture_marks(self, settings: Settings, run: str | None) -> PictureMarks:
        """Return what marks the pictures of a run.

        Args:
            settings: of the environment.
            run: what a run is told that gives the same pictures each time, watermark included; None of a live one.

        Raises:
            UsageError: the payload is none; or as `marks` does.
        """
        from vivace.trust.label import LabelStyle
        from vivace.trust.marks import PictureMarks, new_payload, parse_payload, payload_of

        marks = self.marks(settings.marks)
        payload = new_payload() if run is None else payload_of(run)
        if self.watermark_payload is not None:
            payload = parse_payload(self.watermark_payload)
        style: LabelStyle | None = None
        if "label" in marks:
            given = {"corner": self.label, "size": self.label_size, "language": self.label_language}
            named: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
            style = LabelStyle(**named)
        return PictureMarks.of(marks, payload, style, everywhere=self.watermark_everywhere)

    def signing_key(self, settings: Settings) -> SigningKey | None:
        """Return what signs, None where nothing is signed.

        Raises:
            UsageError: it cannot be used, or cannot be kept here; or as `marks` does.
        """
        if "credentials" not in self.marks(settings.marks):
            return None
        from vivace.trust.keys import open_key

        return open_key(self.sign_certificate, self.sign_key, self.sign_command)
