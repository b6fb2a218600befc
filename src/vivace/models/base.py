"""Interface between a model family and a stream: a specification and four operations.

Pixels cross it as `uint8 [t h w 3]`. They are normalised to float once, on the model's own device (for OpenVINO inside
the compiled graph), because moving bytes is four times cheaper than moving floats.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field
from types import MappingProxyType
from typing import Any, Literal, NamedTuple, Protocol, TypeVar, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from vivace.errors import ControlError
from vivace.models.controls import ControlSpec, by_name
from vivace.runtime.device import Device
from vivace.runtime.info import RuntimeInfo as RuntimeInfo

NOTHING: Mapping[str, Any] = MappingProxyType({})
"""Empty options."""
Keep = Literal["nothing", "inside"]
"""Content that survives a reset.

`nothing` discards everything; `inside` resets the memory for coming frames, while frames inside the model come out as
they would have (only if `spec.resets_in_flight`).
"""


SAVED_LOOK = "vivace_look"
"""JSON key that identifies the text of a saved look."""


def is_saved_look(prompt: str) -> bool:
    """Return whether a prompt is the text of a saved look, see `conditions`."""
    return prompt.lstrip().startswith("{") and f'"{SAVED_LOOK}"' in prompt


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """Properties of a model that a stream depends on."""

    name: str
    family: str
    summary: str
    licence: str
    size_multiple: int
    """Divisor of the output's width and height, px."""
    min_size: tuple[int, int]
    max_size: tuple[int, int]
    default_area_px: int
    """Output area if the user names no size, px; the aspect ratio is the source's."""
    chunk_frames: int
    """Frames taken and returned by one step."""
    warmup_frames: int
    """Frames that become anchors: permanent slots of the memory."""
    output_lag_frames: int
    """Most frames by which the output may lag the input; each result holds as many frames as are ready."""
    denoising_steps: tuple[int, ...]
    """Step counts the weights were trained for, the default first."""
    efforts: tuple[float, ...]
    """Shares of the full work that the deadline controller chooses from, falling from 1.0."""
    conditions: tuple[Literal["prompt", "strength", "look"], ...]
    """Stream controls that reach the model: `prompt`; `strength`, which the model then implements itself (the stream
    does not blend, and 0 still shows the source exactly); `look`, i.e. prompts that are the text of a saved look."""
    prompt_change: Literal["interpolate", "switch"] = "interpolate"
    """Response to a changed prompt: `interpolate` between embeddings over `crossfade_s`, or `switch` from one chunk
    to the next. Models that rebuild caches for a prompt switch; they recognise a change by the identity of
    `Chunk.embeds`."""
    styles: tuple[str, ...] = ()
    """Names of the styles the model knows, if they are a closed set."""
    default_strength: float = 1.0
    """Strength if the user names none."""
    first_chunk_frames: int | None = None
    """Frames of the first step after a start or reset, if it differs: the first latent of a causal video autoencoder is
    one picture, later ones are several."""
    resets_in_flight: bool = False
    """True if `reset(keep="inside")` works, so that frames need not be flushed before a new scene."""
    options: tuple[ControlSpec, ...] = ()
    """Controls of the model's own, of the scopes `frame` and `stream`."""
    still_area_px: int | None = None
    """Largest output area of a still picture, px, which has no deadline; None is `default_area_px`."""

    def __post_init__(self) -> None:
        """Check that options have unique names and a scope that a stream can set.

        Raises:
            ValueError: a duplicate name, or an option of scope `model`.
        """
        for option in by_name(self.options, f"model {self.name}").values():
            if option.scope == "model":
                raise ValueError(f"control {option.name} is of scope 'model': declare it in Family.controls")

    def nearest_size(self, width: float, height: float, most: tuple[int, int] | None = None) -> tuple[int, int]:
        """Return the supported size nearest to `width` x `height` px, within `most` if given."""
        near_width, near_height = (
            max(-(-least // self.size_multiple), min(round(side / self.size_multiple), limit // self.size_multiple))
            * self.size_multiple
            for side, least, limit in zip((width, height), self.min_size, most or self.max_size, strict=True)
        )
        return near_width, near_height

    def frames_of_chunk(self, number: int) -> int:
        """Return the number of frames of step `number`, counted from 0 at a start or reset."""
        return self.first_chunk_frames or self.chunk_frames if number == 0 else self.chunk_frames

    def latency_floor_s(self, fps: float) -> float | None:
        """Return the latency on an infinitely fast machine, s: a chunk must be recorded before it is painted.

        `fps` is the source's rate. None for a model of single frames without lag.
        """
        frames = self.chunk_frames + self.output_lag_frames
        return None if frames == 1 else frames / fps

    def level_of(self, effort: float) -> int:
        """Return the index of the nearest effort."""
        return int(np.argmin([abs(effort - each) for each in self.efforts]))

    def check_size(self, size: tuple[int, int]) -> None:
        """Reject a size that the model does not support.

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
class PromptEdit:
    """One edit that a prompt was understood to ask for, for pages that say so in their own words."""

    action: str
    """One of `look`, `recolour`, `blur`, `replace`, `remove`, `reset`, `undo`, `stronger`, `weaker`, `elsewhere`."""
    what: tuple[str, ...] = ()
    """Names of looks or colours, or what comes instead."""
    on: tuple[str, ...] = ()
    """Places that change; none is everywhere."""
    keep: tuple[str, ...] = ()
    """Places that stay as they are."""
    amount: str = ""
    """Amount that was asked for: nothing, `little` or `much`."""


@dataclass(frozen=True, slots=True)
class Prompt:
    """Encoded prompt, with the encoder's interpretation."""

    text: str
    embeds: NDArray[np.float32] = field(repr=False)
    """Embeddings `[d]` or `[m d]`; they may be interpolated unless `spec.prompt_change` is `switch`."""
    known: bool
    """False if the model cannot serve the prompt; `message` then says so."""
    confidence: float
    """Confidence of the interpretation, 0 to 1."""
    matches: tuple[tuple[str, float], ...] = ()
    """Matched style names with their weights, greatest first; each name is a prompt that the model knows. For an
    unknown prompt, the nearest styles with their similarity, 0 to 1."""
    message: str = ""
    """Message for people: the interpretation, or the reason it was not understood and the nearest styles."""
    edits: tuple[PromptEdit, ...] = ()
    """Edits that it was understood to ask for, of a refused prompt too; none where the styles in `matches` say it."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """Input of one stream to one step."""

    rgb: NDArray[np.uint8]
    """Pictures `[t h w 3]`, t = `spec.frames_of_chunk`, at the size the state was opened with. Read-only: the source is
    shown where nothing is painted."""
    embeds: NDArray[np.float32]
    """Prompt embedding in force, already cross-faded; once a fade is over, the very object `Prompt.embeds`."""
    denoising_steps: int = 1
    effort: float = 1.0
    """Effort, one of `spec.efforts`."""
    strength: float = 1.0
    """Strength above 0, up to 1; for models with `strength` among their conditions."""
    thumbnails: tuple[NDArray[np.float32], ...] = ()
    """Thumbnail of each picture, if they were made, see `vivace.models.thumbnail`."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """Options set by the user, by name; others are at their defaults. Images are `uint8 [h w 3]`, masks `uint8 [h w]`,
    both read-only; `encoded` controls hold the model's encoding. The mapping is the same object until a value changes,
    so that derived data can be cached."""
    events: frozenset[str] = frozenset()
    """Names of events requested since the last chunk."""

    def check(self, size: tuple[int, int], frames: int = 1) -> None:
        """Reject pictures that are not `frames` of `(width, height)` px.

        Raises:
            ControlError: another shape or type.
        """
        width, height = size
        if self.rgb.shape != (frames, height, width, 3) or self.rgb.dtype != np.uint8:
            raise ControlError(
                f"a chunk must be uint8 [{frames} {height} {width} 3], not {self.rgb.dtype} {list(self.rgb.shape)}; "
                "resize it first"
            )


Edited = Literal["all", "none"] | NDArray[np.uint8]
"""Edited area of pictures: everywhere, nowhere, or a mask `uint8 [n h' w']` on the model's own grid, 0 (the source's
bytes) to 255."""


class Cached(NamedTuple):
    """Part of a picture that a region cache kept."""

    kept: float
    """Share of the picture that was not painted anew, 0 to 1."""
    audited: bool = False
    """True if the picture was painted without the cache, too."""
    audit_db: float | None = None
    """PSNR against that picture, dB; None if they are equal, or there was no audit."""


@dataclass(frozen=True, slots=True)
class StepResult:
    """Output of one step for one stream."""

    rgb: NDArray[np.uint8]
    """The next pictures in order, `[n h w 3]`; n is 0 up to the number inside the model, e.g. smaller for the first
    chunk of a causal decoder. The array is handed over: the model does not write to it again."""
    edited: Edited = "all"
    """Area in which these pictures replace their source."""
    _: KW_ONLY
    work: float | None = None
    """Share of its full work that the step did, 0 to 1; None is the requested effort."""
    alpha: NDArray[np.uint8] | None = None
    """Opacity of these pictures, `[n h w]`, 0 to 255, for outputs that can be transparent; `rgb` is over black then.
    None is opaque."""
    absent: tuple[str, ...] = ()
    """Places that the prompt changes and that are not in these pictures, by the names of the control `place`."""
    followed: bool = False
    """True where an edited key frame was carried into these pictures."""
    cached: Cached | None = None
    """Part that a region cache kept; None for a model that has none."""
    note: str = ""
    """Message for people, as long as something keeps the pictures from being as asked for; the stream goes on."""


State = TypeVar("State")
"""Memory of one stream, opaque to everything but the family."""


class StreamModel(Protocol[State]):
    """Loaded weights that serve any number of streams, each with a `State` of its own."""

    @property
    def spec(self) -> ModelSpec:
        """Specification of the model."""

    @property
    def runtime(self) -> RuntimeInfo:
        """Description of runtime, device and precision."""

    @property
    def device(self) -> Device:
        """Device it runs on. `step` and `reset` are called in its turn, all else at any time from any thread."""

    def nbytes(self, size: tuple[int, int]) -> int:
        """Return the most bytes that the state of a stream of `(width, height)` px takes."""

    def open(self, size: tuple[int, int], *, seed: int = 0) -> State:
        """Allocate the state of one stream of `(width, height)` px.

        Raises:
            ControlError: a size the model cannot do.
            CapacityError: not enough memory.
        """

    def encode_prompt(self, text: str) -> Prompt:
        """Return an encoded prompt; cached by text, so that the frame path never encodes the same text twice."""

    def step(self, states: Sequence[State], chunks: Sequence[Chunk]) -> list[StepResult]:
        """Return the ready pictures of each stream after advancing it by one chunk.

        Streams are independent. After a StepError, the failed states must be reset before use.
        """

    def reset(self, state: State, *, keep: Keep = "nothing", seed: int | None = None) -> None:
        """Reset the memory of one stream in place: after a scene cut, a seed change or an error."""


_Opened = TypeVar("_Opened", covariant=True)
_Prepared = TypeVar("_Prepared", contravariant=True)


class OpensWithOptions(Protocol[_Opened]):
    """Variant of `open` in models that have controls of scope `stream`."""

    def open(self, size: tuple[int, int], *, seed: int = 0, options: Mapping[str, Any] = NOTHING) -> _Opened:
        """Allocate the state of one stream, see `StreamModel`; `options` are those controls, as in its chunks."""


class EncodesControls(Protocol):
    """Extra interface of models with `encoded` controls."""

    def encode_control(self, name: str, value: Any) -> Any:
        """Return the encoding of a value, such as a `Prompt` of a text; an unknown prompt refuses the update.

        Called once per value, in the thread that sets it.
        """


Memory = Mapping[str, NDArray[Any]]
"""Model memory of a stream as arrays by name, for storage."""


@runtime_checkable
class KeepsMemory(Protocol[_Prepared]):
    """Model whose memory of a stream can be saved and restored, so that it continues as if never interrupted."""

    def save(self, state: _Prepared) -> Memory:
        """Return copies of everything that later steps depend on; called between steps, in the device's turn."""

    def restore(self, state: _Prepared, memory: Memory) -> None:
        """Restore what `save` returned into a state of the same size and seed."""


@runtime_checkable
class ComposesLook(Protocol):
    """Model with a look that depends on more than the prompt, e.g. on a reference picture."""

    def compose(self, prompt: Prompt | None, options: Mapping[str, Any]) -> NDArray[np.float32] | None:
        """Return `Chunk.embeds` for a prompt and options; None shows the source untouched.

        Called when either changes; the stream fades from the old value to the new one.
        """


@runtime_checkable
class PicksPlaces(Protocol):
    """A model with a control `place` that tells which of its values a click on a picture means."""

    def places_at(self, rgb: NDArray[np.uint8], x: int, y: int) -> tuple[str, ...]:
        """Return the places at a px of a picture `uint8 [h w 3]`, the likeliest first; takes some tenths of a second.

        Called from any thread, outside the turn of the device.
        """


@runtime_checkable
class RefersToPrompts(Protocol):
    """A model that understands prompts such as "stronger" and "undo", which refer to those before them."""

    def whole_request(self, text: str, now: str | None, before: str | None) -> str | None:
        """Return what a prompt asks for by itself, as text that needs none before it; None for the source untouched.

        Args:
            text: the prompt.
            now: the prompt in force; None shows the source untouched.
            before: the one before that.

        Raises:
            ControlError: it refers to something that there is not.
        """


@runtime_checkable
class PreparesEfforts(Protocol[_Prepared]):
    """Model that needs preparation for each effort, e.g. compilation."""

    def prepare_efforts(self, state: _Prepared) -> None:
        """Prepare a stream's state for all efforts, in the caller's thread; may take seconds.

        A step at an unprepared effort prepares it first, while the stream waits.
        """
