"""Profiles of this family: every convention of a checkpoint that is silently wrong when it is guessed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, Self

from pydantic import ConfigDict, Field, model_validator

from vivace.checkpoints.profile import Profile, Style
from vivace.checks import Table
from vivace.errors import UsageError


class _Strict(Table):
    model_config = ConfigDict(strict=True)


class Sampling(_Strict):
    """Denoising of a chunk, and the memory of the chunks before it."""

    steps: tuple[float, ...] = Field(strict=False)
    """The step list as published, noisiest first."""
    warped: bool
    """True where entries count places of the schedule's table, false where they are timesteps."""
    shift: float
    """Shift of the schedule towards noise, above 0."""
    context: float | None = None
    """Timestep of the context call, on the clean chunk, whose keys and values stay in the ring; None is no such call:
    those of the last step stay."""
    chunk: int = Field(3, ge=1)
    """Latent frames that are denoised together."""
    first_chunk: int | None = None
    """Latent frames of the first chunk of a stream; None is `chunk`."""
    window: int = Field(ge=1)
    """Latent frames that attention sees, anchors and the present chunk among them."""
    anchors: int = Field(0, ge=0)
    """Latent frames of the window that stay (attention sinks): the first of the stream."""
    positions: Literal["frame", "window"] = "window"
    """Rotary position in time: the frame's number, which grows without end, or its place in the window."""
    anchors_at_a_switch: Literal["keep", "anew"] = "keep"
    """Anchors at a recache: kept as they are, or replaced by the oldest frames that are recached."""
    anchors_renewed_below: float | None = None
    """Cosine similarity to the newest frame below which an anchor is replaced (StreamDiffusionV2), -1 to 1; None
    never."""
    stream_batch: bool = False
    """True where steps are rows of one batch with a memory each and a moving source is noised less, as in
    StreamDiffusionV2; false where steps are taken in turn over one memory."""
    noise_scale: float = Field(0.9375, gt=0, le=1)
    """Default strength of models that noise the source: its noise level, above 0 to 1."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        longest = max(self.chunk, self.first_chunk or 0)
        if self.window < longest + self.anchors:
            raise ValueError(f"a window of {self.window} has no room for {self.anchors} anchors and {longest} new ones")
        if self.stream_batch and (self.chunk != 1 or self.context is not None):
            raise ValueError("a stream batch has chunks of one latent and no context call")
        if not self.stream_batch and self.anchors_renewed_below is not None:
            raise ValueError("anchors are renewed in a stream batch alone")
        return self


class Pictures(_Strict):
    """Conventions of the autoencoder."""

    pixel_range: Literal["signed", "unit"] = "signed"
    """Range of the pictures that the full autoencoder is given: -1 to 1, as it was trained, or 0 to 1, as LiveEdit was
    trained."""
    normalised_in: bool = True
    """True where the transformer takes normalised latents of the source; its output is normalised always."""


class Weights(_Strict):
    """Packing of the transformer's file."""

    containers: tuple[str, ...] = Field((), strict=False)
    """Keys of a pickle that may hold the tensors, the best first, such as `generator_ema` before `generator`."""
    kind: str = ""
    """Name of the training stage, for messages, such as DMD."""
    others: Mapping[str, str] = {}
    """Files of the same shapes that are refused: a word in their names, in small letters, with a description."""


class WanStyle(Style):
    """Another checkpoint of the same kind, with what it was trained on."""

    sampling: Mapping[str, Any] = {}
    """Entries that differ from the profile's `sampling`."""
    width: str | None = None
    """Table of `network` with the widths of its transformer; None is `transformer`."""


class WanProfile(Profile):
    """A model of this family."""

    source: Literal["noised", "channels"]
    """Input of the source: noised, as the first step's latents, or beside the noise on channels of its own."""
    sampling: Sampling
    pictures: Pictures = Pictures()
    weights: Weights = Field(default_factory=lambda: Weights.model_validate({}))
    styles: Mapping[str, WanStyle] = {}
    """Other checkpoints, the default first."""

    def chosen(self, name: str | None) -> WanStyle | None:
        """Return the style of a name, or the default one; None where the profile has no styles.

        Raises:
            UsageError: there is none of that name.
        """
        if name is None and not self.styles:
            return None
        return self.styles[self.style(name).name]

    def sampling_of(self, style: WanStyle | None, steps: int | None = None) -> Sampling:
        """Return the sampling of a style, with the first and the last of its steps where `steps` are asked for.

        Raises:
            UsageError: more steps than the checkpoint was distilled to.
        """
        found = self.sampling
        if style is not None and style.sampling:
            found = Sampling.model_validate({**found.model_dump(), **style.sampling})
        if steps is None:
            return found
        if not 1 <= steps <= len(found.steps):
            raise UsageError(f"model {self.name!r} has 1 to {len(found.steps)} steps, not {steps}")
        return found.model_copy(update={"steps": found.steps[:1] + found.steps[len(found.steps) - steps + 1 :]})

    @model_validator(mode="after")
    def _check_source(self) -> Self:
        if self.source == "channels" and self.sampling.stream_batch:
            raise ValueError("a source on channels is not denoised in a stream batch")
        return self
