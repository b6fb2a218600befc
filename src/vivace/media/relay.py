"""A program that hands an encoded stream on: NUT from its standard input, sent to an address.

FFmpeg's output protocols have no time-out and hold Python's lock while they wait for a peer. A process can be ended
whatever it waits for, and nobody else waits for it. `vivace.media.transmit` starts it.
"""

from __future__ import annotations

import json
import os
import socket
import ssl
import sys
from typing import Any, BinaryIO
from urllib.parse import urlsplit

import av

from vivace.media.encode import flush_packets
from vivace.media.network import is_known, with_remedy

OPENING = {"probesize": "64k", "analyzeduration": "0", "fpsprobesize": "0"}
"""The stream says what it is in its head: nothing has to be guessed from packets, which would be late then."""
CONNECT_S = 10.0


def main() -> int:
    """Send what comes; the address, muxer and its options are the first line, as JSON: `ps` shows arguments to all."""
    with open(0, "rb", buffering=0) as incoming:  # what has come is passed on, however little
        order = json.loads(_line(incoming))
        try:
            if order["verify"] is not None:
                check_certificate(*order["verify"])
            _relay(incoming, order["address"], order["muxer"], order["options"])
        except (av.FFmpegError, OSError, ValueError) as error:
            sys.stderr.write(_unknown_host(order["address"]) or with_remedy(error))
            return 1
    return 0


def _line(incoming: BinaryIO) -> bytes:
    line = bytearray()
    while not line.endswith(b"\n") and (byte := incoming.read(1)):
        line += byte
    return bytes(line)


def _relay(incoming: BinaryIO, address: str, muxer: str, options: dict[str, str]) -> None:
    with (
        av.open(incoming, "r", format="nut", options=OPENING, buffer_size=4096) as source,
        av.open(address, "w", format=muxer, options=options) as sent,
    ):
        flush_packets(sent)
        sent.metadata.update(source.metadata)
        streams: dict[int, Any] = {each.index: sent.add_stream_from_template(each) for each in source.streams}
        connected = False
        for packet in source.demux():
            if packet.dts is not None:
                packet.stream = streams[packet.stream.index]
                sent.mux(packet)
                if not connected:
                    connected = True
                    os.write(1, b"+")  # what `Relay` waits for


def _unknown_host(address: str) -> str:
    """Return that the host of an address cannot be found, which FFmpeg calls an input/output error; else nothing."""
    host = urlsplit(address).hostname
    return f"no machine called {host} can be found" if host and not is_known(host) else ""


def check_certificate(host: str, port: int) -> None:
    """Make sure that a TLS server is who it should be: FFmpeg asks for no proof of it.

    Raises:
        OSError: it is not, or there is none.
    """
    context = ssl.create_default_context(cafile=os.environ.get("SSL_CERT_FILE"))
    with (
        socket.create_connection((host, port), timeout=CONNECT_S) as connection,
        context.wrap_socket(connection, server_hostname=host),
    ):
        pass


if __name__ == "__main__":
    sys.exit(main())
