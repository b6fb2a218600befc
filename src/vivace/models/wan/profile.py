"""What a profile of this family says: every convention of a checkpoint that is silently wrong when it is guessed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, Self

from pydantic import ConfigDict, Field, model_validator

from vivace.checkpoints.profile import Profile, Style
from vivace.checks import Table
from vivace.errors import UsageError

FRAMES_A_LATENT = 4


class _Strict(Table):
    model_config = ConfigDict(strict=True)


class Sampling(_Strict):
    """How a chunk is denoised, and what is remembered of those before it."""

    steps: tuple[float, ...] = Field(strict=False)
    """The step list as published, noisiest first."""
    warped: bool
    """Whether entries are places of the schedule's table, or timesteps themselves."""
    shift: float
    """Of the schedule."""
    context: float | None = None
    """Timestep of the call on the finished chunk that memory is kept of; None is no such call: what the last step
    wrote stays."""
    chunk: int = Field(3, ge=1)
    """Latent frames that are denoised together."""
    first_chunk: int | None = None
    """Of the first chunk of a stream, where it is another number."""
    window: int = Field(ge=1)
    """Latent frames remembered and seen, anchors and the present chunk among them."""
    anchors: int = Field(0, ge=0)
    """Of these, those that stay: the first ones."""
    positions: Literal["frame", "window"] = "window"
    """Whether a frame's rotary position is its number, which grows, or its place in the window."""
    anchors_at_a_switch: Literal["keep", "anew"] = "keep"
    """What becomes of anchors when the past is computed anew under another prompt."""
    anchors_renewed_below: float | None = None
    """Likeness to what is seen now below which an anchor is replaced (StreamDiffusionV2); None never."""
    stream_batch: bool = False
    """Whether steps are rows of one batch with a memory each, and a source that moves is noised less, as in
    StreamDiffusionV2; otherwise steps are taken in turn over one memory."""
    noise_scale: float = Field(0.9375, gt=0, le=1)
    """Of a source that is noised: how much, where the user says nothing."""

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
    """How pictures become latents."""

    pixel_range: Literal["signed", "unit"] = "signed"
    """Whether the full autoencoder is given -1 to 1, as it was trained, or 0 to 1, as LiveEdit was."""
    normalised_in: bool = True
    """Whether latents of the source are normalised for the transformer; what it gives always is."""


class Weights(_Strict):
    """How the transformer's file is packed."""

    containers: tuple[str, ...] = Field((), strict=False)
    """Names under which the tensors may lie, the best first; such as `generator_ema` before `generator`."""
    kind: str = ""
    """What the training stage is called, for people, such as DMD."""
    others: Mapping[str, str] = {}
    """What other files of the same shape are called on disk and what they are, so that one in this place is refused:
    words in their names, in small letters."""


class WanStyle(Style):
    """Another checkpoint of the same kind, with what it was trained on."""

    sampling: Mapping[str, Any] = {}
    """What is another than the profile's."""
    width: str | None = None
    """Part of `network` that its transformer has, where it is another than `transformer`."""


class WanProfile(Profile):
    """What a model of this family is."""

    source: Literal["noised", "channels"]
    """How the source goes in: noised as the first step's input, or beside the noise on channels of its own."""
    sampling: Sampling
    pictures: Pictures = Pictures()
    weights: Weights = Field(default_factory=lambda: Weights.model_validate({}))
    styles: Mapping[str, WanStyle] = {}
    """Other checkpoints, the default first."""

    def chosen(self, name: str | None) -> WanStyle | None:
        """Return a style; None is what the profile itself says, where it has none.

        Raises:
            UsageError: there is none of that name.
        """
        if name is None and not self.styles:
            return None
        return self.styles[self.style(name).name]

    def sampling_of(self, style: WanStyle | None, steps: int | None = None) -> Sampling:
        """Return how chunks are denoised in a style, in the last `steps` steps where some are asked for.

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
