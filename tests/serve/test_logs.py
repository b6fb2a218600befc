"""Log lines, for people and for programs."""

from __future__ import annotations

import json
import logging
import sys

import pytest

from http_fakes import running, settings_for
from vivace.serve.logs import JsonFormatter, event, logging_to_stderr


def test_a_line_of_json_has_the_event_and_no_secret() -> None:
    record = logging.getLogger("vivace.test").makeRecord(
        "vivace.test", logging.WARNING, "f", 1, "dialled %s", ("rtsp://u:hunter2@cam/",), None,
        extra=event("dialled", url="rtsp://u:hunter2@cam/", times=3, model=None),
    )  # fmt: skip
    line = json.loads(JsonFormatter().format(record))
    assert (line["level"], line["logger"], line["event"], line["times"]) == ("warning", "vivace.test", "dialled", 3)
    assert "hunter2" not in json.dumps(line)
    assert "model" not in line
    assert line["time"].endswith("+00:00")


def test_a_traceback_is_in_the_line_and_has_no_secret() -> None:
    try:
        raise ValueError("rtsp://u:hunter2@cam/")
    except ValueError:
        record = logging.LogRecord("a", logging.ERROR, "f", 1, "failed", (), sys.exc_info())
    text = JsonFormatter().format(record)
    assert "ValueError" in json.loads(text)["traceback"]
    assert "hunter2" not in text
    assert "\n" not in text


def test_sessions_are_logged_with_their_end_and_rate(capsys: pytest.CaptureFixture[str]) -> None:
    with logging_to_stderr("info", "json"), running(settings_for()) as server:
        session = server.open()
        server.client.delete(f"/v1/sessions/{session['id']}", headers={"x-session-secret": session["secret"]})
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    events = {line["event"]: line for line in lines if line.get("session") == session["id"]}
    assert events["session_opened"]["model"] == "fake"
    ended = events["session_ended"]
    assert (ended["reason"], ended["frames"]) == ("client", 0)
    assert ended["live_s"] >= 0
    assert ended["fps"] == 0
