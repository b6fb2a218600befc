"""What of a user's wishes is not painted: the moderator that commands and server hand to their streams."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from vivace.media.frame import Rgb
from vivace.trust.policy.policy import Policy, open_policy


@dataclass(frozen=True, slots=True)
class Moderation:
    """Judges texts by a list. Thread-safe."""

    policy: Policy | None = None
    """None: any text is taken."""

    @classmethod
    def of(cls, policy: str | None) -> Moderation:
        """Return what settings ask for: a list's file, `off`, or the built-in list where nothing is said.

        Raises:
            UsageError: the file cannot be used.
        """
        return cls(open_policy(policy))

    @property
    def refused(self) -> Mapping[str, int]:
        """How many requests were refused, by reason, those that may be and were not with 0."""
        return {} if self.policy is None else self.policy.refused

    def check_text(self, control: str, text: str) -> None:
        """Refuse a text that asks for what is not painted.

        Raises:
            PolicyError: it does.
        """
        if self.policy is not None:
            self.policy.check_text(control, text)

    def check_picture(self, control: str, rgb: Rgb) -> None:
        """Take any picture."""
