"""Log lines of the server: as text for people, or as JSON, one object a line, for programs; secrets in neither."""

from __future__ import annotations

import contextlib
import json
import logging
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, Literal

from vivace.redaction import redact

FIELDS = "fields"
"""Attribute of a log record: values for programs, by name, beside the sentence for people."""

TALKATIVE = ("uvicorn.error", "aioice", "aiortc", "httpx2")
"""Loggers that tell of every connection or request; of theirs only warnings are shown."""


def event(name: str, **fields: Any) -> Mapping[str, Any]:
    """Return what a log call takes as `extra`, so that programs find an event and its values.

    Args:
        name: of the event, as `event` in the line.
        fields: JSON's plain values; None is left out.
    """
    return {FIELDS: {"event": name, **{key: value for key, value in fields.items() if value is not None}}}


class RedactingFormatter(logging.Formatter):
    """Keeps secrets out of log lines, and out of the tracebacks below them."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the text of one record."""
        return redact(super().format(record))


class JsonFormatter(logging.Formatter):
    """Writes one JSON object a line: `time`, `level`, `logger`, `message`, the fields of an event, and `traceback`."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the text of one record."""
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": redact(record.getMessage()),
            **{key: redact(value) if isinstance(value, str) else value for key, value in _fields(record).items()},
        }
        if record.exc_info:
            line["traceback"] = redact(self.formatException(record.exc_info))
        return json.dumps(line, ensure_ascii=False)


def _fields(record: logging.LogRecord) -> Mapping[str, Any]:
    found: Mapping[str, Any] = getattr(record, FIELDS, {})
    return found


@contextlib.contextmanager
def logging_to_stderr(level: str, form: Literal["text", "json"] = "text") -> Iterator[None]:
    """Show log lines on standard error while a server runs, and leave logging as it was.

    A handler holds on to the stream of its day: one that stayed would write to it after the process has closed it.
    """
    handler = logging.StreamHandler()
    if form == "json":
        handler.setFormatter(JsonFormatter())
    else:
        handler.setFormatter(RedactingFormatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    root, wanted = logging.getLogger(), logging.getLevelName(level.upper())
    levels = {root: wanted, **{logging.getLogger(name): max(logging.WARNING, wanted) for name in TALKATIVE}}
    before = {logger: logger.level for logger in levels}
    root.addHandler(handler)
    for logger, value in levels.items():
        logger.setLevel(value)
    try:
        yield
    finally:
        root.removeHandler(handler)
        for logger, value in before.items():
            logger.setLevel(value)
