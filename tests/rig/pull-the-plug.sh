#!/usr/bin/env bash
# tests/rig/pull-the-plug.sh TIMES [DOCUMENT] - pull the plug of a kit in a virtual machine so often, each time at
# another moment of a visit, and print what it cost.
#
# Each result is a line in build/plug.jsonl; stopped and begun again it goes on where it was. Two
# machines side by side take a minute or two each time. DOCUMENT is written from all results:
# nohup tests/rig/pull-the-plug.sh 100 docs/plugs.md >build/plug.log 2>&1 &
set -euo pipefail
cd "$(dirname "$0")/../.."
[ $# = 1 ] || [ $# = 2 ] || { echo "usage: $0 TIMES [DOCUMENT]" >&2; exit 2; }
tests/rig/make-vm.sh
exec .venv/bin/python -m tests.vm.plug "$1" build/plug.jsonl "${@:2}"
