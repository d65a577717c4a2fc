#!/bin/sh
# Large groups in the simulator, with time and memory of each step: 10,000 members without views, then 500 with exact views,
# each in a process of its own.
set -eu
cd "$(dirname "$0")/.."
for test in a_large_group_without_views a_large_group_with_exact_views; do
    SODALITY_SCALE=full cargo test -q -p sodality --release --test scale -- --exact "$test" --nocapture
done
