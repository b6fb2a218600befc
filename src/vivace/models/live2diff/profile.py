"""What a profile of this family says beside what all profiles say."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import Field

from vivace.checkpoints.profile import Profile, Style


class Live2DiffStyle(Style):
    """A style with its way through the noise levels."""

    t_index: tuple[int, ...] = Field(strict=False)
    """Timesteps, as indices of the distillation's fifty, noisiest first."""
    clip_skip: int = 0
    """Last layers of the text encoder to leave out."""

    @property
    def about(self) -> str:
        """What people are told of it."""
        return f"{self.summary} {len(self.t_index)} steps"


class Live2DiffProfile(Profile):
    """What a model of this family is."""

    styles: Mapping[str, Live2DiffStyle] = {}
    """The default first."""

    def style(self, name: str | None = None) -> Live2DiffStyle:
        """Return a style, see `Profile.style`."""
        return self.styles[super().style(name).name]
