#!/bin/sh
# One sender and 1 to 1000 receivers over each transport, beside bare sockets, in one run: goodput, the sender's CPU for each
# frame that arrives, and whether the ratios at 100 receivers are those wanted. Takes some minutes, and wants a machine that is
# not busy: figures are compared within one run only.
#
# usage: scripts/receivers.sh [ARGUMENTS OF THE BENCH]
set -eu
cd "$(dirname "$0")/.."
# A socket or two for each receiver, in one process.
if [ "$(ulimit -n)" != unlimited ] && [ "$(ulimit -n)" -lt 4096 ]; then
    ulimit -n 4096 2>/dev/null || echo "only $(ulimit -n) open files are allowed here: rows that need more are left out"
fi
exec cargo bench --quiet -p sodality-transports --bench receivers -- "$@"
