#!/usr/bin/env bash
# tests/rig/make-rig.sh - make, or find made, a Debian trixie root in which the real picamera2 records
# from the virtual camera of the real libcamera.
#
# The root lies in ${ATTUNE_RIG:-/var/cache/attune-rig}, outside the checkout, and is made again only
# where something it is made from changed. Cold: some 5 to 8 minutes on two cores, nearly all of it
# libcamera. Needs root, apt, mmdebstrap, zstd and unshare; exits 2 with the reason where that fails.
#
# The camera: libcamera's own "virtual" pipeline, patched (files/virtual-picamera2.patch) so that
# picamera2 accepts it and frames come at a sensor's pace: the bars move one column a frame, a late
# request misses frames, and the gap shows in the timestamps. libcamera comes from Debian's source
# package in the version named below; if the mirror has moved on, in the one that took its place.
set -euo pipefail
cd "$(dirname "$0")"
. ./roots.sh
checkout=$(cd ../.. && pwd)

suite=trixie
libcamera=0.7.2-1
# As far as Debian has them these are Debian's, as on the Pi. The libraries at the end are libcamera's.
packages=(ca-certificates procps python3-venv python3-av ffmpeg alsa-utils
	python3-numpy python3-pil python3-piexif python3-tqdm python3-jsonschema python3-libarchive-c python3-prctl
	libcap2 libyaml-0-2 libevent-2.1-7t64 libevent-pthreads-2.1-7t64 libyuv0 libgnutls30t64)
build_packages=(build-essential meson ninja-build pkgconf libyaml-dev python3-yaml python3-ply python3-jinja2
	openssl libgnutls28-dev libudev-dev libevent-dev libpython3-dev pybind11-dev libyuv-dev libjpeg-dev
	linux-libc-dev python3-setuptools python3-wheel swig)
options=(--prefix=/opt/libcamera-virtual --libdir=lib --buildtype=plain -Dwerror=false -Dcpp_args=-O1
	-Dpipelines=virtual -Dipas= -Dudev=enabled -Dpycamera=enabled -Dcam=disabled -Dtest=false
	-Dpython.install_env=prefix
	-D{apps-output-dng,lc-compliance,gstreamer,qcam,tracing,documentation,v4l2}"=disabled"
	-D{libdw,libunwind,softisp-gpu,rpi-awb-nn}"=disabled")

refuse() { echo "rig: $*" >&2; exit 2; }

dir=${ATTUNE_RIG:-/var/cache/attune-rig}
root=$dir/root
build=$dir/build
log=$dir/log

key() { cat "$@" | sha256sum | cut -c1-16; }
base_key=$(key <<<"$suite ${packages[*]}")
libcamera_key=$(key files/virtual-picamera2.patch - <<<"$suite $libcamera ${options[*]}")
rig_key=$(key make-rig.sh roots.sh files/* "$checkout/requirements/rig.txt")
kit_key=$(key "$checkout"/requirements/{kit,test}.txt)
built=$dir/libcamera-$libcamera_key.tar.zst

made() { [ "$(cat "$root/opt/rig/$1" 2>/dev/null)" = "$2" ]; }
[ "$(id -u)" = 0 ] || refuse "making a root, and running in it, needs root"
unshare --mount true || refuse "this machine allows no mounts"
if made rig "$rig_key" && made kit "$kit_key"; then
	echo "rig: $root is up to date"
	exit
fi

for tool in apt-get mmdebstrap zstd; do
	command -v "$tool" >/dev/null || refuse "there is no $tool here"
done
mkdir -p "$dir"
exec 9>"$dir/lock"
flock 9

now=start
: >"$log"
finish() {
	[ "$1" = 0 ] || { echo "rig: failed at: $now. The end of $log:" && tail -n 40 "$log"; } >&2
}
trap 'finish $?' EXIT
step() { # step TEXT COMMAND...: do it quietly and say what it took
	local began=$SECONDS
	now=$1
	shift
	echo "== $now" >>"$log"
	"$@" >>"$log" 2>&1
	printf 'rig: %-40s %4d s\n' "$now" $((SECONDS - began))
}

lists() { # where the root's packages come from, and libcamera's source
	local uri release
	sources "$suite" >"$dir/binary.list"
	uri=$(mirrors | awk -v codename="$codename" '$2 == codename { print $1 }')
	for release in forky sid; do
		echo "deb-src [$signed check-valid-until=no] $uri $release main"
	done >"$dir/source.list"
}

bare_root() {
	rm -rf "$root" "$root.new"
	mmdebstrap --mode=root --variant=apt --include="$(IFS=,; echo "${packages[*]}")" \
		"$suite" "$root.new" "$dir/binary.list"
	mkdir "$root.new/opt/rig"
	echo "$base_key" >"$root.new/opt/rig/base"
	mv "$root.new" "$root"
}

inside() { # inside TREE COMMAND...: run it in there, with this machine's network, in mounts of its own
	# shellcheck disable=SC2016
	unshare --mount --propagation private bash -euc '
		mount -t proc proc "$0/proc"
		mount --rbind /sys "$0/sys"
		mount --rbind /dev "$0/dev"
		for lent in /etc/resolv.conf /etc/ssl/certs/ca-certificates.crt /etc/pip.conf; do
			[ -e "$lent" ] || continue
			[ -e "$0$lent" ] || touch "$0$lent"
			mount --bind "$lent" "$0$lent"
		done
		exec chroot "$0" "$@" 9>&-' "$@"
}

build_tree() { # a copy with compilers, which is thrown away
	rm -rf "$build"
	cp -a "$root" "$build"
	rm -rf "$build"/opt/{venv,libcamera-virtual}
	cp "$dir/source.list" "$build/etc/apt/sources.list.d/source.list"
	inside "$build" apt-get --quiet update
	inside "$build" env DEBIAN_FRONTEND=noninteractive \
		apt-get --quiet --yes install --no-install-recommends "${build_packages[@]}"
}

libcamera_source() {
	inside "$build" sh -ec "cd /opt && { apt-get --quiet source --download-only libcamera=$libcamera ||
		apt-get --quiet source --download-only libcamera; }"
	cp files/virtual-picamera2.patch "$build/opt/"
	inside "$build" sh -ec "cd /opt && dpkg-source --extract libcamera_*.dsc libcamera-source &&
		patch --directory=libcamera-source --strip=1 --forward <virtual-picamera2.patch"
}

libcamera_build() {
	inside "$build" meson setup /opt/libcamera-build /opt/libcamera-source "${options[@]}"
	inside "$build" ninja -C /opt/libcamera-build install
	inside "$build" find /opt/libcamera-virtual -name '*.so*' -type f -exec strip --strip-unneeded {} +
	rm -rf "$build/opt/libcamera-virtual/include"
	tar -C "$build/opt" -c libcamera-virtual | zstd -q -T0 -f -o "$built.new"
	mv "$built.new" "$built"
}

picamera2() {
	cp "$checkout/requirements/rig.txt" "$build/opt/"
	inside "$build" python3 -m venv --system-site-packages /opt/venv
	# Debian's own packages stand for what these ask for; two of them are compiled here (PYPI: lgpio
	# brings its C library along).
	inside "$build" env PYPI=1 /opt/venv/bin/pip install --quiet --no-cache-dir --no-deps --no-build-isolation \
		--require-hashes --requirement /opt/rig.txt
}

join() {
	rm -rf "$root"/opt/{venv,libcamera-virtual,rig/lib,rig/kit}
	mkdir "$root/opt/rig/lib"
	cp files/dmaheap.c "$build/opt/"
	inside "$build" gcc -O2 -Wall -Wextra -shared -fPIC -o /opt/dmaheap.so /opt/dmaheap.c
	cp files/pykms.py "$build/opt/dmaheap.so" "$root/opt/rig/lib/"
	cp -a "$build/opt/venv" "$root/opt/"
	zstd -qdc "$built" | tar -C "$root/opt" -x
	cp files/virtual.yaml "$root/opt/libcamera-virtual/share/libcamera/pipeline/virtual/"
	# What the build found in its own packages must be in the root as well.
	if find "$root/opt" -name '*.so*' -type f -printf '/opt/%P\n' |
		LD_LIBRARY_PATH=/opt/libcamera-virtual/lib xargs chroot "$root" ldd 2>/dev/null | grep 'not found'; then
		return 1
	fi
	rm -rf "$build"
	echo "$rig_key" >"$root/opt/rig/rig"
}

kit() { # what the kit runs on and is tested with, exactly as locked
	rm -f "$root/opt/rig/kit"
	cp "$checkout"/requirements/{kit,test}.txt "$root/opt/rig/"
	inside "$root" /opt/venv/bin/pip install --quiet --no-cache-dir --only-binary :all: --require-hashes \
		--requirement /opt/rig/kit.txt --requirement /opt/rig/test.txt
	# A kit has Debian's PyAV. The wheel's is at hand for what draws films for the tests.
	rm -rf "$root/opt/wheel"
	mkdir "$root/opt/wheel"
	mv "$root"/opt/venv/lib/python3*/site-packages/av{,.libs,-*.dist-info} "$root/opt/wheel/"
	echo "$kit_key" >"$root/opt/rig/kit"
}

if ! made rig "$rig_key"; then
	step 'package lists' lists
	rm -f "$root/opt/rig/rig"
	made base "$base_key" || step 'a bare trixie' bare_root
	step 'a copy of it with compilers' build_tree
	if [ ! -e "$built" ]; then
		step 'the source of libcamera' libcamera_source
		step 'libcamera' libcamera_build
	fi
	step 'picamera2' picamera2
	step 'the root' join
fi
made kit "$kit_key" || step "the kit's packages" kit
echo "rig: $root is ready"
