#!/usr/bin/env bash
# Fuzzes one target for so long, from its stored corpus. Needs a nightly compiler and cargo-fuzz
# (`cargo install cargo-fuzz --locked`).
#
# What it finds goes to fuzz/artifacts/TARGET: mend it, then move the file to fuzz/corpus/TARGET, where
# `cargo test --test corpus_replay` keeps it mended. New inputs that merely reach new code stay out of the stored corpus.
#
# usage: scripts/fuzz.sh TARGET SECONDS      targets: the files of fuzz/fuzz_targets
set -euo pipefail
cd "$(dirname "$0")/.."
if [ $# -ne 2 ] || [ ! -f "fuzz/fuzz_targets/$1.rs" ]; then
    echo "usage: scripts/fuzz.sh TARGET SECONDS" >&2
    echo "targets:" fuzz/fuzz_targets/*.rs >&2
    exit 2
fi
mkdir -p "target/fuzz-corpus/$1"
exec cargo +nightly fuzz run "$1" "target/fuzz-corpus/$1" "fuzz/corpus/$1" -- "-max_total_time=$2" -max_len=4096
