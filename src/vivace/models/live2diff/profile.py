"""Profile keys specific to this family."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import Field

from vivace.checkpoints.profile import Profile, Style


class Live2DiffStyle(Style):
    """Style with its timesteps."""

    t_index: tuple[int, ...] = Field(strict=False)
    """Timesteps as indices into the distillation's fifty, noisiest first."""
    clip_skip: int = 0
    """Last layers of the text encoder to leave out."""

    @property
    def about(self) -> str:
        """Description for people."""
        return f"{self.summary} {len(self.t_index)} steps"


class Live2DiffProfile(Profile):
    """Profile of a model of this family."""

    styles: Mapping[str, Live2DiffStyle] = {}
    """Styles by name, the default first."""

    def style(self, name: str | None = None) -> Live2DiffStyle:
        """Return a style, see `Profile.style`."""
        return self.styles[super().style(name).name]
