"""JSON document of a benchmark run: version, machine, systems, metrics, measurements."""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    JsonValue,
    ValidationError,
    model_validator,
)

from vivace.errors import SinkWriteError, SourceNotFoundError, SourceUnsupportedError, describe_invalid

SCHEMA_VERSION: Literal[1] = 1
"""Version of the format, raised if a reader of the old format would misunderstand the new one."""

DIGITS = 9
"""Significant digits of a figure: a thousand times finer than the promised repeatability, half as long as the full
binary value."""

BUSY_LOAD = 0.75
"""Load per core above which a machine counts as busy."""

Group = Literal["speed", "latency", "quality"]
GROUPS: tuple[Group, ...] = ("speed", "latency", "quality")
Direction = Literal["higher", "lower", "target"]
Role = Literal["subject", "baseline"]


def _rounded(value: float) -> float:
    return float(f"{value:.{DIGITS}g}")


def _nan_is_none(value: object) -> object:
    return None if isinstance(value, float) and math.isnan(value) else value


Figure = Annotated[float, AfterValidator(_rounded)]
"""Finite number, rounded to `DIGITS` significant digits."""
Gap = Annotated[Figure | None, BeforeValidator(_nan_is_none)]
"""Figure or nothing; NaN becomes None."""


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Machine(_Part):
    """Machine on which figures of time were measured."""

    cpu: str
    cores: int
    memory_mib: float | None
    gpu: str | None
    system: str
    python: str
    load_average: tuple[float, float, float] | None
    """Load average at the start of the run."""

    @property
    def busy(self) -> bool:
        """True if other programs kept the machine so busy that its times are unreliable."""
        return self.load_average is not None and self.load_average[0] > BUSY_LOAD * self.cores


class MetricInfo(_Part):
    """Definition of a metric."""

    key: str
    title: str
    group: Group
    unit: str
    direction: Direction
    target: float | None = None
    meaning: str
    source: str


class MetricTable(dict[str, MetricInfo]):
    """Definitions of the metrics of a timing benchmark, by key."""

    def __init__(self, group: Group) -> None:
        super().__init__()
        self._group = group

    def add(
        self, key: str, title: str, unit: str, meaning: str, direction: Direction = "lower", target: float | None = None
    ) -> None:
        """Add a metric of the group; `direction` says which values are better."""
        self[key] = MetricInfo(
            key=key,
            title=title,
            group=self._group,
            unit=unit,
            direction=direction,
            target=target,
            meaning=meaning,
            source="docs/bench.md",
        )


class Measurement(_Part):
    """Value of one metric for one system on one case."""

    metric: str
    case: str
    """Case, such as `walkers/style/ink`, `256x256`, `live/24fps`; the same in every run of a protocol."""
    value: Gap
    """Value; None if the metric does not apply."""
    blocks: list[Gap] = Field(default_factory=list)
    """Values over consecutive blocks of the case, from which intervals are resampled. None for a block that the metric
    does not apply to, so that the blocks of two runs stay aligned."""


class Interval(_Part):
    """Metric of a row over all its cases, with the range that holds 95 % of resampled runs."""

    metric: str
    value: Figure
    low: Figure
    high: Figure
    cases: int
    """Number of cases to which the metric applies."""

    @property
    def half(self) -> float:
        """Half the width of the range."""
        return (self.high - self.low) / 2


class NotRun(_Part):
    """Measure that was not taken."""

    what: str
    reason: str
    """Requirement for taking it."""


class CaseInfo(_Part):
    """Content and request of a case."""

    case: str
    about: str
    prompt: str | None = None


class PlantedFault(_Part):
    """Fault planted into a clean run, and whether the metric that it must move left its interval."""

    fault: str
    about: str
    clean: Interval
    value: Figure
    """Value of the same metric with the fault."""
    caught: bool


class Row(_Part):
    """All measurements of one system."""

    system: str
    role: Role
    about: str
    """Description: model, runtime, precision; or the behaviour of the baseline."""
    measurements: list[Measurement]
    summary: list[Interval]


class Document(_Part):
    """Run of `vivace bench`.

    Names are unique among their kind, and every measurement is of a metric that the document defines.
    """

    schema_version: Literal[1] = SCHEMA_VERSION
    vivace: str
    commit: str | None
    """Commit of the checkout that ran, with `+changes` if it was not clean; None outside a checkout."""
    created: str
    """Creation time, UTC, ISO 8601."""
    command: list[str]
    seed: int
    settings: dict[str, JsonValue]
    """Protocol settings, which must be equal for two documents to be compared."""
    machine: Machine
    metrics: list[MetricInfo]
    cases: list[CaseInfo] = Field(default_factory=list)
    rows: list[Row]
    planted_faults: list[PlantedFault] = Field(default_factory=list)
    not_run: list[NotRun]

    @model_validator(mode="after")
    def _is_consistent(self) -> Self:
        known = {info.key for info in self.metrics}
        _refuse_repeats("metric", (info.key for info in self.metrics))
        _refuse_repeats("case", (info.case for info in self.cases))
        _refuse_repeats("system", (row.system for row in self.rows))
        for row in self.rows:
            _refuse_repeats(f"measurement of {row.system}", ((m.metric, m.case) for m in row.measurements))
            _refuse_repeats(f"summary of {row.system}", (interval.metric for interval in row.summary))
            used = {m.metric for m in row.measurements} | {interval.metric for interval in row.summary}
            if used - known:
                raise ValueError(f"{row.system} has metrics that `metrics` does not explain: {sorted(used - known)}")
        return self

    def flat_settings(self) -> dict[str, JsonValue]:
        """Return the settings without nesting: `{"speed": {"fps": 30}}` becomes `{"speed.fps": 30}`."""
        return _flat(self.settings)

    def metric(self, key: str) -> MetricInfo:
        """Return the definition of a metric. Raises KeyError if the document has none."""
        for info in self.metrics:
            if info.key == key:
                return info
        raise KeyError(key)


def schema() -> dict[str, Any]:
    """Return the JSON Schema of the document, draft 2020-12."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **Document.model_json_schema(mode="serialization"),
    }


def to_json(document: Document) -> str:
    """Return the document as JSON text, one line per list of plain values. Equal documents give equal text."""
    return dump_json(document.model_dump(mode="json"))


def dump_json(value: Any) -> str:
    """Return indented JSON with every list of plain values on one line.

    Raises:
        ValueError: NaN or infinity, which JSON does not have.
    """
    text = json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False)
    # JSON strings contain no raw line breaks, so multi-line matches are structure.
    return re.sub(r"\[\n[^\[\]{}]*?\n *\]", lambda found: _one_line(found[0]), text) + "\n"


def write_document(path: Path, document: Document) -> None:
    """Write a document, replacing an existing file.

    Raises:
        SinkWriteError: the file cannot be written.
    """
    write_text(path, to_json(document))


def write_text(path: Path, text: str) -> None:
    """Write a text file, UTF-8.

    Raises:
        SinkWriteError: the file cannot be written.
    """
    try:
        path.write_text(text, "utf-8")
    except OSError as error:
        raise SinkWriteError(f"{path}: cannot be written ({error.strerror}); choose another path.") from error


def read_document(path: Path) -> Document:
    """Return the document in a file.

    Raises:
        SourceNotFoundError: no such file.
        SourceUnsupportedError: not JSON, not a benchmark document, or one of another version.
    """
    try:
        fields = json.loads(path.read_text("utf-8"))
    except FileNotFoundError as error:
        raise SourceNotFoundError(f"{path}: no such file; `vivace bench` writes one with --out or --json.") from error
    except OSError as error:
        raise SourceUnsupportedError(f"{path}: cannot be read ({error.strerror}); give a document's path.") from error
    except ValueError as error:
        raise SourceUnsupportedError(f"{path}: not JSON ({error}); give a document of `vivace bench`.") from error
    if not isinstance(fields, dict) or "schema_version" not in fields:
        raise SourceUnsupportedError(
            f"{path}: JSON, but no document of `vivace bench` (it has no schema_version); measure again to get one."
        )
    if fields["schema_version"] != SCHEMA_VERSION:
        raise SourceUnsupportedError(
            f"{path}: schema version {fields['schema_version']!r}, this vivace reads {SCHEMA_VERSION}; "
            "measure again with this vivace, or read it with the one that wrote it."
        )
    try:
        return Document.model_validate(fields)
    except ValidationError as error:
        problems = describe_invalid(error.errors())
        raise SourceUnsupportedError(
            f"{path}: not a valid document of `vivace bench`: {problems}; was it edited by hand?"
        ) from error


def _flat(settings: Mapping[str, JsonValue], prefix: str = "") -> dict[str, JsonValue]:
    flat: dict[str, JsonValue] = {}
    for key, value in settings.items():
        if isinstance(value, dict):
            flat |= _flat(value, f"{prefix}{key}.")
        else:
            flat[prefix + key] = value
    return flat


def _one_line(text: str) -> str:
    parts = [line.strip() for line in text[1:-1].strip().split("\n")]
    return f"[{' '.join(parts)}]"


def _refuse_repeats(what: str, names: Iterable[object]) -> None:
    repeated = [name for name, count in Counter(names).items() if count > 1]
    if repeated:
        raise ValueError(f"{what} given more than once: {repeated}")
