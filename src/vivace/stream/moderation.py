"""Moderation hook: checked wherever controls are checked, so that no entry point bypasses it."""

from __future__ import annotations

from typing import Protocol

from vivace.media.frame import Rgb


class Moderator(Protocol):
    """Policy that may refuse prompts and pictures. Thread-safe; may be slow."""

    def check_text(self, control: str, text: str) -> None:
        """Check a text that describes what to show.

        Args:
            control: `prompt`, or the name of a control of the model's own.
            text: text as given; the title of a saved look.

        Raises:
            PolicyError: the text is refused.
        """

    def check_picture(self, control: str, rgb: Rgb) -> None:
        """Check a reference picture, `uint8 [h w 3]`.

        Raises:
            PolicyError: the picture is refused.
        """


class NoModerator:
    """Moderator that allows everything."""

    def check_text(self, control: str, text: str) -> None:
        """Allow the text."""

    def check_picture(self, control: str, rgb: Rgb) -> None:
        """Allow the picture."""


NOBODY: Moderator = NoModerator()
