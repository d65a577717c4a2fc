#!/bin/sh
# A peer stops reading for a minute while 256 MiB are sent: memory of the leader's process, and what the others get. Prints what
# was measured and says whether it is within the bounds (R30). Takes about 80 seconds, and wants a machine that is not busy.
set -eu
cd "$(dirname "$0")/.."
cargo build --quiet --release -p sodality-transports --example stalled_peer
exec timeout 300 "${CARGO_TARGET_DIR:-target}/release/examples/stalled_peer"
