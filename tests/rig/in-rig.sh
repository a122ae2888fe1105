#!/usr/bin/env bash
# tests/rig/in-rig.sh COMMAND... - run COMMAND in the root that make-rig.sh made, with the virtual camera in
# reach and this checkout at its own path. As root. Its mounts and processes end with it.
set -euo pipefail
checkout=$(cd "$(dirname "$0")/../.." && pwd)
dir=${ATTUNE_RIG:-/var/cache/attune-rig}
[ $# -gt 0 ] || { echo "usage: $0 COMMAND..." >&2; exit 2; }
exec 9<"$dir/lock"
flock --shared 9 # nobody makes it anew meanwhile

environment=(HOME=/root LANG=C.UTF-8 PYTHONDONTWRITEBYTECODE=1
	PATH=/opt/venv/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
	PYTHONPATH="$checkout:/opt/libcamera-virtual/lib/python3/dist-packages:/opt/rig/lib"
	LD_LIBRARY_PATH=/opt/libcamera-virtual/lib LD_PRELOAD=/opt/rig/lib/dmaheap.so)
mapfile -t passed < <(env | grep -E '^(CI|LIBCAMERA_[A-Z_]+)=' || true)
# shellcheck disable=SC2016
exec unshare --mount --pid --fork --kill-child --propagation private bash -euc '
	root=$0 checkout=$1
	shift
	mount -t proc proc "$root/proc"
	mount --rbind /sys "$root/sys"
	mount --rbind /dev "$root/dev"
	mount -t tmpfs -o mode=1777 tmpfs "$root/tmp"
	mount -t tmpfs -o mode=755 tmpfs "$root/run"
	mkdir -p "$root$checkout"
	mount --bind "$checkout" "$root$checkout"
	exec chroot "$root" env -i --chdir="$checkout" "$@"' \
	"$dir/root" "$checkout" "${passed[@]}" "${environment[@]}" "$@"
