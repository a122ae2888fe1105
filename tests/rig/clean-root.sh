#!/usr/bin/env bash
# tests/rig/clean-root.sh SUITE [COMMAND...] - prove the set-up where nothing was set up before.
#
# Makes a Debian root (SUITE is bookworm or trixie) with only git, make, python3 and certificates,
# clones this checkout's HEAD into it and runs COMMAND there ("make test" if none is given), as root,
# without a terminal, in namespaces of its own, so that nothing is left running. Exits as COMMAND
# did. The bare root is kept, packed, in build/clean-root; the one that was used is removed, unless
# KEEP=1 says otherwise. Needs root on a Debian with mmdebstrap.
# This machine's own settings of where packages come from are lent to the root while it runs.
set -euo pipefail
cd "$(dirname "$0")/../.."
. tests/rig/roots.sh

suite=${1:-}
[ "$suite" = bookworm ] || [ "$suite" = trixie ] || { echo "usage: $0 bookworm|trixie [COMMAND...]" >&2; exit 2; }
shift
[ $# -gt 0 ] || set -- make test
[ "$(id -u)" = 0 ] || { echo "clean-root: this needs root, to make a root" >&2; exit 2; }
command -v mmdebstrap >/dev/null || { echo "clean-root: please install mmdebstrap: apt-get install mmdebstrap" >&2; exit 2; }

include=ca-certificates,git,make,python3
dir=$PWD/build/clean-root
packed=$dir/$suite.tar
mkdir -p "$dir"

if [ ! -e "$packed" ]; then
	echo "clean-root: making a bare $suite ..."
	sources "$suite" | mmdebstrap --quiet --mode=root --variant=apt --include="$include" "$suite" "$dir/new-$suite.tar" -
	mv "$dir/new-$suite.tar" "$packed"
fi

root=$(mktemp -d "$dir/$suite.XXXXXX")
# No mount of the namespace below is seen out here, so this removes nothing of the machine's own.
finish() { [ "${KEEP:-}" = 1 ] && echo "clean-root: kept $root" || rm -rf --one-file-system "$root"; }
trap finish EXIT
tar -C "$root" -xf "$packed"
git clone --quiet --no-hardlinks . "$root/src/attune"

lend=(/etc/resolv.conf /etc/ssl/certs/ca-certificates.crt /etc/pip.conf)
settings=(PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8 CI=true)
while IFS= read -r name; do
	settings+=("$name=${!name}")
done < <(compgen -e | grep -E '^(PIP_|UV_|npm_config_|NODE_EXTRA_|SSL_CERT_|REQUESTS_|CURL_CA_)|_proxy$|_PROXY$' || true)
if command -v npm >/dev/null; then
	for name in registry cafile; do
		value=$(npm config get "$name" 2>/dev/null || true)
		case $value in "" | null | undefined) ;; *) settings+=("npm_config_$name=$value") ;; esac
	done
fi

began=$SECONDS status=0
# shellcheck disable=SC2016
unshare --mount --pid --fork --kill-child --propagation private bash -euc '
	root=$1
	shift
	mount --bind "$root" "$root" # a place of its own, so that the rig can be made in there, too
	while [ "$1" != -- ]; do
		[ ! -e "$1" ] || { [ -e "$root$1" ] || touch "$root$1"; mount --bind "$1" "$root$1"; }
		shift
	done
	shift
	mount -t proc proc "$root/proc"
	mount -t sysfs -o ro sysfs "$root/sys"
	mount -t tmpfs -o mode=755 tmpfs "$root/dev"
	mkdir -p "$root"/dev/{pts,shm}
	mount -t devpts -o newinstance,ptmxmode=0666 devpts "$root/dev/pts"
	mount -t tmpfs -o mode=1777 tmpfs "$root/dev/shm"
	for device in null zero full random urandom tty; do
		touch "$root/dev/$device"
		mount --bind "/dev/$device" "$root/dev/$device"
	done
	ln -s pts/ptmx "$root/dev/ptmx"
	ln -s /proc/self/fd "$root/dev/fd"
	ln -s fd/0 "$root/dev/stdin"; ln -s fd/1 "$root/dev/stdout"; ln -s fd/2 "$root/dev/stderr"
	exec chroot "$root" env -i --chdir=/src/attune "$@" </dev/null' \
	bash "$root" "${lend[@]}" -- "${settings[@]}" "$@" || status=$?
echo "clean-root: $suite: $* ended with $status after $((SECONDS - began)) s"
exit "$status"
