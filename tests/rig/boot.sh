#!/usr/bin/env bash
# tests/rig/boot.sh [ARGUMENTS...] - the tests of tests/boot: the package on a trixie that systemd boots.
#
# Makes the root and the package if need be. The tests run out here and start the kit themselves, in
# a throw-away copy of the root and in namespaces that end with them; its network is theirs. Beside it
# lies the Pi's own package, unpacked into a root of its processor. Where no kit can be booted all are
# skipped, each with the reason.
set -euo pipefail
cd "$(dirname "$0")/../.."
. tests/rig/roots.sh
dir=${ATTUNE_RIG:-/var/cache/attune-rig}

status=0
tests/rig/make-kit.sh || status=$?
[ "$status" != 0 ] || tests/rig/make-kit.sh arm64 || status=$?
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

echo "kit: making the packages, where anything in them changed ..."
packaged amd64
packaged arm64

root=$(mktemp -d "$dir/boot.XXXXXX")
trap 'rm -rf --one-file-system "$root"' EXIT
exec 8<"$dir/kit.lock"
flock --shared 8
cp -a --reflink=auto "$dir/kit/." "$root"
flock --unlock 8
mkdir "$root/packages"
cp build/attune-{kit,kit-scene,base}_*_amd64.deb "$root/packages/"
dpkg-deb --extract build/attune-kit_*_arm64.deb "$root/pi"
mkdir -p "$dir/kit-arm64"/{proc,opt/attune}
cp -f /usr/bin/qemu-aarch64-static "$dir/kit-arm64/emulator"
ATTUNE_BOOT=$root ATTUNE_PI=$dir/kit-arm64 unshare --mount --net --pid --fork --kill-child --propagation private bash -euc '
	mount -t proc proc /proc
	ip link set lo up
	mount -t proc proc "$ATTUNE_PI/proc"
	mount --bind "$ATTUNE_BOOT/pi/opt/attune" "$ATTUNE_PI/opt/attune"
	exec "$@"' bash .venv/bin/python -m pytest -q "$@" tests/boot
