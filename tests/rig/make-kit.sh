#!/usr/bin/env bash
# tests/rig/make-kit.sh [arm64] - make, or find made, a Debian trixie root that boots and has what our
# package asks for, as Raspberry Pi OS has it: in ${ATTUNE_RIG:-/var/cache/attune-rig}/kit.
#
# With arm64, for the Pi's own package: in .../kit-arm64, as unpacked and no more, for there QEMU runs
# single programs. The package itself is in neither. Needs root, apt and mmdebstrap; exits 2 with the
# reason where that fails.
set -euo pipefail
cd "$(dirname "$0")"
. ./roots.sh

suite=trixie
dir=${ATTUNE_RIG:-/var/cache/attune-rig}
case $* in
'')
	root=$dir/kit
	packages=(systemd-sysv udev dbus kmod e2fsprogs debconf nftables python3 python3-av)
	how=(--variant=apt) ;;
arm64)
	root=$dir/kit-arm64
	packages=(base-files python3 python3-av python3-gpiozero)
	how=(--variant=extract --architectures=arm64) ;;
*) echo "usage: $0 [arm64]" >&2; exit 2 ;;
esac

refuse() { echo "kit: $*" >&2; exit 2; }
[ "$(id -u)" = 0 ] || refuse "making a root, and booting it, needs root"
unshare --mount true || refuse "this machine allows no mounts"
key=$(echo "$suite ${how[*]} ${packages[*]}" | sha256sum | cut -c1-16)
if [ "$(cat "$root/made" 2>/dev/null)" = "$key" ]; then
	echo "kit: $root is up to date"
	exit
fi

command -v mmdebstrap >/dev/null || refuse "there is no mmdebstrap here"
mkdir -p "$dir"
exec 8>"$root.lock"
flock 8
rm -rf --one-file-system "$root" "$root.new"
sources "$suite" | mmdebstrap --quiet --mode=root "${how[@]}" \
	--include="$(IFS=,; echo "${packages[*]}")" "$suite" "$root.new" - 8>&-
# Mirrors of this machine are of no use to a kit.
rm -f "$root.new"/etc/apt/sources.list "$root.new"/etc/apt/sources.list.d/*
echo "$key" >"$root.new/made"
mv "$root.new" "$root"
echo "kit: $root is ready"
