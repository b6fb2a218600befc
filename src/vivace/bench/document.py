"""The one JSON document a benchmark writes: who measured what, on which machine, with which result."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue

SCHEMA_VERSION = 1
"""Goes up when a reader of the old document would misunderstand the new one."""

Group = Literal["speed", "latency", "quality"]
Direction = Literal["higher", "lower", "target"]
Role = Literal["subject", "baseline"]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Machine(_Part):
    """What a figure of time has to be read with."""

    cpu: str
    cores: int
    memory_mib: float | None
    gpu: str | None
    system: str
    python: str
    load_average: tuple[float, float, float] | None
    """When the run began."""


class MetricInfo(_Part):
    """How to read a metric."""

    key: str
    title: str
    group: Group
    unit: str
    direction: Direction
    target: float | None = None
    meaning: str
    source: str


class Measurement(_Part):
    """One metric of one system on one case."""

    metric: str
    case: str
    """What was measured on: `walkers/style/ink`, `256x256`, `live/24fps`. The same in every run of the same protocol."""
    value: float | None
    """None: the metric says nothing here."""
    blocks: list[float] = Field(default_factory=list)
    """The same metric over consecutive stretches of the case; intervals are drawn from them."""


class Interval(_Part):
    """A metric of a row over all its cases, with the range in which 95 % of resampled runs lie."""

    metric: str
    value: float
    low: float
    high: float
    cases: int


class NotRun(_Part):
    """A measure that was not taken."""

    what: str
    reason: str
    """What is needed to take it."""


class Row(_Part):
    """Everything measured of one system."""

    system: str
    role: Role
    about: str
    """What it is: model, runtime, precision; or what the baseline does."""
    measurements: list[Measurement]
    summary: list[Interval]


class Document(_Part):
    """A run of `vivace bench`."""

    schema_version: int = SCHEMA_VERSION
    vivace: str
    commit: str | None
    """Of the checkout that ran, with `+changes` where it was not clean; None outside a checkout."""
    created: str
    """UTC, ISO 8601."""
    command: list[str]
    seed: int
    settings: dict[str, JsonValue]
    machine: Machine
    metrics: list[MetricInfo]
    rows: list[Row]
    not_run: list[NotRun]
