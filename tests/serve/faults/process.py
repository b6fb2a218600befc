"""A real `vivace serve` on a free port of this machine, observed from outside."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2

from patience import PATIENCE_S
from vivace.serve.auth import Scope, make_secret, make_token

SIZE = (96, 96)

QUICK = {
    "HEARTBEAT_S": "2",
    "GRACE_S": "2",
    "DRAIN_S": "1",
    "REQUEST_S": "4",
    "SLOTS": "4",
    "MAX_SESSIONS_PER_CLIENT": "4",
    "QUEUE_LENGTH": "4",
    "LOG_LEVEL": "info",
}
"""Settings of a server that soon notices who is gone; not who sends no picture, which a busy machine may cause."""


@dataclass(frozen=True)
class Held:
    """Resources of a process once everything that can be freed has been."""

    rss_mib: float
    threads: list[str]
    tasks: list[str]
    files: int


class Served:
    """Server in a separate process; a context manager that ends it."""

    def __init__(self, folder: Path, name: str = "server", **settings: str) -> None:
        self.folder = folder
        self.recordings = folder / f"{name}-recordings"
        self.log_path = folder / f"{name}.log"
        self._probe = folder / f"{name}.probe"
        self._secret = make_secret()
        self._settings = QUICK | settings
        self.url = ""

    def __enter__(self) -> Served:
        environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("VIVACE_")},
            **{f"VIVACE_SERVE_{name}": value for name, value in self._settings.items()},
            "VIVACE_SERVE_TOKEN_SECRET": self._secret,
            "VIVACE_PROBE": str(self._probe),
            "VIVACE_MARKS": "none",
        }
        command = [sys.executable, str(Path(__file__).with_name("launch.py"))]
        flags = ["serve", "--port", "0", "--size", f"{SIZE[0]}x{SIZE[1]}", "--dynamic-size", "none"]
        flags += ["--recordings", str(self.recordings)]
        self._log = self.log_path.open("w")
        self.process = subprocess.Popen(
            [*command, *flags], env=environment, stdout=self._log, stderr=subprocess.STDOUT, start_new_session=True
        )
        try:
            wait_for(self._listens, "the server to listen", self.log)
            wait_for(self.ready, "the server to be ready", self.log)
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End it silently, if it still runs."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self._log.close()

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])

    def log(self) -> str:
        return self.log_path.read_text()

    def token(self, *scopes: Scope, expires_s: float = 600.0, now_s: float | None = None) -> str:
        """Return a token of a new client."""
        now_s = time.time() if now_s is None else now_s
        return make_token(self._secret, frozenset(scopes), expires_s=expires_s, now_s=now_s)

    def http(self, *scopes: Scope) -> httpx2.Client:
        headers = {"Authorization": f"Bearer {self.token(*scopes)}"} if scopes else {}
        return httpx2.Client(base_url=self.url, headers=headers, timeout=PATIENCE_S, trust_env=False)

    def ready(self) -> bool:
        try:
            with self.http() as http:
                return http.get("/readyz").status_code == 200
        except httpx2.TransportError:
            return False

    def metrics(self) -> dict[str, float]:
        with self.http("admin") as http:
            text = http.get("/metrics").text
        return {name: float(value) for name, value in re.findall(r"^([a-z_]+(?:\{.*?\})?) (\S+)$", text, re.MULTILINE)}

    def sessions(self) -> int:
        now = self.metrics()
        return int(now['vivace_sessions{state="live"}'] + now['vivace_sessions{state="waiting"}'])

    def peak_mib(self) -> float:
        """Return the peak memory of the process since its start, or since `forget_peak`, MiB."""
        found = re.search(r"VmHWM:\s+(\d+)", Path(f"/proc/{self.process.pid}/status").read_text())
        assert found is not None
        return int(found[1]) / 1024

    def forget_peak(self) -> None:
        Path(f"/proc/{self.process.pid}/clear_refs").write_text("5")

    def hold(self) -> Held:
        """Return the resources of the process."""
        self._probe.unlink(missing_ok=True)
        self.process.send_signal(signal.SIGUSR1)
        wait_for(self._probe.exists, "the probe's answer", self.log)
        return Held(**json.loads(self._probe.read_text()))

    def _listens(self) -> bool:
        assert self.process.poll() is None, self.log()
        found = re.search(r"Vivace is at (http://\S+)", self.log())
        if found is not None:
            self.url = found[1]
        return found is not None


def wait_for(
    condition: Callable[[], Any], what: str, log: Callable[[], str] = str, timeout_s: float = PATIENCE_S
) -> None:
    """Wait until a condition holds; fail with the log if it never does."""
    until_s = time.monotonic() + timeout_s
    pause = threading.Event()
    while not condition():
        assert time.monotonic() < until_s, f"waited {timeout_s:g} s for {what}\n{log()[-8000:]}"
        pause.wait(0.02)
