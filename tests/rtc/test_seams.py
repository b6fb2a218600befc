"""The used internals of aiortc still exist. If one of these fails after an update, see `vivace.rtc.seams`."""

from __future__ import annotations

import asyncio
import inspect
import re
from struct import pack

import pytest
from aioice import stun
from aiortc import RTCPeerConnection, RTCRtpReceiver, RTCRtpSender
from aiortc.codecs.h264 import H264Encoder
from aiortc.codecs.vpx import Vp8Encoder
from aiortc.jitterbuffer import JitterBuffer
from aiortc.rate import RemoteBitrateEstimator
from aiortc.rtcdtlstransport import SRTP_PROFILES, RTCCertificate, RTCDtlsTransport
from aiortc.rtcrtpparameters import RTCRtpCodecParameters
from aiortc.rtcrtpreceiver import NackGenerator
from aiortc.rtp import HeaderExtensionsMap
from OpenSSL import SSL

from vivace.rtc import seams, transport_seams
from vivace.rtc.connection import open_connection


def connection_parts() -> tuple[RTCPeerConnection, RTCRtpReceiver, RTCRtpSender]:
    connection = RTCPeerConnection()
    transceiver = connection.addTransceiver("video")
    return connection, transceiver.receiver, transceiver.sender


def test_every_private_name_is_there() -> None:
    async def scene() -> None:
        connection, receiver, sender = connection_parts()
        assert isinstance(getattr(receiver, seams._JITTER_BUFFER), JitterBuffer)
        assert isinstance(getattr(receiver, seams._REQUESTS), NackGenerator)
        assert getattr(receiver, seams._SOURCES) == {}
        connection.createDataChannel("any")
        assert seams.window_left(connection.sctp) > 2**16
        assert getattr(receiver, seams._RECEIVER_CODECS) == {}
        assert getattr(sender, seams._SENDER_ENCODER) is None
        assert isinstance(getattr(sender, seams._SENDER_TIMESTAMP), int)
        assert callable(getattr(sender, seams._SEND_KEYFRAME))
        assert list(inspect.signature(getattr(sender, seams._SEND_RTCP)).parameters) == ["packets"]
        assert list(inspect.signature(getattr(receiver, seams._TAKE_REPORT)).parameters) == ["packet"]
        assert isinstance(getattr(receiver, seams._REMB), RemoteBitrateEstimator)
        assert isinstance(getattr(receiver, seams._REPORTER), int)
        assert list(inspect.signature(getattr(receiver, seams._TAKE_RTP)).parameters) == ["packet", "arrival_time_ms"]
        assert isinstance(getattr(sender, seams._SENDER_EXTENSIONS), HeaderExtensionsMap)
        assert list(inspect.signature(getattr(sender.transport, seams._SEND)).parameters) == ["data"]
        assert list(inspect.signature(getattr(sender.transport, seams._TAKE_RTCP)).parameters) == ["data"]
        ice = getattr(receiver.transport.transport, transport_seams._CONNECTION)
        parameters = inspect.signature(getattr(ice, transport_seams._GET_CANDIDATES)).parameters
        assert list(parameters) == ["component", "addresses", "timeout"]
        transceiver = connection.getTransceivers()[0]
        certificates = getattr(connection, transport_seams._CERTIFICATES)
        assert list(inspect.signature(getattr(certificates[0], transport_seams._MAKE_CONTEXT)).parameters) == [
            "srtp_profiles"
        ]
        assert transceiver._codecs == []
        assert transceiver._offerDirection is None
        assert transceiver._headerExtensions == []
        await connection.close()

    asyncio.run(scene())


def test_ciphers_are_forward_secret_and_hold_aiortcs_own() -> None:
    async def scene() -> None:
        def ciphers(certificate: RTCCertificate) -> list[str]:
            named = SSL.Connection(certificate._create_ssl_context(SRTP_PROFILES)).get_cipher_list()
            return [name for name in named if not name.startswith("TLS_")]  # of TLS 1.3, which DTLS does not use here

        connection = open_connection([])
        ours = ciphers(getattr(connection, transport_seams._CERTIFICATES)[0])
        as_it_comes = ciphers(RTCCertificate.generateCertificate())
        assert ours[: len(as_it_comes)] == as_it_comes
        added = ours[len(as_it_comes) :]
        assert added
        assert all(re.fullmatch(r"ECDHE-RSA-(AES(128|256)-GCM-SHA(256|384)|CHACHA20-POLY1305)", name) for name in added)
        await connection.close()

    asyncio.run(scene())


def test_aiortc_still_uses_them_as_we_expect() -> None:
    receiver = inspect.getsource(RTCRtpReceiver)
    assert "pli_flag, encoded_frame = self.__jitter_buffer.add(packet)" in receiver
    assert "self.__nack_generator.add(packet)" in receiver
    assert "sorted(self.__nack_generator.missing)" in receiver
    assert "packet._data = depayload(codec, packet.payload)" in receiver
    assert "if self.__remote_bitrate_estimator is not None:" in receiver
    transport = inspect.getsource(RTCDtlsTransport)
    assert "await receiver._handle_rtp_packet(packet, arrival_time_ms=arrival_time_ms)" in transport
    assert "await self._handle_rtcp_data(data)" in transport
    sender = inspect.getsource(RTCRtpSender)
    # Nothing else may be sent between the two: the written number is that of the sent packet.
    written = "packet_bytes = packet.serialize(self.__rtp_header_extensions_map)"
    sent = "await self.transport._send_rtp(packet_bytes)"
    assert re.findall(rf"{re.escape(written)}\s+{re.escape(sent)}", sender) != []
    assert sender.count(written) == sender.count(sent) == 2
    assert "if self.__encoder is None:" in sender
    assert "payloads, timestamp = self.__encoder.pack(data)" in sender
    assert "self.__encoder.target_bitrate = bitrate" in sender
    assert "self._send_keyframe()" in sender
    assert "self.__rtp_timestamp = packet.timestamp" in sender


def test_a_renamed_seam_is_a_loud_failure() -> None:
    with pytest.raises(AttributeError, match=r"vivace\.rtc\.seams"):
        seams.replace_part(object(), "_gone", None)


@pytest.mark.parametrize(("codec", "base"), [("H264", H264Encoder), ("VP8", Vp8Encoder)])
def test_what_a_receiver_estimates_is_passed_on_without_aiortcs_caps(codec: str, base: type) -> None:
    async def scene() -> None:
        connection, _, sender = connection_parts()
        told: list[int] = []
        seams.replace_encoder(sender, codec, told.append)
        encoder = getattr(sender, seams._SENDER_ENCODER)
        assert isinstance(encoder, base)
        encoder.target_bitrate = 9_000_000
        assert told == [9_000_000]
        await connection.close()

    asyncio.run(scene())


def test_codecs_are_answered_in_our_order() -> None:
    async def scene() -> None:
        connection, _, _ = connection_parts()
        transceiver = connection.getTransceivers()[0]
        transceiver._codecs = [
            RTCRtpCodecParameters(mimeType=f"video/{name}", clockRate=90000, payloadType=number)
            for number, name in enumerate(("VP8", "rtx", "H264"), 96)
        ]
        seams.prefer_codecs(transceiver, ("H264", "VP8"))
        assert seams.agreed_codecs(transceiver) == ["H264", "VP8", "RTX"]
        await connection.close()

    asyncio.run(scene())


def test_a_crowd_of_sources_is_counted_and_forgotten() -> None:
    async def scene() -> None:
        connection, receiver, _ = connection_parts()
        seams.remember_few_sources(receiver)
        sources = getattr(receiver, seams._SOURCES)
        for ssrc in range(1_000):
            sources[ssrc] = object()
            sources[ssrc] = object()
        assert seams.sources_heard(receiver) == 1_000
        assert list(sources) == list(range(1_000 - seams.MAX_REPORTED, 1_000))
        await connection.close()

    asyncio.run(scene())


@pytest.mark.parametrize("name", list(stun.ATTRIBUTES_BY_NAME))
def test_a_stun_packet_with_a_value_of_any_length_is_parsed_or_refused_as_its_socket_expects(name: str) -> None:
    """A server receives anything: an error of another kind is a traceback in its log."""
    asyncio.run(open_connection([]).close())
    number = stun.ATTRIBUTES_BY_NAME[name][0]
    parsed = refused = 0
    for length in range(32):
        for value in (bytes(length), b"\x00\x01" + bytes(length), b"\x00\x02" + bytes(length), b"\xff" * length):
            body = pack("!HH", number, len(value)) + value + bytes(-len(value) % 4)
            packet = pack("!HHI12s", stun.Method.BINDING, len(body), stun.COOKIE, bytes(12)) + body
            for data in (packet, packet[: 24 + length // 2]):
                try:
                    stun.parse_message(data)
                    parsed += 1
                except ValueError:
                    refused += 1
    assert parsed + refused == 32 * 4 * 2
    assert refused, "a packet that is cut short is none"
