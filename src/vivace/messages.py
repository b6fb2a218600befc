"""What a client and the server say to each other about a session: the same messages over WebSocket and data channel.

Every message is one JSON object with a `type`. A request may carry an `id`, which its answer repeats. The JSON Schema
of both directions is `docs/schema/control-v1.json`. What is answered over HTTP stands at the end.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    JsonValue,
    StrictBool,
    StrictFloat,
    StrictInt,
    StrictStr,
    Tag,
)

from vivace.checks import Table

PROTOCOL_VERSION = 1

MAX_PROMPT_CHARS = 2_000
MAX_OPTIONS = 64
MAX_PICTURE_CHARS = 4 * 1024 * 1024
"""Of a picture as a `data:` address."""

MAX_ID_CHARS = 64
"""Of what a client calls a message, to find its answer."""
OptionName = Annotated[str, Field(max_length=100)]
OptionValue = Annotated[
    Annotated[StrictBool, Tag("bool")]
    | Annotated[StrictFloat, Tag("float")]
    | Annotated[StrictInt, Tag("int")]
    | Annotated[StrictStr, Field(max_length=MAX_PICTURE_CHARS), Tag("str")]
    | Annotated[None, Tag("NoneType")],
    # By its type, so that a mistake is told once and not for each of them.
    Discriminator(
        lambda value: type(value).__name__,
        custom_error_type="option",
        custom_error_message="give a number, true or false, text, or null for the default",
    ),
]


# What a client says


class Controls(Table):
    """What a user steers. In an update, what is left out stays as it is; null is a control's default."""

    prompt: Annotated[str, Field(max_length=MAX_PROMPT_CHARS)] | None = None
    """Text; an empty text, or null, shows the source untouched."""
    strength: Annotated[float, Field(ge=0, le=1)] | None = None
    seed: Annotated[int, Field(ge=0, le=2**53 - 1)] | None = None
    """Up to 2^53 - 1, which is what JavaScript counts to exactly."""
    crossfade_s: Annotated[float, Field(ge=0, le=60)] | None = None
    denoising_steps: Annotated[int, Field(ge=1, le=1000)] | None = None
    mask: Annotated[str, Field(max_length=MAX_PICTURE_CHARS)] | None = None
    """A picture as a `data:image/png;base64,…` address: white may change, black stays. Empty text, or null: none."""
    size: Annotated[tuple[int, int], Field()] | None = None
    """Output `(width, height)`, px; null: the source's shape."""
    options: Annotated[dict[OptionName, OptionValue], Field(max_length=MAX_OPTIONS)] | None = None
    """Controls of the model's own by name, merged into those set before: numbers, true and false, text, pictures as
    PNG, JPEG or WebP in a `data:` address; null is a control's default, as an empty text is for a picture."""
    events: Annotated[list[OptionName], Field(max_length=MAX_OPTIONS)] | None = None
    """What of the model's own shall happen once, at the frame from which the update is in force."""


class Update(Table):
    """Change controls, all of them at one frame boundary."""

    type: Literal["update"] = "update"
    id: Annotated[str, Field(max_length=MAX_ID_CHARS)] | None = None
    controls: Controls


class Ping(Table):
    """I am here. Sent every few seconds; a session whose client is silent for too long is absent."""

    type: Literal["ping"] = "ping"
    id: Annotated[str, Field(max_length=MAX_ID_CHARS)] | None = None
    presented: list[tuple[int, float]] = Field(default_factory=list, max_length=64)
    """Measured glass-to-glass times of shown frames, `(frame index, ms)`, where the client can measure them."""


class Record(Table):
    """Begin or end a recording of the output."""

    type: Literal["record"] = "record"
    id: Annotated[str, Field(max_length=MAX_ID_CHARS)] | None = None
    on: bool


class Sound(Table):
    """Whether the sound that comes with the pictures is passed on, to viewers and into recordings; at first it is.

    All who steer are told by the same message.
    """

    type: Literal["sound"] = "sound"
    id: Annotated[str, Field(max_length=MAX_ID_CHARS)] | None = None
    on: bool


class Source(Table):
    """Pictures of this shape are about to come: the model is opened for them while a connection is still made."""

    type: Literal["source"] = "source"
    size: tuple[Annotated[int, Field(ge=1, le=16384)], Annotated[int, Field(ge=1, le=16384)]]
    """`[width, height]` px of a picture; only its shape counts."""


class End(Table):
    """I am done."""

    type: Literal["end"] = "end"


ClientMessage = Annotated[Update | Ping | Record | Sound | Source | End, Field(discriminator="type")]


# What the server says


class Waiting(Table):
    """There is no slot yet."""

    type: Literal["waiting"] = "waiting"
    position: int
    """1 is next."""
    retry_after_s: float | None
    """About when there will be one, s; null while no session has ended from which to tell."""


class Label(Table):
    """The words in each repainted picture that say that it is."""

    words: str
    corner: Literal["top-left", "top-right", "bottom-left", "bottom-right"]
    size: Literal["small", "medium", "large"]
    """Text of 3.6, 5.5 or 8 % of the shorter side."""


class Live(Table):
    """The session has a slot; frames are painted as they come."""

    type: Literal["live"] = "live"
    session: str
    model: str
    size: tuple[int, int] | None
    resumed: bool = False
    """Whether this is a client that came back to its session."""
    label: Label | None = None
    """What is in the pictures themselves; null: nothing, and whoever shows them should say it."""


class Ack(Table):
    """The answer to an update."""

    type: Literal["ack"] = "ack"
    id: str | None = None
    accepted: bool
    frame_index: int
    """The first output frame that is made with it."""
    update_index: int
    applied: list[str]
    message: str = ""
    """For people: what the prompt was taken for, or why nothing was changed."""
    code: str = ""
    """For programs: why nothing was changed, e.g. `control`, `unknown_prompt`, `policy`, `shared_option`, `memory`."""
    reason: str = ""
    """Of the code `policy`: which reason of the server's list, as `sexual`, `minors`, `impersonation`."""
    matches: list[tuple[str, float]] = Field(default_factory=list)
    """What the prompt was taken for, as names of styles with their weights; of an unknown one the nearest styles."""


class Notice(Table):
    """Something that was asked for at the opening and left out: the session begins, and goes on, without it."""

    type: Literal["notice"] = "notice"
    code: Literal["unknown_prompt"]
    """For programs."""
    message: str
    """For people: why, and what there is instead."""
    control: str
    """What was left out, `prompt` or a control of the model's own, until an update brings another."""
    matches: list[tuple[str, float]]
    """Names of the nearest styles, each a prompt that the model knows, with how near they are, 0 to 1."""


class Changed(Table):
    """Somebody else who steers this session has changed controls."""

    type: Literal["changed"] = "changed"
    controls: dict[str, JsonValue]
    """As in their update, without pictures and events."""
    message: str = ""
    """For people: what their prompt was taken for."""
    matches: list[tuple[str, float]] = Field(default_factory=list)
    """The same, as names of styles with their weights."""


class Applied(Table):
    """The first frame made with an update has left the server."""

    type: Literal["applied"] = "applied"
    update_index: int
    frame_index: int
    prompt_to_pixel_ms: float


class Stage(Table):
    """Times of one stage over the last seconds, ms."""

    p50: float | None
    p95: float | None


class Stats(Table):
    """How the session does; twice a second."""

    type: Literal["stats"] = "stats"
    time_s: float
    """Since the session began."""
    frame_index: int
    fps_in: float | None
    fps_out: float | None
    age_ms: float | None
    """Age of the newest output frame when it left, since it arrived here."""
    stages_ms: dict[str, Stage]
    """`receive, wait, prepare, denoise, refine, encode`, and `server` for all of them; `finish` where there is such."""
    glass_to_glass_ms: Stage | None
    """From the client's own measurements, if it sends them."""
    drops: dict[str, int]
    """By reason, since the beginning."""
    effort: float | None
    size: tuple[int, int] | None = None
    """Of the output, `(width, height)` px; one that names no size may grow and shrink."""
    prompt_to_pixel_ms: float | None
    """Of the last change."""
    bitrate_kbps: float | None
    loss: float | None
    """Share of packets lost on the way to the client."""
    rtt_ms: float | None
    limit: Literal["none", "network", "device", "camera"]
    limit_text: str
    """One sentence for people: what limits quality now."""
    recording: str | None
    """Name of the recording that is being written."""
    sound: Literal["none", "on", "muted"] = "none"
    """Of the sound that comes with the pictures."""


class Recorded(Table):
    """A recording has begun or ended."""

    type: Literal["recorded"] = "recorded"
    id: str | None = None
    on: bool
    name: str
    url: str | None = None
    """Where it can be fetched, once it is closed."""
    message: str = ""


class Ended(Table):
    """The session is over."""

    type: Literal["ended"] = "ended"
    reason: Literal["client", "idle", "absent", "drain", "replaced", "failed", "limit", "admin"]
    message: str
    """For people, with what to do."""


class Error(Table):
    """A message that could not be understood or carried out; the session goes on."""

    type: Literal["error"] = "error"
    id: str | None = None
    code: str
    message: str


class Pong(Table):
    """Answers a ping."""

    type: Literal["pong"] = "pong"
    id: str | None = None
    server_time_s: float


ServerMessage = Annotated[
    Waiting | Live | Ack | Notice | Changed | Applied | Stats | Recorded | Sound | Ended | Error | Pong,
    Field(discriminator="type"),
]


# What a server answers over HTTP


class Reply(BaseModel):
    """What is answered; a newer server may say more."""

    model_config = ConfigDict(extra="ignore", frozen=True)


class Limits(Reply):
    """What the server puts up with."""

    max_frame_px: int
    """Largest frame taken, width times height."""
    max_output_px: int
    """Largest output, width times height."""
    max_prompt_chars: int
    max_body_bytes: int
    messages_per_s: float
    heartbeat_s: float
    """Send a `ping` at least this often: a client that is silent for longer, without a media connection, is absent."""
    grace_s: float
    """How long a session is kept for a client that lost its connection."""
    idle_s: float
    """A live session without a new frame for so long is ended."""


class RecordingInfo(Reply):
    """A recording on the server."""

    name: str
    title: str = ""
    """What its owner calls it."""
    bytes: int
    began_s: float = 0.0
    """When it began, seconds since 1970."""
    modified_s: float
    """When it was last written to."""
    writing: bool = False
    """Whether it goes on."""
    url: str
