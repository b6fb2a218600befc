#!/usr/bin/env bash
# aiortc 1.16.0: a session description that is parsed and written again loses `a=rtcp-mux` of every section that has no `a=rtcp`
# line. Such sections are common: `a=rtcp` may be left out (RFC 5761), and GStreamer's webrtcbin leaves it out. What was written is
# then refused by aiortc itself, "RTCP mux is not enabled".
#
# Expected: parsing and writing keeps `a=rtcp-mux`.
# Remedy: give such sections an `rtcp_port` (9, discard) before they are written.
#
# Seen:
#   with `a=rtcp:9 IN IP4 0.0.0.0`      kept
#   without it                          lost
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install -q "aiortc==1.16.0"
env/bin/python - <<'PYTHON'
from aiortc.sdp import SessionDescription

RTCP = "a=rtcp:9 IN IP4 0.0.0.0"
OFFER = f"""v=0
o=- 1 0 IN IP4 0.0.0.0
s=-
t=0 0
a=group:BUNDLE 0
m=video 9 UDP/TLS/RTP/SAVPF 96
c=IN IP4 0.0.0.0
{RTCP}
a=rtcp-mux
a=mid:0
a=sendonly
a=setup:actpass
a=ice-ufrag:abcd
a=ice-pwd:0123456789012345678901
a=fingerprint:sha-256 {":".join(["00"] * 32)}
a=rtpmap:96 VP8/90000
""".replace("\n", "\r\n")

found = {
    name: "a=rtcp-mux" in str(SessionDescription.parse(offer))
    for name, offer in (("with a=rtcp", OFFER), ("without", OFFER.replace(f"{RTCP}\r\n", "")))
}
print(found)
assert found["with a=rtcp"], "it is lost there, too"
assert not found["without"], "aiortc keeps it now"
PYTHON
echo "as described"
