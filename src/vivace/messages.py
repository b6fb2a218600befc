"""Messages between client and server about a session, the same over WebSocket and data channel.

Every message is one JSON object with a `type`. A request may carry an `id`, which its answer repeats. The JSON Schema
of both directions is `docs/schema/control-v1.json`. Replies over HTTP are at the end of this module.
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
"""Longest picture as a `data:` URL, characters."""

MAX_ID_CHARS = 64
"""Longest `id` of a request, characters."""
OptionName = Annotated[str, Field(max_length=100)]
OptionValue = Annotated[
    Annotated[StrictBool, Tag("bool")]
    | Annotated[StrictFloat, Tag("float")]
    | Annotated[StrictInt, Tag("int")]
    | Annotated[StrictStr, Field(max_length=MAX_PICTURE_CHARS), Tag("str")]
    | Annotated[None, Tag("NoneType")],
    # Discriminated by type, so that a wrong value yields one error, not one per member.
    Discriminator(
        lambda value: type(value).__name__,
        custom_error_type="option",
        custom_error_message="give a number, true or false, text, or null for the default",
    ),
]


# From the client


class Controls(Table):
    """Controls of a stream. In an update, omitted ones stay as they are; null is a control's default."""

    prompt: Annotated[str, Field(max_length=MAX_PROMPT_CHARS)] | None = None
    """Prompt text; an empty text, or null, shows the source untouched."""
    strength: Annotated[float, Field(ge=0, le=1)] | None = None
    seed: Annotated[int, Field(ge=0, le=2**53 - 1)] | None = None
    """Noise seed, up to 2^53 - 1, the largest integer that JavaScript represents exactly."""
    crossfade_s: Annotated[float, Field(ge=0, le=60)] | None = None
    denoising_steps: Annotated[int, Field(ge=1, le=1000)] | None = None
    mask: Annotated[str, Field(max_length=MAX_PICTURE_CHARS)] | None = None
    """Mask as a `data:image/png;base64,…` URL: white may change, black stays. Empty text, or null: no mask."""
    size: Annotated[tuple[int, int], Field()] | None = None
    """Output `(width, height)`, px; null follows the source's aspect ratio."""
    options: Annotated[dict[OptionName, OptionValue], Field(max_length=MAX_OPTIONS)] | None = None
    """Values of the model's own controls by name, merged into those set before: numbers, booleans, text, pictures as
    PNG, JPEG or WebP in a `data:` URL; null is a control's default, as an empty text is for a picture."""
    events: Annotated[list[OptionName], Field(max_length=MAX_OPTIONS)] | None = None
    """Events of the model's own, fired once at the frame from which the update applies."""


class Update(Table):
    """Request to change controls, all at one frame boundary."""

    type: Literal["update"] = "update"
    id: Annotated[str, Field(max_length=MAX_ID_CHARS)] | None = None
    controls: Controls


class Ping(Table):
    """Keep-alive, sent every few seconds; a client that is silent for too long counts as absent."""

    type: Literal["ping"] = "ping"
    id: Annotated[str, Field(max_length=MAX_ID_CHARS)] | None = None
    presented: list[tuple[int, float]] = Field(default_factory=list, max_length=64)
    """Measured glass-to-glass latencies of shown frames, `(frame index, ms)`, if the client can measure them."""


class Record(Table):
    """Request to start or stop a recording of the output."""

    type: Literal["record"] = "record"
    id: Annotated[str, Field(max_length=MAX_ID_CHARS)] | None = None
    on: bool


class Sound(Table):
    """Request to turn forwarding of audio to viewers and recordings on or off; initially on.

    The server sends the same message to all clients that steer the session.
    """

    type: Literal["sound"] = "sound"
    id: Annotated[str, Field(max_length=MAX_ID_CHARS)] | None = None
    on: bool


class Source(Table):
    """Announcement of the source's shape: the model is opened for it while the connection is still being made."""

    type: Literal["source"] = "source"
    size: tuple[Annotated[int, Field(ge=1, le=16384)], Annotated[int, Field(ge=1, le=16384)]]
    """`[width, height]` of a picture, px; only the aspect ratio matters."""


class End(Table):
    """Request to end the session."""

    type: Literal["end"] = "end"


class Pick(Table):
    """Ask which places are at a point of the newest picture, for the control `place`; answered by `picked`."""

    type: Literal["pick"] = "pick"
    id: Annotated[str, Field(max_length=MAX_ID_CHARS)] | None = None
    x: Annotated[float, Field(ge=0, le=1)]
    """Share of the width, from the left of the picture as it is sent, not mirrored."""
    y: Annotated[float, Field(ge=0, le=1)]
    """Share of the height, from the top."""


ClientMessage = Annotated[Update | Ping | Record | Sound | Source | Pick | End, Field(discriminator="type")]


# From the server


class Waiting(Table):
    """The session is queued for a slot."""

    type: Literal["waiting"] = "waiting"
    position: int
    """Position in the queue; 1 is next."""
    retry_after_s: float | None
    """Expected wait, s; null while no session has ended to estimate it from."""
    offer: tuple[int, int] | None = None
    """Smaller output `(width, height)`, px, with which the session would begin at once after an update of `size`; null
    if none would help, or others are before it."""


class Label(Table):
    """Label drawn into each repainted picture, which says that it is one."""

    words: str
    corner: Literal["top-left", "top-right", "bottom-left", "bottom-right"]
    size: Literal["small", "medium", "large"]
    """Text height: 3.6, 5.5 or 8 % of the shorter side."""


class Live(Table):
    """The session has a slot; frames are painted as they arrive."""

    type: Literal["live"] = "live"
    session: str
    model: str
    size: tuple[int, int] | None
    resumed: bool = False
    """True if the client has reconnected to its session."""
    fps: float | None = None
    """Frame rate promised at full effort, of the arriving frames, whatever the number of sessions later."""
    label: Label | None = None
    """Label in the pictures themselves; null if there is none, and the client should show one."""


class Understood(Table):
    """One edit that a prompt was taken to ask for."""

    action: str
    """One of `look`, `recolour`, `blur`, `replace`, `remove`, `reset`, `undo`, `stronger`, `weaker`, `elsewhere`."""
    what: list[str]
    """Names of looks or colours, or what comes instead."""
    on: list[str]
    """Places that change; none is everywhere."""
    keep: list[str]
    """Places that stay as they are."""
    amount: str
    """Amount that was asked for: nothing, `little` or `much`."""


class Ack(Table):
    """Answer to an update."""

    type: Literal["ack"] = "ack"
    id: str | None = None
    accepted: bool
    frame_index: int
    """First output frame made with it."""
    update_index: int
    applied: list[str]
    message: str = ""
    """Message for people: the interpretation of the prompt, or the reason why nothing was changed."""
    code: str = ""
    """Reason for programs why nothing was changed, e.g. `control`, `unknown_prompt`, `policy`, `shared_option`,
    `memory`."""
    reason: str = ""
    """Reason in the server's policy, if the code is `policy`: such as `sexual`, `minors`, `impersonation`."""
    prompt: str | None = None
    """Whole request of a prompt that referred to those before it, such as "stronger" or "undo", by which it can be set
    again; empty where that shows the source, null for every other prompt."""
    matches: list[tuple[str, float]] = Field(default_factory=list)
    """Styles that the prompt was matched to, with their weights; the nearest styles of an unknown prompt."""
    understood: list[Understood] = Field(default_factory=list)
    """Edits that the prompt was taken to ask for, of a refused one too; none where `matches` says it."""


class Notice(Table):
    """A request at opening that was left out; the session goes on without it."""

    type: Literal["notice"] = "notice"
    code: Literal["unknown_prompt"]
    """Code for programs."""
    message: str
    """Message for people: the reason, and the alternatives."""
    control: str
    """Control that was left out until an update sets it: `prompt`, or one of the model's own."""
    matches: list[tuple[str, float]]
    """Nearest styles with their similarity, 0 to 1; each name is a prompt that the model knows."""
    understood: list[Understood] = Field(default_factory=list)
    """Edits that the prompt was taken to ask for, of a refused one too; none where `matches` says it."""


class Changed(Table):
    """Another client of this session has changed controls."""

    type: Literal["changed"] = "changed"
    controls: dict[str, JsonValue]
    """Values as in that client's update, without pictures and events."""
    message: str = ""
    """Message for people: the interpretation of the prompt."""
    matches: list[tuple[str, float]] = Field(default_factory=list)
    """Styles that the prompt was matched to, with their weights."""
    understood: list[Understood] = Field(default_factory=list)
    """Edits that the prompt was taken to ask for, of a refused one too; none where `matches` says it."""


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
    """Statistics of the session; sent twice a second."""

    type: Literal["stats"] = "stats"
    time_s: float
    """Time since the session began, s."""
    frame_index: int
    fps_in: float | None
    fps_out: float | None
    age_ms: float | None
    """Time from arrival at the server to output, of the newest frame."""
    stages_ms: dict[str, Stage]
    """Stages `receive, wait, prepare, denoise, refine, encode`, `finish` where there are finishers, and `server`, the
    total."""
    glass_to_glass_ms: Stage | None
    """Latency measured by the client, if it reports any."""
    drops: dict[str, int]
    """Dropped frames by reason, since the beginning."""
    effort: float | None
    kept: float | None = None
    """Share of the picture that the model's region cache kept, 0 to 1, since the beginning; None without one."""
    audit_db: float | None = None
    """PSNR of the picture with the region cache against one without, dB, median; None without audits."""
    size: tuple[int, int] | None = None
    """Output `(width, height)`, px; it may vary if the controls name no size."""
    prompt_to_pixel_ms: float | None
    """Latency of the last prompt change, ms."""
    bitrate_kbps: float | None
    loss: float | None
    """Share of packets lost on the way to the client, 0 to 1."""
    rtt_ms: float | None
    limit: Literal["none", "network", "device", "camera"]
    limit_text: str
    """Sentence for people: the present limit on quality."""
    recording: str | None
    """Name of the recording in progress."""
    sound: Literal["none", "on", "muted"] = "none"
    """State of the audio that accompanies the pictures."""
    painted: bool = True
    """True if the newest picture is painted; False if it is the source itself."""
    absent: list[str] = Field(default_factory=list)
    """Places that the prompt changes and that are not in the newest picture, by the names of the control `place`."""
    note: str = ""
    """Note of the model for people, as long as something keeps the pictures from being as asked for."""


class Picked(Table):
    """Answer to a `pick`."""

    type: Literal["picked"] = "picked"
    id: str | None = None
    places: list[str]
    """Values of the control `place` that are there, the likeliest first."""


class Recorded(Table):
    """A recording has started or stopped."""

    type: Literal["recorded"] = "recorded"
    id: str | None = None
    on: bool
    name: str
    url: str | None = None
    """URL of the recording, once it is closed."""
    message: str = ""


class Ended(Table):
    """The session is over."""

    type: Literal["ended"] = "ended"
    reason: Literal["client", "idle", "absent", "drain", "replaced", "failed", "limit", "admin", "moved"]
    """`moved`: to another worker of a cluster, where a client that connects again finds it."""
    message: str
    """Message for people, with what to do."""


class Error(Table):
    """A message that could not be understood or carried out; the session goes on."""

    type: Literal["error"] = "error"
    id: str | None = None
    code: str
    message: str


class Pong(Table):
    """Answer to a ping."""

    type: Literal["pong"] = "pong"
    id: str | None = None
    server_time_s: float


ServerMessage = Annotated[
    Waiting | Live | Ack | Notice | Changed | Applied | Stats | Picked | Recorded | Sound | Ended | Error | Pong,
    Field(discriminator="type"),
]


# Replies over HTTP


class Reply(BaseModel):
    """Base of replies over HTTP; unknown fields of newer servers are ignored."""

    model_config = ConfigDict(extra="ignore", frozen=True)


class Limits(Reply):
    """Limits of the server."""

    max_frame_px: int
    """Largest input frame, width times height, px."""
    max_output_px: int
    """Largest output, width times height, px."""
    max_prompt_chars: int
    max_body_bytes: int
    messages_per_s: float
    heartbeat_s: float
    """Longest interval between `ping` messages, s; a client silent for longer, without a media connection, counts as
    absent."""
    grace_s: float
    """Time that a session is kept for a client that lost its connection, s."""
    idle_s: float
    """Time without a new frame after which a live session is ended, s."""


class RecordingInfo(Reply):
    """Recording on the server."""

    name: str
    title: str = ""
    """Title given by its owner."""
    bytes: int
    began_s: float = 0.0
    """Start time, seconds since 1970."""
    modified_s: float
    """Time of the last write, seconds since 1970."""
    writing: bool = False
    """True while it is being written."""
    url: str
