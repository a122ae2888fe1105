#!/usr/bin/env bash
# tests/rig/boot.sh [ARGUMENTS...] - the tests of tests/boot: the package on a trixie that systemd boots.
#
# Makes the root and the package if need be. The tests run out here and start the kit themselves, in
# a throw-away copy of the root and in namespaces that end with them; its network is theirs. Where no
# kit can be booted they are skipped, each with the reason.
set -euo pipefail
cd "$(dirname "$0")/../.."
dir=${ATTUNE_RIG:-/var/cache/attune-rig}

status=0
tests/rig/make-kit.sh || status=$?
if [ "$status" = 0 ] && ! unshare --net systemd-nspawn --quiet --register=no --keep-unit \
	--ephemeral --directory="$dir/kit" /usr/bin/true </dev/null; then
	status=2
fi
if [ "$status" != 0 ]; then
	[ "$status" = 2 ] || exit "$status"
	ATTUNE_NO_BOOT="this machine boots no kit: $(tests/rig/make-kit.sh 2>&1 | tail -n 1)" || true
	export ATTUNE_NO_BOOT
	exec .venv/bin/python -m pytest -q "$@" tests/boot
fi

mkdir -p build
package=$(find build -maxdepth 1 -name 'attune-kit_*_amd64.deb' | sort | tail -n 1)
if [ -z "$package" ] || [ -n "$(find appliance firmware web_ui systemd tools/package requirements/kit.txt pyproject.toml \
	-newer "$package" -type f -not -name '*.pyc' -print -quit)" ]; then
	echo "kit: making the package ..."
	tools/package amd64
fi

root=$(mktemp -d "$dir/boot.XXXXXX")
trap 'rm -rf --one-file-system "$root"' EXIT
exec 8<"$dir/kit.lock"
flock --shared 8
cp -a --reflink=auto "$dir/kit/." "$root"
flock --unlock 8
mkdir "$root/packages"
cp build/attune-kit_*_amd64.deb build/attune-kit-scene_*_amd64.deb "$root/packages/"
ATTUNE_BOOT=$root unshare --mount --net --pid --fork --kill-child --propagation private bash -euc '
	mount -t proc proc /proc
	ip link set lo up
	exec "$@"' bash .venv/bin/python -m pytest -q "$@" tests/boot
