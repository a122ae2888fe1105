#!/usr/bin/env bash
# tests/rig/pytest.sh [ARGUMENTS...] - the tests of the Pi's camera, on the real picamera2 and libcamera.
#
# Makes the rig if need be and runs them inside. Where no rig can be made they are skipped, each with
# the reason; but where CI is set that is a failure.
set -euo pipefail
cd "$(dirname "$0")/../.."
tests=(tests/rig tests/firmware/test_camera_contract.py)

status=0
tests/rig/make-rig.sh || status=$?
if [ "$status" = 0 ]; then
	# Warnings are of picamera2, which is not ours to mend.
	exec tests/rig/in-rig.sh python -m pytest -q -p no:cacheprovider -W default "$@" "${tests[@]}"
fi
[ "$status" = 2 ] && [ -z "${CI:-}" ] || exit "$status"
ATTUNE_NO_RIG=$(tests/rig/make-rig.sh 2>&1 | tail -n 1) || true
export ATTUNE_NO_RIG
exec .venv/bin/python -m pytest -q "$@" "${tests[@]}"
