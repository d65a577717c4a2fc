#!/bin/sh
# Long runs of the tests that take seeds, and their rate: scripts/seeds.sh COUNT [FIRST]
#
# COUNT runs each of: faults that end (liveness) and faults that go on (safety); an adversary who drops, replays, alters and
# forges; secrecy under terms; and, over all policies together, as many again. The first seed is FIRST, or 1.
# SODALITY_CARGO_FLAGS replaces --release.
set -eu
cd "$(dirname "$0")/.."
count="${1:?how many seeds}"
first="${2:-1}"
flags="${SODALITY_CARGO_FLAGS---release}"
# How many policies tests/policies.rs makes: it runs all of them for each seed.
policies=48

run() {
    test="$1" seeds="$2" runs="$3"
    start=$(date +%s)
    # shellcheck disable=SC2086 # flags are words
    SODALITY_SEEDS="$seeds" SODALITY_FIRST_SEED="$first" \
        cargo test -p sodality --all-features $flags --test "$test" -- --nocapture
    seconds=$(($(date +%s) - start))
    echo "$test: $runs runs in $seconds s, $((runs / (seconds > 0 ? seconds : 1))) a second"
}

# Built before anything is timed.
# shellcheck disable=SC2086
cargo test -p sodality --all-features $flags --no-run \
    --test liveness --test goals_under_attack --test goals_of_secrecy --test policies
run liveness "$count" "$((count * 2))"
run goals_under_attack "$count" "$count"
run goals_of_secrecy "$count" "$count"
each=$(((count + policies - 1) / policies))
run policies "$each" "$((each * policies))"
