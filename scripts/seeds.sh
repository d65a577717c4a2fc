#!/bin/sh
# Long runs of the tests that take seeds: scripts/seeds.sh COUNT [FIRST]
set -eu
cd "$(dirname "$0")/.."
SODALITY_SEEDS="${1:?how many seeds}" SODALITY_FIRST_SEED="${2:-1}" \
    cargo test --release --test liveness --test policies -- --nocapture
