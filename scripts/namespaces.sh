#!/usr/bin/env bash
# Groups of real processes on hosts of their own: network namespaces joined by a bridge, with loss, a bandwidth limit, cuts that
# heal, and a relay that delays, reorders and repeats. Files are compared by hash. See scripts/namespaces.py.
#
# Makes namespaces of its own and removes them. Needs root, iproute2, nftables and Python 3; says so and exits with 77 where
# something is missing.
#
# usage: scripts/namespaces.sh [--short] [CELL...]     a cell is SYSTEM/TRANSPORT/CONDITION; --list shows them
set -euo pipefail
cd "$(dirname "$0")/.."
if ! command -v python3 >/dev/null; then
    echo "SKIPPED: no python3" >&2
    exit 77
fi
cargo build --quiet --release -p sodality-program
exec python3 scripts/namespaces.py --program target/release/sodality "$@"
