#!/bin/bash
# Groups live through much for a long time, over each transport, and nothing may be left of them; what is demanded is said in
# transports/examples/soak/main.rs. Two or three at a time, so that each has half of the time. Linux: it wants /proc.
#
# usage: scripts/soak.sh [SECONDS | --short | --prove]
#     SECONDS   in all; 1800 without it
#     --short   two minutes
#     --prove   that it would notice: with something wrong on purpose each run has to fail
# environment: SEED, 1 without it
set -euo pipefail
cd "$(dirname "$0")/.."
case ${1:-1800} in
    --short) seconds=120 ;;
    --prove) seconds=prove ;;
    *) seconds=${1:-1800} ;;
esac
cargo build --quiet --release -p sodality-transports --example soak
program="${CARGO_TARGET_DIR:-target}/release/examples/soak"
# So that resident memory is what the program has, and not what the allocator has kept: one arena for all threads, and large
# blocks go back to the system at once.
export MALLOC_ARENA_MAX=1 MALLOC_MMAP_THRESHOLD_=65536 MALLOC_TRIM_THRESHOLD_=65536 MALLOC_TOP_PAD_=0
failed=

# Each line of arguments is a run; all of them at a time.
together() {
    local pids=() outs=() run out number
    for run in "$@"; do
        out=$(mktemp)
        outs+=("$out")
        # shellcheck disable=SC2086
        timeout 7200 "$program" $run --seed "${SEED:-1}" >"$out" 2>&1 &
        pids+=($!)
    done
    for number in "${!pids[@]}"; do
        code=0
        wait "${pids[$number]}" || code=$?
        cat "${outs[$number]}"
        rm -f "${outs[$number]}"
        if [ "$seconds" = prove ]; then
            [ $code != 0 ] || failed="$failed '${*:$((number + 1)):1}'"
        else
            [ $code = 0 ] || failed="$failed '${*:$((number + 1)):1}'"
        fi
    done
}

if [ "$seconds" = prove ]; then
    together "--transport tcp --seconds 60 --plant memory" "--transport udp --seconds 30 --plant idle"
    together "--transport tcp --seconds 12 --plant task" "--transport udp --seconds 12 --plant descriptor"
    [ -z "$failed" ] || echo "not noticed:$failed"
    [ -n "$failed" ] || echo "each was noticed"
else
    half=$((seconds / 2))
    together "--transport tcp --seconds $half" "--transport quic --seconds $half"
    together "--transport udp --seconds $half" "--transport multicast --seconds $half" "--transport symmetric --seconds $half"
    [ -z "$failed" ] || echo "FAILED:$failed"
    [ -n "$failed" ] || echo "all passed"
fi
[ -z "$failed" ]
