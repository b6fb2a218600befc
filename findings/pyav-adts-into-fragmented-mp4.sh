#!/usr/bin/env bash
# PyAV 18.1.0 (its own FFmpeg, libavformat 62): AAC with ADTS headers, as it comes in MPEG-TS and in live streams, is copied into an
# ordinary mp4 without a word: FFmpeg inserts the filter that strips the headers (aac_adtstoasc) by itself. With `empty_moov` or
# `delay_moov`, which every fragmented mp4 for browsers needs, the same packets are refused at `mux` with
# `PermissionError: [Errno 1] Operation not permitted: '<none>'`, which names neither the codec nor the filter. `frag_keyframe` alone
# and `hybrid_fragmented` alone, whose header is written with the first fragment, take them.
#
# Expected: either every flag set inserts the filter, or the error says that ADTS has to be stripped.
# Remedy: run the packets through `av.bitstream.BitStreamFilterContext("aac_adtstoasc", stream)` before `mux`.
#
# Seen, flags: result
#   (none), frag_keyframe, hybrid_fragmented                         51 frames come back
#   empty_moov, frag_keyframe+empty_moov, frag_keyframe+delay_moov   PermissionError
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install -q "av==18.1.0" "numpy==2.3.5"
env/bin/python - <<'PYTHON'
import io

import av
import numpy as np

adts = io.BytesIO()
with av.open(adts, "w", format="adts") as container:
    stream = container.add_stream("aac", rate=48_000)
    stream.layout = "mono"
    for number in range(50):
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        frame.sample_rate, frame.pts = 48_000, 1024 * number
        container.mux(stream.encode(frame))
    container.mux(stream.encode(None))


def copied(flags: str, strip: bool = False) -> str:
    """Return what became of the sound, copied into an mp4."""
    adts.seek(0)
    made = io.BytesIO()
    try:
        with av.open(adts, format="aac") as source, av.open(
            made, "w", format="mp4", options={"movflags": flags} if flags else {}
        ) as sink:
            sound = source.streams.audio[0]
            track = sink.add_stream_from_template(sound)
            stripper = av.bitstream.BitStreamFilterContext("aac_adtstoasc", sound)
            for packet in source.demux(sound):
                if packet.dts is None:
                    continue
                for each in stripper.filter(packet) if strip else [packet]:
                    each.stream = track
                    sink.mux(each)
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    made.seek(0)
    with av.open(made) as written:
        return f"{sum(1 for _ in written.decode(audio=0))} frames"


print("PyAV", av.__version__)
seen = {}
for flags in ("", "frag_keyframe", "hybrid_fragmented", "empty_moov", "frag_keyframe+empty_moov", "frag_keyframe+delay_moov"):
    seen[flags] = copied(flags)
    print(f"{flags or '(none)':28s}", seen[flags])
stripped = copied("frag_keyframe+empty_moov", strip=True)
print(f"{'empty_moov, headers stripped':28s}", stripped)
assert {seen[flags] for flags in ("", "frag_keyframe", "hybrid_fragmented")} == {"51 frames"}, seen
refused = {seen[flags].split(":")[0] for flags in ("empty_moov", "frag_keyframe+empty_moov", "frag_keyframe+delay_moov")}
assert refused == {"PermissionError"}, seen
assert stripped == "51 frames", stripped
PYTHON
