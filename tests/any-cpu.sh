#!/usr/bin/env bash
# Runs the tests as other x86 processors than this one would: older instructions, one thread, other work beside.
#
#   tests/any-cpu.sh [FOLDER]    at most an hour on two cores; logs go to FOLDER, else to a temporary one
#
# Goes on after a failing part, prints one table at the end, and exits with 1 when anything failed. What limits a
# processor: OpenVINO asks OV_CPU_MAX_ISA what it may use itself and whether there is bf16; its oneDNN, and torch's, ask
# ONEDNN_MAX_CPU_ISA; torch's own kernels ask ATEN_CPU_CAPABILITY. Not in continuous integration.
set -uo pipefail
cd "$(dirname "$0")/.."
PYTHON=${PYTHON:-.venv/bin/python}
LOGS=${1:-$(mktemp --directory --tmpdir vivace-any-cpu.XXXXXX)}
mkdir -p "$LOGS"

NUMBERS=(tests/bench/metrics tests/diffusion tests/memory tests/models tests/runtime tests/stream tests/train)
AVX2=(env ONEDNN_MAX_CPU_ISA=AVX2 OV_CPU_MAX_ISA=AVX2 ATEN_CPU_CAPABILITY=avx2)
AVX512=(env ONEDNN_MAX_CPU_ISA=AVX512_CORE)
ONE=(taskset --cpu-list "$("$PYTHON" -c 'import os; print(min(os.sched_getaffinity(0)))')")
F32=(env OV_CPU_MAX_ISA=AVX512_CORE) # the newest without bf16; oneDNN keeps all its instructions
PROBE='import torch; from vivace.models import load_model
print(torch.backends.cpu.get_cpu_capability(), load_model("mini").runtime.precision, torch.get_num_threads(), sep=", ")'

table=('setting|torch, OpenVINO, threads|passed|failed|skipped|seconds')
bad=0
loops=()

trap 'kill $(jobs -p) 2>/dev/null' EXIT # loops and tests alike
trap 'exit 130' INT
trap 'exit 143' TERM HUP

start_loops() { # each looks for this script now and then: it ends even where the script is killed
    for _ in 1 2; do
        (trap - EXIT; while kill -0 $$ 2>/dev/null; do for ((i = 0; i < 100000; i++)); do :; done; done) &
        loops+=($!)
    done
}

stop_loops() {
    kill "${loops[@]}"
    wait "${loops[@]}" 2>/dev/null
}

part() { # NAME PATTERN COMMAND... -- TESTS...: run tests under a command; what it is seen to set has to fit a pattern
    local name=$1 pattern=$2 under=() began=$SECONDS log="$LOGS/${#table[@]}.log" seen last failed passed skipped rc
    shift 2
    while [ "$1" != -- ]; do under+=("$1") && shift; done
    shift
    seen=$("${under[@]}" "$PYTHON" -c "$PROBE" 2>&1 | tail -n 1)
    printf '\n== %s (%s): %s\n' "$name" "$seen" "$log"
    "${under[@]}" timeout 30m "$PYTHON" -m pytest -q -p no:cacheprovider "$@" >"$log" 2>&1 &
    wait $! # a trap acts at once only while this waits
    rc=$?
    last=$(tail -n 1 "$log")
    count() { grep -oE "[0-9]+ $1" <<<"$last" | grep -oE '^[0-9]+' || echo 0; }
    passed=$(count passed) skipped=$(count skipped) failed=$(($(count failed) + $(count error)))
    [ $rc = 0 ] || [ $failed -gt 0 ] || failed="ended with $rc"
    [[ $seen =~ $pattern ]] || failed="$failed, without effect"
    [ "$failed" = 0 ] || bad=1
    grep -E '^(FAILED|ERROR) ' "$log"
    printf '%s\n' "$last"
    table+=("$name|$seen|$passed|$failed|$skipped|$((SECONDS - began))")
}

part 'numbers: AVX2' '^AVX2, f32' "${AVX2[@]}" -- "${NUMBERS[@]}"
part 'numbers: AVX512_CORE' '' "${AVX512[@]}" -- "${NUMBERS[@]}"
part 'numbers: one thread' ', 1$' "${ONE[@]}" -- "${NUMBERS[@]}"
part 'numbers: f32' ', f32,' "${F32[@]}" -- "${NUMBERS[@]}"
start_loops
for turn in 1 2 3; do
    part "serve beside two busy loops, $turn" '' env -- tests/serve -m 'not gpu'
done
stop_loops
part 'everything: AVX2' '^AVX2, f32' "${AVX2[@]}" -- -m 'not gpu'

printf '\n'
printf '%s\n' "${table[@]}" | column -t -s '|'
printf 'logs: %s\n' "$LOGS"
exit $bad
