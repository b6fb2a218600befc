"""Messages between gateways, directory and workers: plain data, checked where it comes in."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field

from vivace.errors import VivaceError
from vivace.serve.admission import MAX_SLOTS, Admission
from vivace.serve.record import SessionRecord

Name = Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]


class Message(BaseModel):
    """Data that nobody changes; unknown fields are a mistake of versions, and refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Hello(Message):
    """A worker that comes into the cluster."""

    name: Name
    incarnation: str
    """Name of this process: another one of the same worker has another."""
    version: str
    """Version of Vivace."""
    url: str
    """Address of its HTTP API, which clients may use directly."""
    region: str = ""
    node: str = ""
    """Machine that it runs on, for people."""
    restarted: bool = False
    """True if Ray started it in place of a process that has ended, whose name it may take over."""


class ModelLoad(Message):
    """Load of one model that a worker offers."""

    loaded: bool
    slots: Annotated[int, Field(ge=0, le=MAX_SLOTS)]
    """Sessions of the default size that fit, as measured there; 0 while it is not loaded and nobody knows."""
    free: Annotated[float, Field(ge=0, le=MAX_SLOTS)]
    """Free slots among them."""
    waiting: Annotated[int, Field(ge=0)] = 0
    step_ms: Annotated[float, Field(ge=0)] = 0.0
    """Median time of a step at full effort and the default size."""
    growth: Annotated[float, Field(ge=0, le=2)] = 1.0
    """Power of its area with which a larger output's step was measured to take longer."""

    @classmethod
    def of(cls, admission: Admission) -> Self:
        """Return the load of a loaded model."""
        return cls(
            loaded=True,
            slots=admission.slots,
            free=admission.free,
            waiting=admission.waiting,
            step_ms=admission.costs.step_ms,
            growth=admission.costs.growth,
        )


class Report(Message):
    """State of a worker, and of the sessions that have changed since its last report."""

    name: Name
    incarnation: str
    models: dict[str, ModelLoad]
    changed: list[SessionRecord] = []
    ended: list[str] = []
    """Ids of sessions that are over."""
    waiting: list[str] = []
    """Ids of sessions that wait for a slot, in order."""


class Want(Message):
    """A session that is to be placed."""

    model: str
    area: Annotated[float, Field(gt=0)] = 1.0
    """Area of its output, in that of the default size."""
    rate: Annotated[float, Field(gt=0)] = 1.0
    """Frames a second that it asks for, in those that others get."""
    region: str = ""
    """Region that its client prefers; empty: any."""
    client: str = ""
    avoid: frozenset[str] = frozenset()
    """Workers that have refused it."""
    waits: bool = True
    """True if a queue will do, where there is no room."""


class Refusal(Message):
    """Refusal of something that was asked for, as an answer: errors of one process are no errors of another."""

    code: str
    message: str
    retry_after_s: float | None = None

    @classmethod
    def of(cls, error: VivaceError) -> Self:
        """Return an error as an answer."""
        return cls(code=error.code, message=str(error), retry_after_s=getattr(error, "retry_after_s", None))


class Place(Message):
    """A place for one session."""

    worker: str
    url: str
    incarnation: str
    ticket: str = ""
    """Name of the reservation; empty: the session is there already."""


class Drained(Message):
    """Counts of the sessions of a drained worker."""

    moved: int
    stayed: int
    """Sessions that end where they are: they found no other place, or were left."""


class WorkerState(Message):
    """A worker as an operator sees it."""

    name: str
    url: str
    region: str
    node: str
    version: str
    models: dict[str, ModelLoad]
    sessions: int
    draining: bool
    silent_s: float
    """Since it was heard last, s."""
