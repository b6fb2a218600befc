#!/usr/bin/env bash
# python-osc 1.10.2: two kinds of damaged datagrams are not refused. A bundle with a part of negative size is read for ever:
# `OscBundle` goes back by the size and reads the same part again, so one datagram of 20 bytes from anybody stops a server's thread.
# And a number that is cut off is read as if zeros followed: a fader's message that lost its last 4 bytes sets the fader to 0.
#
# Expected: `ParseError`, as of other damaged datagrams.
# Remedy: take bundles apart oneself, with sizes checked, and hold a message to the length that its types say.
#
# Seen:
#   a bundle with a part of -4 bytes     no answer within 5 s
#   `/fader ,f` without its value        [0.0]
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install -q "python-osc==1.10.2"
status=0
timeout 5 env/bin/python - <<'PYTHON' || status=$?
import struct

from pythonosc.osc_packet import OscPacket

OscPacket(b"#bundle\0" + bytes(7) + b"\1" + struct.pack(">i", -4))
PYTHON
[ "$status" = 124 ] || { echo "a bundle with a part of negative size comes to an end now"; exit 1; }
env/bin/python - <<'PYTHON'
from pythonosc.osc_message import OscMessage

values = OscMessage(b"/fader\0\0,f\0\0").params
print(values)
assert values == [0.0], "a number that is cut off is refused now"
PYTHON
echo "as described"
