#!/usr/bin/env bash
# The same seed gives the same bytes in WebAssembly as natively (R43): runs whole simulated sessions under Node and
# natively and compares their digests. See tests/wasm.
#
# usage: scripts/wasm.sh [SEED...]
# exit:  0 the same, 1 not, 77 skipped, since Node or the compiler for WebAssembly is missing
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/web-toolchain.sh

seeds=("$@")
[ ${#seeds[@]} -gt 0 ] || seeds=(1 2 3 4 5)

missing=
command -v node >/dev/null || missing="no node on this machine"
[ -n "$missing" ] || missing=$(web_find 2>&1) || true
if [ -n "$missing" ]; then
    echo "SKIPPED: sessions in WebAssembly were not compared: $missing" >&2
    exit 77
fi
web_find

web_cargo build --quiet --release -p sodality-wasm --lib --target wasm32-unknown-unknown -Zbuild-std=std,panic_abort
module=${SODALITY_WEB_TARGET:-target/web}/wasm32-unknown-unknown/release/sodality_wasm.wasm
cargo build --quiet --release -p sodality-wasm --example digests
native=$("${CARGO_TARGET_DIR:-target}/release/examples/digests" "${seeds[@]}")
suites=$(grep -c "^seed ${seeds[0]} " <<<"$native")
wasm=$(node tests/wasm/run.mjs "$module" "$suites" "${seeds[@]}")
if [ "$native" != "$wasm" ]; then
    echo "the sessions differ: native <, WebAssembly >" >&2
    diff <(echo "$native") <(echo "$wasm") >&2 || true
    exit 1
fi
echo "$(wc -l <<<"$native") sessions, the same natively and in WebAssembly:"
echo "$native"
