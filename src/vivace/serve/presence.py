"""Presence of a session's client: connections, signs of life, and pictures."""

from __future__ import annotations

from collections.abc import Callable
from threading import Lock
from typing import Literal

EndReason = Literal["client", "idle", "absent", "drain", "replaced", "failed", "limit", "admin", "moved"]


class Presence:
    """Signs of life of one client. Thread-safe."""

    def __init__(self, clock: Callable[[], float], *, heartbeat_s: float, grace_s: float, idle_s: float) -> None:
        """Begin with a sign of life.

        Args:
            clock: monotonic seconds.
            heartbeat_s: silence, without a connection, after which a client is absent.
            grace_s: time after that in which it may come back.
            idle_s: time a live session may be without a picture.
        """
        self._clock = clock
        self._heartbeat_s = heartbeat_s
        self._grace_s = grace_s
        self._idle_s = idle_s
        self._lock = Lock()
        self._connections = 0
        self._seen_s = clock()
        self._picture_s = self._seen_s

    def touch(self) -> None:
        """The client has said something."""
        self._seen_s = self._clock()

    def picture(self, now_s: float) -> None:
        """The client has sent a picture."""
        self._picture_s = now_s

    def attach(self) -> Callable[[float], None]:
        """A connection stands from now until the function returned is called (any number of times).

        It takes when the client was last heard there.
        """
        open_connection = [True]
        with self._lock:
            self._connections += 1

        def detach(heard_s: float) -> None:
            with self._lock:
                if open_connection:
                    open_connection.clear()
                    self._connections -= 1
                    self._seen_s = max(self._seen_s, heard_s)

        return detach

    @property
    def connected(self) -> bool:
        """True while a connection stands."""
        return self._connections > 0

    def silent_s(self, now_s: float) -> float:
        """Return for how long there has been no sign of life."""
        return 0.0 if self._connections else now_s - max(self._seen_s, self._picture_s)

    def absent(self, now_s: float) -> bool:
        """Tell whether the client gives no sign of life, but may still come back."""
        return self.silent_s(now_s) >= self._heartbeat_s

    def overdue(self, now_s: float, live_since_s: float | None) -> tuple[EndReason, str] | None:
        """Return why the session should end now, if it should."""
        silent_s = self.silent_s(now_s)
        if silent_s >= self._heartbeat_s + self._grace_s:
            return "absent", f"Nothing was heard from you for {silent_s:.0f} s. Connect again for a new session."
        if live_since_s is not None:
            still_s = now_s - max(live_since_s, self._picture_s)
            if still_s >= self._idle_s:
                return "idle", f"No picture came for {still_s:.0f} s. Turn the camera on and connect again."
        return None
