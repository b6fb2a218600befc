"""Offers that are garbage, too large, or valid except for one thing."""

from __future__ import annotations

import random
import re

from aiortc import RTCPeerConnection

from serve.faults.process import Served
from serve.faults.rough import Amount, refused, standing

_SDP = {"Content-Type": "application/sdp"}

HOSTILE_CANDIDATES = (
    "candidate:1 1 udp 2130706431 localhost 9 typ host",
    "candidate:1 1 udp 2130706431 no.such.host.invalid 9 typ host",
    "candidate:1 1 udp 2130706431 " + "a" * 5_000 + " 9 typ host",
    "candidate:1 1 udp 2130706431 127.0.0.1 0 typ host",
    "candidate:1 1 udp 2130706431 127.0.0.1 99999999999 typ host",
    "candidate:1 1 udp 2130706431 127.0.0.1 -1 typ host",
    "candidate:1 99 udp 99999999999999999999 255.255.255.255 9 typ host",
    "candidate:1 1 udp 1 224.0.0.1 9 typ host",
    "candidate:1 1 udp 1 0.0.0.0 9 typ host",
    "candidate:1 1 udp 1 fe80::1%lo 9 typ host",
    "candidate:1 1 tcp 1 127.0.0.1 22 typ host tcptype active",
    "candidate:1 1 udp 1 127.0.0.1 9 typ relay raddr x rport y",
    "candidate:",
    "candidate:1",
)


async def good_offer(*, data: bool = True) -> str:
    """Return an offer as our own client makes it."""
    connection = RTCPeerConnection()
    try:
        connection.addTransceiver("video", "sendrecv")
        if data:
            connection.createDataChannel("control")
        await connection.setLocalDescription()
        return str(connection.localDescription.sdp)
    finally:
        await connection.close()


def garbage(sdp: str, chance: random.Random) -> dict[str, bytes]:
    """Return invalid offers by name."""
    no_media = sdp.partition("m=")[0]
    return {
        "empty": b"",
        "random": chance.randbytes(5_000),
        "zeros": bytes(5_000),
        "half": sdp[: len(sdp) // 2].encode(),
        "no media": no_media.encode(),
        "no candidates' keys": re.sub(r"a=ice-(ufrag|pwd).*\r\n", "", sdp).encode(),
        "no fingerprint": re.sub(r"a=fingerprint.*\r\n", "", sdp).encode(),
        "a thousand sections": (no_media + "m=video 9 UDP/TLS/RTP/SAVPF 96\r\n" * 1_000).encode(),
        "sound only": sdp.replace("m=video", "m=audio").encode(),
        "another codec": sdp.replace("VP8", "AV1").replace("H264", "H265").encode(),
        "a long line": (sdp + "a=" + "x" * 60_000 + "\r\n" * 100).encode()[:200_000],
        "10 MB": sdp.encode() + b"a=candidate:1 1 udp 1 10.0.0.1 9 typ host\r\n" * 240_000,
    }


def changed(sdp: str, chance: random.Random) -> str:
    """Return a valid offer with one change."""
    lines = sdp.split("\r\n")
    for _ in range(chance.randint(1, 4)):
        at = chance.randrange(1, len(lines))
        match chance.randrange(6):
            case 0:
                del lines[at]
            case 1:
                lines.insert(at, lines[chance.randrange(len(lines))])
            case 2:
                lines[at] = lines[at][: chance.randint(0, len(lines[at]))]
            case 3:
                lines[at] = re.sub(r"\d+", lambda _: str(chance.choice([0, -1, 255, 65536, 2**31, 2**64])), lines[at])
            case 4:
                lines[at] = "".join(chance.sample(lines[at], len(lines[at])))
            case 5:
                lines[at] += chance.choice([" ", ";=;", "\x00", "é" * 20, "/" * 200, ":" * 9])
    return "\r\n".join(lines)


async def garbage_offers(server: Served, amount: Amount) -> None:
    """Every one is refused with a reason, at every door; nothing of it remains."""
    chance = random.Random(1)
    sdp = await good_offer()
    async with standing(server) as (http, session):
        mine = {"X-Session-Secret": session["secret"]}
        for name, body in garbage(sdp, chance).items():
            fine = name in ("a long line",)  # within the length limit of offers, it is valid
            for path in ("/whip", session["whip_url"], session["whep_url"]):
                answer = await http.post(path, content=body, headers=_SDP | mine)
                if not (fine and answer.status_code == 201):
                    refused(answer, 400, 410, 413, 422)
                elif path == "/whip":
                    await http.delete(answer.headers["location"])
            answer = await http.post(
                session["offer_url"], json={"type": "offer", "sdp": body.decode("latin-1")}, headers=mine
            )
            assert fine or answer.status_code in (400, 413, 422), (name, answer.text)
            refused(await http.post("/whip", content=body, headers={"Content-Type": "text/plain"}), 413, 415)


async def hostile_candidates(server: Served, amount: Amount) -> None:
    """Invalid addresses, or other hosts': refused, or tried and given up; never an internal error."""
    sdp = await good_offer()
    ours = re.sub(r"a=(candidate|end-of-candidates).*\r\n", "", sdp)
    async with standing(server) as (http, session):
        mine = {"X-Session-Secret": session["secret"]}
        crowd = "".join(f"a=candidate:{i} 1 udp {i} 127.0.0.1 {1024 + i} typ host\r\n" for i in range(900))
        for lines in (*(f"a={candidate}\r\n" for candidate in HOSTILE_CANDIDATES), crowd):
            answer = await http.post(session["offer_url"], json={"type": "offer", "sdp": ours + lines}, headers=mine)
            assert answer.status_code in (200, 400), (lines[:100], answer.text)


async def changed_offers(server: Served, amount: Amount) -> None:
    """Every changed offer gets an answer or a reason."""
    chance = random.Random(2)
    sdp = await good_offer()
    async with standing(server) as (http, session):
        mine = {"X-Session-Secret": session["secret"]}
        for _ in range(amount.offers):
            offer = changed(sdp, chance)
            answer = await http.post(session["offer_url"], json={"type": "offer", "sdp": offer}, headers=mine)
            assert answer.status_code in (200, 400, 422), (answer.status_code, answer.text[:500], offer)
