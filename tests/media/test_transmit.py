"""Network streams: their content, and that no peer can block the sender."""

from __future__ import annotations

import socket
import ssl
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fakes import FakeClock
from patience import PATIENCE_S
from stream_peers import Door, free_port, receiving
from vivace.errors import SinkUnsupportedError, SinkWriteError
from vivace.media.frame import Frame
from vivace.media.open import open_sink, open_source
from vivace.media.statement import Statement
from vivace.media.transmit import MAX_WAITING_BYTES, NetworkSink, Relay, with_packet_size
from vivace.media.transmit import PATIENCE_S as PEER_PATIENCE_S
from vivace.redaction import MARK, redact

from .clips import beep, frames_of, grey


def noise(count: int) -> Iterator[Frame]:
    """Yield pictures that take tens of kilobytes each."""
    random = np.random.default_rng(0)
    for number in range(count):
        rgb = random.integers(0, 256, (240, 320, 3), np.uint8)
        yield frames_of([rgb], [number])[0]


def unpaced(address: str, muxer: str, **more: Any) -> NetworkSink:
    return NetworkSink(address, muxer, sleep=lambda _: None, **more)


@pytest.mark.parametrize("scheme", ["rtmp", "rtsp"])
def test_pictures_and_sound_arrive_with_their_times(scheme: str, clip: Callable[..., Path]) -> None:
    path = clip("talk.mp4", 30, sound=beep(1.2, 0.4))
    with receiving(scheme) as received, open_source(path) as source:
        statement = Statement("repainted", "urn:x")
        with open_sink(received.address, fps=25, audio_from=source, statement=statement) as sink:
            assert sink.live
            for frame in source:
                sink.write(frame)
    assert received.streams == {"video": "h264", "audio": "aac"}
    video_s, audio_s = received.times_s["video"], received.times_s["audio"]
    assert len(video_s) in (
        (30,) if scheme == "rtmp" else (29, 30)
    )  # FFmpeg's listener may miss the last before the end
    assert np.diff(video_s) == pytest.approx([1 / 25] * (len(video_s) - 1), abs=2e-3)
    assert audio_s[0] - video_s[0] == pytest.approx(0, abs=0.05)
    assert audio_s[-1] - audio_s[0] > 1.0


def test_a_multicast_group_receives() -> None:
    group = "239.255.77.7"
    where = "?localaddr=127.0.0.1"
    with (
        receiving("udp", door=False, host=group, query=where, enough=20) as received,
        NetworkSink(with_packet_size(received.address), "mpegts") as sink,
    ):
        # A late receiver misses the beginning, and nothing reports its arrival.
        for frame in frames_of([grey(20 * (number % 10)) for number in range(25 * 60)]):
            sink.write(frame)
            if received.over():
                break
    assert received.streams == {"video": "h264"}
    assert len(received.times_s["video"]) == 20


@pytest.mark.parametrize(
    ("address", "sent_to"),
    [
        ("udp://239.1.2.3:1234", "udp://239.1.2.3:1234?pkt_size=1316&ttl=1"),
        ("udp://239.1.2.3:1234?ttl=4", "udp://239.1.2.3:1234?ttl=4&pkt_size=1316"),
        ("udp://192.0.2.1:1234", "udp://192.0.2.1:1234?pkt_size=1316"),
        ("udp://[ff02::1]:1234?pkt_size=188", "udp://[ff02::1]:1234?pkt_size=188&ttl=1"),
    ],
)
def test_packets_fit_the_network_and_a_group_stays_within_it(address: str, sent_to: str) -> None:
    assert with_packet_size(address) == sent_to


@pytest.mark.parametrize("address", ["udp://239.1.2.3", "tcp://127.0.0.1", "rtmp:///live", "rtsp://h:99999/x"])
def test_an_address_that_lacks_something_is_refused_at_once(address: str) -> None:
    with pytest.raises(SinkUnsupportedError, match=r"machine|port|Port") as refused:
        open_sink(address)
    assert MARK not in redact(str(refused.value)), "what is to be written instead is no secret"


@pytest.fixture
def silent() -> Iterator[str]:
    """Yield the URL of a server that accepts and then neither reads nor answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        accepted: list[socket.socket] = []
        done = threading.Event()

        def accept() -> None:
            try:
                while not done.is_set():
                    connection, _ = server.accept()
                    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
                    accepted.append(connection)
            except OSError:
                pass

        threading.Thread(target=accept, daemon=True).start()
        yield f"127.0.0.1:{server.getsockname()[1]}"
        done.set()
        server.shutdown(socket.SHUT_RDWR)
        for connection in accepted:
            connection.close()


def test_a_peer_that_hangs_up_is_a_write_error() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def hang_up() -> None:
            connection, _ = server.accept()
            connection.recv(100)
            connection.close()

        peer = threading.Thread(target=hang_up)
        peer.start()
        address = f"tcp://127.0.0.1:{server.getsockname()[1]}"
        with NetworkSink(address, "mpegts") as sink, pytest.raises(SinkWriteError, match=r"reset|pipe|closed"):
            for frame in noise(2000):
                sink.write(frame)
        peer.join(PATIENCE_S)


def test_a_network_stream_is_sent_as_fast_as_it_is_shown() -> None:
    """A file is written faster than it plays; a live receiver buffers half a second."""
    now_s, sent_s = 100.0, []

    def sleep(seconds: float) -> None:
        nonlocal now_s
        now_s += seconds

    with socket.create_server(("127.0.0.1", 0)) as server:

        def receive() -> None:
            connection, _ = server.accept()
            with connection:
                while connection.recv(65536):
                    pass

        peer = threading.Thread(target=receive)
        peer.start()
        address = f"tcp://127.0.0.1:{server.getsockname()[1]}"
        with NetworkSink(address, "mpegts", clock=lambda: now_s, sleep=sleep) as sink:
            assert sink.live
            for frame in frames_of([grey(100)] * 50):
                sink.write(frame)
                sent_s.append(now_s - 100)
        peer.join(PATIENCE_S)
    assert sent_s == pytest.approx([max(0.0, number / 25 - 0.5) for number in range(50)])


@pytest.mark.parametrize(("scheme", "muxer"), [("rtmp", "flv"), ("rtsp", "rtsp"), ("tcp", "mpegts")])
def test_a_silent_peer_costs_frames_and_ends_the_output(silent: str, scheme: str, muxer: str) -> None:
    clock = FakeClock()
    sink = unpaced(f"{scheme}://{silent}/live/hush", muxer, start=lambda order: Relay(order, clock=clock), clock=clock)
    frames = noise(10_000)
    with pytest.raises(SinkWriteError, match="takes nothing for 10 s") as error:
        while not sink.frames_left_out:  # nothing here waits for the peer
            sink.write(next(frames))
        written = sink.frames_written
        assert sink._relay.waiting_bytes < 2 * MAX_WAITING_BYTES
        sink.write(next(frames))
        assert sink.frames_written == written
        clock.advance(PEER_PATIENCE_S + 1)
        sink.write(next(frames))
    sink.close()
    assert sink._relay._process.poll() is not None, "nobody waits for the peer any more"
    assert scheme != "rtmp" or "hush" not in "".join(traceback.format_exception(error.value))


def test_closing_does_not_wait_for_a_silent_peer(silent: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vivace.media.transmit.CLOSE_S", 0.5)
    sink = unpaced(f"rtmp://{silent}/live/key", "flv")
    sink.write(next(noise(1)))
    with pytest.raises(SinkWriteError, match="did not take the end"):
        sink.close()
    sink.close()


@pytest.mark.parametrize(
    ("address", "reason"),
    [("rtmp://127.0.0.1:1/live/key", "refused"), ("udp://nobody.invalid:9000", "no machine called nobody.invalid")],
)
def test_what_was_never_connected_has_sent_nothing_and_says_why(address: str, reason: str) -> None:
    with open_sink(address) as sink, pytest.raises(SinkWriteError, match=rf"no connection \(.*{reason}"):
        for frame in noise(10_000):
            sink.write(frame)


def test_a_sink_that_was_given_nothing_closes() -> None:
    sink = open_sink("rtmp://127.0.0.1:1/live/key")
    sink.close()


def test_a_program_that_cannot_start_sending_says_why() -> None:
    command = (sys.executable, "-c", "import sys; sys.exit('no relay here')")
    sink = unpaced("tcp://127.0.0.1:1", "mpegts", start=lambda order: Relay(order, command=command))
    with sink, pytest.raises(SinkWriteError, match="no relay here"):
        for frame in noise(10_000):
            sink.write(frame)


@pytest.fixture
def tls(tmp_path: Path) -> tuple[ssl.SSLContext, Path]:
    """Return a server's TLS context with a self-made certificate, and the file of that."""
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    from vivace.serve.tls import _certificate

    key = ec.generate_private_key(ec.SECP256R1())
    certificate = _certificate(key, ["127.0.0.1"], datetime.now(UTC)).public_bytes(serialization.Encoding.PEM)
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path = tmp_path / "server.pem"
    path.write_bytes(certificate + private)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(path)
    return context, path


def test_a_certificate_that_nobody_vouches_for_is_refused(tls: tuple[ssl.SSLContext, Path]) -> None:
    with (
        Door(free_port(), tls=tls[0]) as door,
        open_sink(f"rtmps://127.0.0.1:{door.port}/live/hush") as sink,
        pytest.raises(SinkWriteError, match=r"certificate verify failed.*SSL_CERT_FILE") as error,
    ):
        for frame in noise(10_000):
            sink.write(frame)
    assert "hush" not in str(error.value)


def test_rtmp_over_tls_arrives(tls: tuple[ssl.SSLContext, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(tls[1]))
    with receiving("rtmp", door=False) as received:
        port = int(received.address.split(":")[2].split("/")[0])
        with Door(port, tls=tls[0]) as door, open_sink(f"rtmps://127.0.0.1:{door.port}/live/key", fps=25) as sink:
            for frame in frames_of([grey(10 * number) for number in range(20)]):
                sink.write(frame)
    assert received.streams == {"video": "h264"}
    assert len(received.times_s["video"]) == 20
