"""What a model family provides to a stream: a description and four verbs.

Pixels cross this boundary as `uint8 [t h w 3]`. Normalising to float happens once, on the model's own device (for
OpenVINO inside the compiled graph), because moving bytes is four times cheaper than moving floats.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal, Protocol, TypeVar, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from vivace.errors import ControlError
from vivace.models.controls import ControlSpec, by_name
from vivace.runtime.device import Device
from vivace.runtime.info import RuntimeInfo as RuntimeInfo

NOTHING: Mapping[str, Any] = MappingProxyType({})
"""Of options, what a user sets who sets none."""
Keep = Literal["nothing", "inside"]
"""What survives a reset.

`nothing` starts afresh; `inside` starts afresh for the frames to come, while those inside the model come out as they
would have (only where `spec.resets_in_flight`).
"""


SAVED_LOOK = "vivace_look"
"""The key that the text of a saved look has, which other prompts have not."""


def is_saved_look(prompt: str) -> bool:
    """Tell whether a prompt is the text of a saved look, see `conditions`."""
    return prompt.lstrip().startswith("{") and f'"{SAVED_LOOK}"' in prompt


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """What a model is, as far as a stream needs to know."""

    name: str
    family: str
    summary: str
    licence: str
    size_multiple: int
    """Width and height of the output must be multiples of this, px."""
    min_size: tuple[int, int]
    max_size: tuple[int, int]
    default_area_px: int
    """Output area that a stream chooses when the user names no size; the aspect is the source's."""
    chunk_frames: int
    """Frames taken and given by one step."""
    warmup_frames: int
    """Frames that become anchors: slots of the memory that stay when others are overwritten."""
    output_lag_frames: int
    """How many frames the output may trail the input; how many come out of a step is told by its result."""
    denoising_steps: tuple[int, ...]
    """Step counts the weights were trained for, the default first."""
    efforts: tuple[float, ...]
    """Shares of the full work the deadline controller may choose from, falling from 1.0."""
    conditions: tuple[Literal["prompt", "strength", "look"], ...]
    """Of the stream's controls those that reach the model: `prompt`; `strength`, which then is the model's own affair:
    nothing is blended but at 0, which is the source exactly; `look`, prompts that are the text of a saved look."""
    prompt_change: Literal["interpolate", "switch"] = "interpolate"
    """What a stream does when its prompt changes: walk from one embedding to the other over `crossfade_s`, or give the
    new one from one chunk on. A model that has to fill caches anew for a prompt is of the second kind, and sees the
    change by `Chunk.embeds` being another object."""
    styles: tuple[str, ...] = ()
    """Names of what the model knows to do, where it is a closed set."""
    default_strength: float = 1.0
    """Strength of a stream whose user names none."""
    first_chunk_frames: int | None = None
    """Frames of the first step after a beginning or a reset, where it takes another number: of a causal video
    autoencoder the first latent is one picture and later ones are several."""
    resets_in_flight: bool = False
    """Whether `reset(keep="inside")` works, so that frames need not be brought out before a new scene begins."""
    options: tuple[ControlSpec, ...] = ()
    """Controls of its own that a stream may set, of the scopes `frame` and `stream`."""
    still_area_px: int | None = None
    """Most output area of a picture by itself, where nobody waits for the next; None is `default_area_px`."""

    def __post_init__(self) -> None:
        """Check that options can be told apart, and are for a stream to set.

        Raises:
            ValueError: two of one name, or one that is settled when a model is loaded.
        """
        for option in by_name(self.options, f"model {self.name}").values():
            if option.scope == "model":
                raise ValueError(f"control {option.name} is of scope 'model': declare it in Family.controls")

    def nearest_size(self, width: float, height: float, most: tuple[int, int] | None = None) -> tuple[int, int]:
        """Return the size nearest to `width` x `height` px that the model can do, within `most` where one is."""
        near_width, near_height = (
            max(-(-least // self.size_multiple), min(round(side / self.size_multiple), limit // self.size_multiple))
            * self.size_multiple
            for side, least, limit in zip((width, height), self.min_size, most or self.max_size, strict=True)
        )
        return near_width, near_height

    def frames_of_chunk(self, number: int) -> int:
        """Return how many frames the `number`-th step since a beginning takes, from 0."""
        return self.first_chunk_frames or self.chunk_frames if number == 0 else self.chunk_frames

    def latency_floor_s(self, fps: float) -> float | None:
        """Return how old a picture is at least when it is shown, s: its chunk has to be recorded first.

        That is what a stream of `fps` pictures a second would have on a machine that computes in no time; None of a
        model that takes and gives single frames, which has none.
        """
        frames = self.chunk_frames + self.output_lag_frames
        return None if frames == 1 else frames / fps

    def level_of(self, effort: float) -> int:
        """Return which of the efforts is nearest."""
        return int(np.argmin([abs(effort - each) for each in self.efforts]))

    def check_size(self, size: tuple[int, int]) -> None:
        """Refuse a size that the model cannot do.

        Raises:
            ControlError: out of range, or not a multiple of `size_multiple`; names a size that works.
        """
        (width, height), low, high = size, self.min_size, self.max_size
        if not (low[0] <= width <= high[0] and low[1] <= height <= high[1]):
            raise ControlError(
                f"size {width}x{height} is out of range; {self.name} does {low[0]}x{low[1]} to {high[0]}x{high[1]} px"
            )
        if width % self.size_multiple or height % self.size_multiple:
            near = self.nearest_size(width, height)
            raise ControlError(
                f"size {width}x{height} does not fit; {self.name} needs multiples of {self.size_multiple} px, "
                f"and {near[0]}x{near[1]} is the nearest"
            )


@dataclass(frozen=True, slots=True)
class Prompt:
    """An encoded prompt, with what the encoder made of it."""

    text: str
    embeds: NDArray[np.float32] = field(repr=False)
    """`[d]` or `[m d]`; embeddings may be interpolated, unless `spec.prompt_change` says otherwise."""
    known: bool
    """False when the model cannot serve the prompt; `message` then says so."""
    confidence: float
    """0 to 1."""
    matches: tuple[tuple[str, float], ...] = ()
    """Style names with their weights, greatest first; each name is a prompt that the model knows. Of an unknown prompt
    the nearest styles, with how near they are, 0 to 1."""
    message: str = ""
    """For people: what the prompt was taken to mean, or why it was not understood and what is near."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """Input of one stream to one step."""

    rgb: NDArray[np.uint8]
    """`[t h w 3]` with t = `spec.frames_of_chunk`, at the size the state was opened with. Read-only: the source is
    shown where nothing is painted."""
    embeds: NDArray[np.float32]
    """Prompt embedding to paint with (already cross-faded), as `Prompt.embeds`, whose object it is once a change is
    over."""
    denoising_steps: int = 1
    effort: float = 1.0
    """One of `spec.efforts`."""
    strength: float = 1.0
    """Above 0 to 1; for families with `strength` among their conditions."""
    thumbnails: tuple[NDArray[np.float32], ...] = ()
    """Of each picture, where they have been made, see `vivace.models.thumbnail`."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """What the user set of `spec.options`, by name; the rest is at its default. Of an image `uint8 [h w 3]`, of a mask
    `uint8 [h w]`, read-only; of an `encoded` control what the model made of its value. The object is the same until
    another value is set, so that what follows from it need not be done at every step."""
    events: frozenset[str] = frozenset()
    """Names of the events among `spec.options` that were asked for since the last chunk."""

    def check(self, size: tuple[int, int]) -> None:
        """Refuse pictures that are not the one of `(width, height)` px that a model of single frames takes.

        Raises:
            ControlError: another shape or type.
        """
        width, height = size
        if self.rgb.shape != (1, height, width, 3) or self.rgb.dtype != np.uint8:
            raise ControlError(
                f"a chunk must be uint8 [1 {height} {width} 3], not {self.rgb.dtype} {list(self.rgb.shape)};"
                " resize it first"
            )


Edited = Literal["all", "none"] | NDArray[np.uint8]
"""Where pictures differ from their source: everywhere, nowhere, or a mask `uint8 [n h' w']` on the model's own grid, 0
(the source stays, to the byte) to 255."""


@dataclass(frozen=True, slots=True)
class StepResult:
    """What one step gave one stream."""

    rgb: NDArray[np.uint8]
    """`[n h w 3]`, the next pictures in order. How many is the model's word, from none to all that are inside it; the
    first chunk of a model with a causal decoder, say, is shorter. Given away: the model does not write to it again."""
    edited: Edited = "all"
    """What of these pictures is shown over their source."""
    work: float | None = None
    """Share of its full work that the step really did, 0 to 1; None is the effort that it was asked for."""


State = TypeVar("State")
"""All that a model remembers of one stream; only the family looks into it."""


class StreamModel(Protocol[State]):
    """A family's weights, ready to serve any number of streams, each with a `State` of its own."""

    @property
    def spec(self) -> ModelSpec:
        """What the model is."""

    @property
    def runtime(self) -> RuntimeInfo:
        """Where the network runs, in words."""

    @property
    def device(self) -> Device:
        """Where it runs. `step` and `reset` are called in its turn, the rest at any time and from any thread."""

    def nbytes(self, size: tuple[int, int]) -> int:
        """Return the most bytes that the state of a stream of `size = (width, height)` takes."""

    def open(self, size: tuple[int, int], *, seed: int = 0) -> State:
        """Allocate the state of one stream of `(width, height)` px.

        Raises:
            ControlError: a size the model cannot do.
            CapacityError: not enough memory.
        """

    def encode_prompt(self, text: str) -> Prompt:
        """Encode a prompt; cached by text. Never called on the frame path twice for the same text."""

    def step(self, states: Sequence[State], chunks: Sequence[Chunk]) -> list[StepResult]:
        """Advance each stream by one chunk and return what is ready of it.

        Rows never see each other. Raises StepError, in which case the failed state must be reset before use.
        """

    def reset(self, state: State, *, keep: Keep = "nothing", seed: int | None = None) -> None:
        """Forget the past of one stream in place: after a scene cut, a seed change or an error."""


_Opened = TypeVar("_Opened", covariant=True)
_Prepared = TypeVar("_Prepared", contravariant=True)


class OpensWithOptions(Protocol[_Opened]):
    """What a model with controls of the scope `stream` has instead of its `open`."""

    def open(self, size: tuple[int, int], *, seed: int = 0, options: Mapping[str, Any] = NOTHING) -> _Opened:
        """Allocate the state of one stream, see `StreamModel`; `options` are those controls, as in its chunks."""


class EncodesControls(Protocol):
    """What a model with controls that are `encoded` has besides."""

    def encode_control(self, name: str, value: Any) -> Any:
        """Return what a step gets of a value, such as a `Prompt` of a text; one that is not known refuses the update.

        Called once for each value, in the thread of whoever sets it.
        """


Memory = Mapping[str, NDArray[Any]]
"""What a model remembers of a stream, in arrays by name, to be kept outside the program."""


@runtime_checkable
class KeepsMemory(Protocol[_Prepared]):
    """A model whose memory of a stream can be kept and given back, so that it goes on as if it had never ended."""

    def save(self, state: _Prepared) -> Memory:
        """Return copies of all that the coming steps depend on; between two steps, in the device's turn."""

    def restore(self, state: _Prepared, memory: Memory) -> None:
        """Take what `save` gave, in a state of the same size and seed."""


@runtime_checkable
class ComposesLook(Protocol):
    """A model that paints by more than the prompt, such as by a picture that shows the style."""

    def compose(self, prompt: Prompt | None, options: Mapping[str, Any]) -> NDArray[np.float32] | None:
        """Return what `Chunk.embeds` is to be under a prompt and options, None for the source untouched.

        Asked when either changes; the stream fades from what it was to what it is now.
        """


@runtime_checkable
class PreparesEfforts(Protocol[_Prepared]):
    """A model that must get ready for each of its efforts, such as to compile for it."""

    def prepare_efforts(self, state: _Prepared) -> None:
        """Get ready for all efforts on one stream, in the caller's thread; may take seconds.

        A step at an effort that the model is not ready for gets ready first, while the stream waits.
        """
