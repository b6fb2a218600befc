"""Connections with time limits: those that say nothing, say half a request or take nothing are not waited for long."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol, RequestResponseCycle
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol


def patient_protocol(head_s: float) -> type[H11Protocol]:
    """Return uvicorn's protocol, which closes a connection when the head of a request takes longer than `head_s`."""

    class PatientProtocol(H11Protocol):
        """Uvicorn itself waits without end, and a few hundred half requests would take every connection there is."""

        _head_timer: asyncio.TimerHandle | None = None

        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            line = transport.get_extra_info("socket")
            if line is not None and line.family in (socket.AF_INET, socket.AF_INET6):
                # asyncio does so only for sockets that name their protocol, and those of a listening one do not.
                # Without, the body of every answer waits 40 ms for the client to confirm the head.
                line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._wait_for_head()

        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            if not self._expects_head():
                self._forget()
            elif self._head_timer is None:
                self._wait_for_head()

        def send_400_response(self, msg: str) -> None:
            super().send_400_response(msg)
            cycle: RequestResponseCycle | None = self.cycle
            if cycle is not None and not cycle.response_complete:  # its body is no HTTP: it has been answered
                cycle.disconnected = True
                cycle.message_event.set()

        def connection_lost(self, exc: Exception | None) -> None:
            self._forget()
            super().connection_lost(exc)

        def _expects_head(self) -> bool:
            upgraded = self.transport.get_protocol() is not self  # to a WebSocket, which has its own pings
            cycle: RequestResponseCycle | None = self.cycle
            return not upgraded and (cycle is None or cycle.response_complete)

        def _wait_for_head(self) -> None:
            self._head_timer = self.loop.call_later(head_s, self._give_up)

        def _forget(self) -> None:
            timer, self._head_timer = self._head_timer, None
            if timer is not None:
                timer.cancel()

        def _give_up(self) -> None:
            self._head_timer = None
            if self._expects_head():
                self.transport.close()

    return PatientProtocol


class PatientWebSocket(WebSocketsSansIOProtocol):
    """A server that ends does not wait for clients that take nothing any more."""

    def shutdown(self) -> None:
        """End the connection; at once where nothing can be sent any more."""
        if self.transport.is_closing() or not self.writable.is_set():
            # uvicorn would say goodbye, which is an error where a goodbye came already, and the end of the whole server
            self.transport.abort()
        else:
            super().shutdown()
