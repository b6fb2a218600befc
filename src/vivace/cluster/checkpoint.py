"""Checkpoint of a directory: the records of its sessions in a file, written as they change, beside the work."""

from __future__ import annotations

import logging
import sqlite3
import threading
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from pydantic import ValidationError

from vivace.errors import UsageError
from vivace.serve.record import SessionRecord

_log = logging.getLogger(__name__)


class Checkpoint:
    """Table of session records in a SQLite file, readable by its owner alone: it holds secrets."""

    def __init__(self, path: Path) -> None:
        """Open or make the file.

        Raises:
            UsageError: it can be neither, or is something else.
        """
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch(mode=0o600)
            self._connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
            self._connection.execute("PRAGMA journal_mode = WAL")
            # Its process may end at any time; the machine may not.
            self._connection.execute("PRAGMA synchronous = NORMAL")
            self._connection.execute("CREATE TABLE IF NOT EXISTS sessions (id TEXT PRIMARY KEY, record TEXT NOT NULL)")
        except (OSError, sqlite3.Error) as error:
            raise UsageError(
                f"the directory's file {path} cannot be used ({error}); choose another with --state"
            ) from error
        self._lock = threading.Lock()
        self._pending: dict[str, SessionRecord | None] = {}
        """Records that are not written yet, by session; None: it has ended."""
        self._writer = ThreadPoolExecutor(1, "vivace-checkpoint")

    def load(self) -> list[SessionRecord]:
        """Return the records; one that cannot be read, as of another version, is left out."""
        self.flush()
        records = []
        for session_id, text in self._connection.execute("SELECT id, record FROM sessions"):
            try:
                records.append(SessionRecord.model_validate_json(text))
            except ValidationError as error:
                _log.warning("session %s of the checkpoint is left out: %s", session_id, error)
        return records

    def save(self, changed: Iterable[SessionRecord], ended: Iterable[str] = ()) -> None:
        """Have what has changed written, soon: a slow disk makes nobody wait, one that fails costs the checkpoint."""
        news: dict[str, SessionRecord | None] = {record.id: record for record in changed}
        news.update(dict.fromkeys(ended))
        if not news:
            return
        with self._lock:
            idle = not self._pending
            self._pending.update(news)
        if idle:
            self._writer.submit(self._write)

    def flush(self) -> None:
        """Wait until everything that was saved is written."""
        self._writer.submit(self._write).result()

    def _write(self) -> None:
        with self._lock:
            pending, self._pending = self._pending, {}
        rows = [(each.id, each.model_dump_json(exclude_unset=True)) for each in pending.values() if each is not None]
        gone = [(session_id,) for session_id, record in pending.items() if record is None]
        try:
            self._connection.execute("BEGIN")
            self._connection.executemany("INSERT OR REPLACE INTO sessions VALUES (?, ?)", rows)
            self._connection.executemany("DELETE FROM sessions WHERE id = ?", gone)
            self._connection.execute("COMMIT")
        except sqlite3.Error as error:
            _log.error("the directory's file cannot be written (%s); its sessions would not survive its process", error)
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
