#!/usr/bin/env bash
# tests/rig/vm.sh [ARGUMENTS...] - the tests of tests/vm: the package in a virtual machine, with a
# kernel, pins and a plug of its own.
#
# Makes the machine's disk if need be. Where no such machine can be made they are skipped, each with
# the reason.
set -euo pipefail
cd "$(dirname "$0")/../.."

status=0
tests/rig/make-vm.sh || status=$?
if [ "$status" = 0 ]; then
	export ATTUNE_VM=yes
else
	[ "$status" = 2 ] || exit "$status"
	ATTUNE_NO_VM="this computer makes no such machine: $(tests/rig/make-vm.sh 2>&1 | tail -n 1)" || true
	export ATTUNE_NO_VM
fi
exec .venv/bin/python -m pytest -q --timeout=1500 "$@" tests/vm
