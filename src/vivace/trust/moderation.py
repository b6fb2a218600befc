"""Moderator that commands and server hand to their streams: it refuses texts and pictures that are not painted."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from vivace.errors import PolicyError
from vivace.media.frame import Frame, Rgb
from vivace.trust.label import Language
from vivace.trust.policy.policy import Policy, open_policy
from vivace.trust.safety import UNSAFE, Count, Cover, PictureJudge

Safety = Literal["off", "pictures", "output"]
"""Which pictures are judged: none, those that are painted like, or one of the output a second, too."""
PICTURE, OUTPUT = "picture", "output"
"""Reasons of pictures, beside those of the list."""


@dataclass(frozen=True, slots=True)
class Moderation:
    """Judges texts by a list, and pictures by a network. Thread-safe."""

    policy: Policy | None = None
    """None: any text is taken."""
    judge: PictureJudge | None = None
    """None: any picture is taken."""
    output: bool = False
    """True where pictures of the output are judged, too."""
    _pictures: Count = field(default_factory=Count)
    _covered: Count = field(default_factory=Count)

    @classmethod
    def of(cls, policy: str | None, safety: Safety = "off") -> Moderation:
        """Return what settings ask for.

        Args:
            policy: a list's file, `off`, or None for the built-in list.
            safety: which pictures are judged.

        Raises:
            UsageError: the file cannot be used.
            BackendUnavailableError: pictures cannot be judged here.
        """
        judge = None if safety == "off" else PictureJudge()
        return cls(open_policy(policy), judge, output=safety == "output")

    @property
    def refused(self) -> Mapping[str, int]:
        """Number of refusals by reason, 0 for reasons that have not come up."""
        texts = {} if self.policy is None else self.policy.refused
        pictures = {} if self.judge is None else {PICTURE: self._pictures.value}
        return {**texts, **pictures, **({OUTPUT: self._covered.value} if self.output else {})}

    def finishers(self, *, live: bool, language: Language = "en") -> tuple[Callable[[Frame], Frame], ...]:
        """Return what covers the pictures of one stream that are not to be seen."""
        if self.judge is None or not self.output:
            return ()
        return (Cover(self.judge, live=live, language=language, covered=self._covered),)

    def check_text(self, control: str, text: str) -> None:
        """Refuse a text that asks for what is not painted.

        Raises:
            PolicyError: it does.
        """
        if self.policy is not None:
            self.policy.check_text(control, text)

    def check_picture(self, control: str, rgb: Rgb) -> None:
        """Refuse a picture, `uint8 [h w 3]`, that is likely to show sexual content.

        Raises:
            PolicyError: it is.
        """
        if self.judge is not None and (score := self.judge.score(rgb)) >= UNSAFE:
            self._pictures()
            raise PolicyError(
                f"{control} is a picture that may show sexual content (score {score:.2f} of 1), which is not painted "
                "here; give another",
                control=control,
                reason=PICTURE,
            )
