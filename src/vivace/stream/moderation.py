"""Whether what a user asks for may be painted: judged where controls are checked, so that no way in is without it."""

from __future__ import annotations

from typing import Protocol

from vivace.media.frame import Rgb


class Moderator(Protocol):
    """Refuses what whoever runs this does not want painted. Thread-safe; may take its time."""

    def check_text(self, control: str, text: str) -> None:
        """Refuse a text that says what shall be seen.

        Args:
            control: `prompt`, or the name of a control of the model's own.
            text: as it was given; of a saved look its title.

        Raises:
            PolicyError: it is refused.
        """

    def check_picture(self, control: str, rgb: Rgb) -> None:
        """Refuse a picture, `uint8 [h w 3]`, that is painted like or towards.

        Raises:
            PolicyError: it is refused.
        """


class NoModerator:
    """Refuses nothing."""

    def check_text(self, control: str, text: str) -> None:
        """Take any text."""

    def check_picture(self, control: str, rgb: Rgb) -> None:
        """Take any picture."""


NOBODY: Moderator = NoModerator()
