"""Start and end of the server: sockets, logs, signals."""

from __future__ import annotations

import logging
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from fakes import FakeModel
from http_fakes import settings_for
from patience import PATIENCE_S
from vivace.errors import CheckpointError, UnknownModelError, UsageError
from vivace.serve.logs import RedactingFormatter
from vivace.serve.main import listen, serve
from vivace.serve.settings import ServeSettings

PROGRAM = Path(__file__).parent / "drained_server.py"
LOADING = Path(__file__).parent / "loading_server.py"


def test_a_port_that_is_taken_is_told_with_the_remedy() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(UsageError, match=rf"{port}.*--port"):
            listen(settings_for(port=port))


def test_an_address_that_is_none_is_told() -> None:
    with pytest.raises(UsageError, match="--host"):
        listen(settings_for(host="203.0.113.7", token_secret="x" * 40, port=0))


@pytest.mark.parametrize("name", ["token", "secret"])
def test_secrets_in_addresses_stay_out_of_the_log(name: str) -> None:
    try:
        raise OSError(f"https://host/c?{name}=v1.abc is gone")
    except OSError as error:
        what = (OSError, error, error.__traceback__)
    record = logging.LogRecord("x", 20, "", 0, '"WebSocket %s" [accepted]', (f"/c?a=1&{name}=v1.abc&b=2",), what)
    line, *trace = RedactingFormatter().format(record).splitlines()
    assert line == f'"WebSocket /c?a=1&{name}=***&b=2" [accepted]'
    assert trace[-1] == f"OSError: https://host/c?{name}=*** is gone"


def test_a_server_that_has_ended_leaves_no_handler_behind() -> None:
    """Its stream may be closed by then, and every later line of the process would be a `Logging error`."""
    root = logging.getLogger()
    before = [*root.handlers], root.level, logging.getLogger("aiortc").level
    with pytest.raises(UsageError):
        serve(settings_for(host="0.0.0.0", port=0, log_level="debug"))
    assert ([*root.handlers], root.level, logging.getLogger("aiortc").level) == before


def test_the_address_is_told_at_once_and_a_model_that_cannot_be_loaded_ends_the_server(
    capsys: pytest.CaptureFixture[str],
) -> None:
    def load(_name: str) -> FakeModel:
        raise CheckpointError("its files are damaged")

    with pytest.raises(CheckpointError, match="damaged"):
        serve(settings_for(port=0), load_model=load)
    assert re.fullmatch(r"Vivace is at http://127.0.0.1:\d+ .*\nLoading fake\.\.\.\n", capsys.readouterr().out)


@pytest.mark.parametrize(("sign", "times"), [(signal.SIGTERM, 1), (signal.SIGINT, 1), (signal.SIGINT, 2)])
def test_signals_end_sessions_tell_clients_and_close_recordings(
    sign: signal.Signals, times: int, tmp_path: Path
) -> None:
    """A real process: a client records, the server is told to stop, the client gets the reason, and the file plays.

    Told twice, it does the same without its usual time to leave.
    """
    done = subprocess.run(
        [sys.executable, "-W", "error", PROGRAM, sign.name, str(times), tmp_path],
        capture_output=True, text=True, timeout=PATIENCE_S,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout.split() == ["live", "refused:draining", "ended:drain", "frames:ok", "stopped"], done.stderr


@pytest.mark.parametrize("sign", ["SIGINT", "SIGTERM"])
def test_a_server_told_to_stop_while_its_model_is_loaded_does_not_wait_for_it(sign: str) -> None:
    done = subprocess.run([sys.executable, LOADING, sign], capture_output=True, text=True, timeout=PATIENCE_S)
    assert done.returncode == 0, done.stderr
    assert "Vivace is at" in done.stdout
    assert "Traceback" not in done.stderr


def test_a_model_that_there_is_not_is_told_before_anything_listens(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(UnknownModelError, match="no model 'nimi'; known: "):
        serve(ServeSettings(port=0, models=["nimi"]))
    assert capsys.readouterr().out == ""
