#!/usr/bin/env bash
# tests/rig/vm.sh [full] [ARGUMENTS...] - the tests of tests/vm: the package in a virtual machine, with
# a kernel, pins and a plug of its own.
#
# With full, those of tests/vm/full instead, in a larger machine: radios, a USB socket, sticks, sound.
# Makes the machine's disk if need be. Where no such machine can be made they are skipped, each with
# the reason.
set -euo pipefail
cd "$(dirname "$0")/../.."

kind=() where=(tests/vm --ignore=tests/vm/full)
if [ "${1:-}" = full ]; then
	kind=(full) where=(tests/vm/full)
	shift
fi
status=0
tests/rig/make-vm.sh "${kind[@]}" || status=$?
if [ "$status" = 0 ]; then
	export ATTUNE_VM=yes
else
	[ "$status" = 2 ] || exit "$status"
	ATTUNE_NO_VM="this computer makes no such machine: $(tests/rig/make-vm.sh "${kind[@]}" 2>&1 | tail -n 1)" || true
	export ATTUNE_NO_VM
fi
exec .venv/bin/python -m pytest -q --timeout=1500 "$@" "${where[@]}"
