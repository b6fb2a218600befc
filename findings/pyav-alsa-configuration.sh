#!/usr/bin/env bash
# PyAV 18.1.0, the wheel for Linux: no ALSA device can be opened by name. The ALSA library in the wheel looks for its configuration
# where the wheel was built, `/tmp/vendor/share/alsa/alsa.conf`, so that even `default` is unknown on a machine with a sound card.
#
# Expected: `av.open("default", format="alsa")` opens what other programs open, by `/usr/share/alsa/alsa.conf`.
# Remedy: `ALSA_CONFIG_DIR=/usr/share/alsa` before the first device is opened; `ALSA_CONFIG_PATH` alone does not find the cards.
#
# Seen, with a device `mic` in a configuration of its own that plays a file:
#   without ALSA_CONFIG_PATH   Cannot access file /tmp/vendor/share/alsa/alsa.conf; OSError: [Errno 5]
#   with it                    an audio stream, decoded
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install -q "av==18.1.0"
head -c 400000 /dev/zero > mic.raw
echo "pcm.mic { type file slave { pcm { type null } } file \"/dev/null\" infile \"$folder/mic.raw\" format raw }" > asound.conf
cat > open.py <<'PYTHON'
import av

try:
    with av.open("mic", format="alsa") as container:
        next(container.decode(audio=0))
except OSError as error:
    print(f"refused: {error}")
else:
    print("decoded")
PYTHON
env -u ALSA_CONFIG_PATH env/bin/python open.py > without 2>&1
ALSA_CONFIG_PATH="$folder/asound.conf" env/bin/python open.py > with 2>&1
cat without with
grep -q "refused" without || { echo "the wheel's ALSA finds its configuration now"; exit 1; }
grep -q "/tmp/vendor/share/alsa/alsa.conf" without || { echo "it looks elsewhere now"; exit 1; }
grep -q "decoded" with || { echo "the remedy does not help"; exit 1; }
echo "as described"
