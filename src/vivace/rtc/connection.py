"""Connection handling shared by server and client: opening, descriptions, traffic counters, closing."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from aiortc import (
    RTCBundlePolicy,
    RTCConfiguration,
    RTCIceServer,
    RTCPeerConnection,
    RTCRtpReceiver,
    RTCRtpTransceiver,
    RTCSessionDescription,
)
from aiortc.stats import RTCRemoteInboundRtpStreamStats, RTCTransportStats

from vivace.errors import UsageError
from vivace.rtc.arrivals import REPORT_S, Arrivals
from vivace.rtc.assemble import FrameAssembler, Requests
from vivace.rtc.decoding import LiveDecoder, OnPicture
from vivace.rtc.descriptions import (
    as_baseline,
    check_sections,
    playout_delays,
    transport_numbers,
    usable_candidates,
)
from vivace.rtc.encoding import CODECS
from vivace.rtc.feed import Feed
from vivace.rtc.line import LineState
from vivace.rtc.media_address import ANYWHERE, MediaAddress
from vivace.rtc.seams import (
    PLAYOUT_DELAY,
    agree_on_extension,
    agree_on_transport_cc,
    agreed_codecs,
    call_h264,
    codec_name,
    on_arrival,
    remember_few_sources,
    replace_jitter_buffer,
    replace_requests,
    send_arrivals,
    sources_heard,
    window_left,
)
from vivace.rtc.transport_seams import (
    accept_rsa,
    end_consent,
    gather_loopback_too,
    gathering_ended,
    refuse_malformed_stun,
)

_log = logging.getLogger(__name__)

MAX_SDP_CHARS = 64 * 1024
"""Longest description accepted, characters; a browser's offer has a tenth of it."""
MAX_SECTIONS = 8
CLOSE_S = 5.0
MAX_SOURCES = 32
"""Most media sources (SSRCs) of one peer; a browser has two, and new ones when its camera changes."""
MAX_BEYOND_WINDOW = 128 * 1024
"""Most bytes a peer may send over data channels beyond its announced window: bytes already in flight."""


def open_connection(ice_servers: Sequence[RTCIceServer]) -> RTCPeerConnection:
    """Return a new connection; without servers, only the local network is reachable."""
    refuse_malformed_stun()
    connection = RTCPeerConnection(
        RTCConfiguration(iceServers=list(ice_servers), bundlePolicy=RTCBundlePolicy.MAX_BUNDLE)
    )
    accept_rsa(connection)
    return connection


async def take_description(connection: RTCPeerConnection, sdp: str, kind: str) -> None:
    """Apply the remote description, `offer` or `answer`.

    Raises:
        UsageError: it is not a description, or offers nothing that is supported here.
    """
    if len(sdp) > MAX_SDP_CHARS:
        raise UsageError(f"the {kind} has {len(sdp)} characters, more than {MAX_SDP_CHARS}; offer video and data only")
    if not sdp.startswith("v=0"):
        raise UsageError(f"the {kind} is not SDP: it begins with {sdp[:20]!r}; send what createOffer made, from v=0 on")
    sections = sdp.count("\nm=")
    if not 1 <= sections <= MAX_SECTIONS:
        raise UsageError(
            f"the {kind} has {sections} media sections; offer 1 to {MAX_SECTIONS}: a video, a data channel"
        )
    try:
        check_sections(sdp)
        numbered, delayed = transport_numbers(sdp), playout_delays(sdp)
        sdp, called = as_baseline(usable_candidates(sdp)) if kind == "offer" else (usable_candidates(sdp), {})
        await connection.setRemoteDescription(RTCSessionDescription(sdp, kind))
    except UsageError:
        raise
    except Exception as error:  # aiortc's parser raises arbitrary exceptions
        problem = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
        raise UsageError(
            f"the {kind} cannot be used ({problem[:200]}); offer H.264 or VP8 video with ICE, DTLS and rtcp-mux, "
            "as a browser does"
        ) from error
    for transceiver in connection.getTransceivers():
        call_h264(transceiver, {number: said for (mid, number), said in called.items() if mid == transceiver.mid})
        if (extension_id := numbered.get(transceiver.mid or "")) is not None:
            agree_on_transport_cc(transceiver, extension_id)
        if (extension_id := delayed.get(transceiver.mid or "")) is not None:
            agree_on_extension(transceiver, PLAYOUT_DELAY, extension_id)


def prepare_transports(connection: RTCPeerConnection, at: MediaAddress = ANYWHERE) -> None:
    """Let a connection receive where `at` says, also without a network; before the local description is set."""
    for transport in _ice_transports(connection):
        gather_loopback_too(transport, at)


def _dtls_transports(connection: RTCPeerConnection) -> list[Any]:
    found = [transceiver.receiver.transport for transceiver in connection.getTransceivers()]
    found += [connection.sctp.transport] if connection.sctp is not None else []
    return list(dict.fromkeys(found))


def _ice_transports(connection: RTCPeerConnection) -> list[Any]:
    return [transport.transport for transport in _dtls_transports(connection)]


def receive_video(
    receiver: RTCRtpReceiver,
    on_picture: OnPicture,
    *,
    max_frame_px: int,
    clock: Callable[[], float],
) -> tuple[FrameAssembler, LiveDecoder]:
    """Decode a receiver's packets into pictures; close the decoder together with the connection."""

    def ask() -> None:
        assembler.ask_for_keyframe()

    decoder = LiveDecoder(on_picture, ask, max_frame_px=max_frame_px, clock=clock)
    assembler = FrameAssembler(decoder.put, lambda payload_type: codec_name(receiver, payload_type), clock=clock)
    replace_jitter_buffer(receiver, assembler)
    _ArrivalReports(receiver, clock)
    remember_few_sources(receiver)
    replace_requests(receiver, Requests(assembler, clock=clock))
    return assembler, decoder


class _ArrivalReports:
    """Sender of arrival reports to a peer that numbers its packets."""

    def __init__(self, receiver: RTCRtpReceiver, clock: Callable[[], float]) -> None:
        self._receiver = receiver
        self._clock = clock
        self._arrivals = Arrivals()
        self._timer: asyncio.TimerHandle | None = None
        self._sending: asyncio.Future[None] | None = None
        on_arrival(receiver, self._arrived)

    def _arrived(self, number: int, ssrc: int) -> None:
        self._arrivals.add(number, self._clock())
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(REPORT_S, self._report, ssrc)

    def _report(self, ssrc: int) -> None:
        self._timer = None
        if (fci := self._arrivals.report()) is not None:
            self._sending = asyncio.ensure_future(send_arrivals(self._receiver, ssrc, fci))


def codec_to_send(transceiver: RTCRtpTransceiver) -> str:
    """Return the negotiated codec for sending."""
    return next(codec for codec in agreed_codecs(transceiver) if codec in CODECS)


@dataclass(frozen=True, slots=True)
class Line:
    """Traffic and path statistics of a connection."""

    received_bytes: int
    sent_bytes: int
    rtt_ms: float | None
    loss: float | None
    """Share of packets lost on the way to the peer since its last report, 0 to 1."""


async def look_at_line(connection: RTCPeerConnection) -> Line:
    """Return byte counts and the peer's latest report."""
    received = sent = 0
    rtt_ms = loss = None
    for report in (await connection.getStats()).values():
        if isinstance(report, RTCTransportStats):
            received, sent = report.bytesReceived, report.bytesSent
        elif isinstance(report, RTCRemoteInboundRtpStreamStats) and report.kind == "video":
            loss = report.fractionLost / 256
            rtt_s: float | None = report.roundTripTime  # unknown until the first report
            rtt_ms = None if rtt_s is None else 1000.0 * rtt_s
    return Line(received, sent, rtt_ms, loss)


def overdone(connection: RTCPeerConnection) -> str | None:
    """Return the reason to drop this peer (too many SSRCs, flow control ignored), or None."""
    heard = max((sources_heard(each.receiver) for each in connection.getTransceivers()), default=0)
    if heard > MAX_SOURCES:
        return f"pictures of {heard} sources came, where {MAX_SOURCES} may"
    if connection.sctp is not None and (beyond := -window_left(connection.sctp)) > MAX_BEYOND_WINDOW:
        return f"messages without end came, {beyond} bytes beyond what was announced"
    return None


class RateWatch:
    """Periodic observer of a path, about once a second, that lets a feed choose its rung."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self.sent_bps = 0.0
        self.received_bps = 0.0
        self._clock = clock
        self._before: tuple[float, Line] | None = None

    def observe(self, line: Line, feed: Feed | None) -> None:
        """Take one observation."""
        now_s = self._clock()
        if self._before is not None:
            then_s, before = self._before
            span_s = max(1e-3, now_s - then_s)
            self.sent_bps = 8 * (line.sent_bytes - before.sent_bytes) / span_s
            self.received_bps = 8 * (line.received_bytes - before.received_bytes) / span_s
            if feed is not None and not feed.told_of_arrivals:
                feed.observe(LineState(self.sent_bps, line.loss))
        self._before = now_s, line


async def close_connection(connection: RTCPeerConnection, decoder: LiveDecoder | None) -> None:
    """Close a connection in any state, and end its threads."""
    try:
        async with asyncio.timeout(CLOSE_S):
            for transport in _ice_transports(connection):
                await gathering_ended(transport)
                end_consent(transport)
            await connection.close()
    except TimeoutError:
        # aiortc waits for tasks of its own, and an error may have ended one of them. Release what holds memory.
        _log.exception("a connection did not close within %g s; its transports are stopped", CLOSE_S)
        for transport in _dtls_transports(connection):
            await transport.stop()
            await transport.transport.stop()
    finally:
        if decoder is not None:
            await asyncio.to_thread(decoder.close)
