#!/usr/bin/env bash
# tests/rig/make-vm.sh - make, or find made, a kit for a virtual machine: in
# ${ATTUNE_RIG:-/var/cache/attune-rig}/vm a kernel, its initrd and a disk with our package installed.
#
# The root is make-kit.sh's; Debian's kernel comes to it, a module of simulated pins (gpio-sim, which
# Debian's kernel lacks; built from Debian's own kernel source), and lgpio, as make-rig.sh compiled it.
# Needs root, apt, mmdebstrap and QEMU; exits 2 with the reason where that fails.
set -euo pipefail
cd "$(dirname "$0")/../.."
. tests/rig/roots.sh

suite=trixie
packages=(linux-image-amd64 iproute2 procps busybox-static)
build_packages=(linux-headers-amd64 make gcc xz-utils)
idle=(apt-daily{,-upgrade}.timer dpkg-db-backup.timer e2scrub_{all.timer,reap.service} fstrim.timer
	dev-{hugepages,mqueue}.mount sys-{fs-fuse-connections,kernel-debug,kernel-tracing}.mount
	proc-sys-fs-binfmt_misc.automount systemd-binfmt.service kmod-static-nodes.service
	modprobe@{configfs,dm_mod,drm,efi_pstore,fuse,loop}.service systemd-{udev-trigger,udev-load-credentials,hibernate-clear}.service
	getty.target systemd-logind.service systemd-user-sessions.service remote-fs.target)
dir=${ATTUNE_RIG:-/var/cache/attune-rig}
base=$dir/vm-root
build=$dir/vm-build
vm=$dir/vm
log=$dir/vm.log

refuse() { echo "vm: $*" >&2; exit 2; }
tests/rig/make-kit.sh || exit
tests/rig/make-rig.sh || exit
for tool in qemu-system-x86_64 qemu-img mkfs.ext4; do
	command -v "$tool" >/dev/null || refuse "there is no $tool here"
done

exec 7>"$dir/vm.lock"
flock 7
: >"$log"
now=start
finish() {
	[ "$1" = 0 ] || { echo "vm: failed at: $now. The end of $log:" && tail -n 40 "$log"; } >&2
}
trap 'finish $?' EXIT
step() { # step TEXT COMMAND...: do it quietly and say what it took
	local began=$SECONDS
	now=$1
	shift
	echo "== $now" >>"$log"
	"$@" >>"$log" 2>&1 7>&-
	printf 'vm: %-40s %4d s\n' "$now" $((SECONDS - began))
}

inside() { # inside TREE COMMAND...: run it in there, with this machine's network, in mounts of its own
	# shellcheck disable=SC2016
	unshare --mount --propagation private bash -euc '
		mount -t proc proc "$0/proc"
		mount --rbind /sys "$0/sys"
		mount --rbind /dev "$0/dev"
		mount -t tmpfs tmpfs "$0/run"
		[ -e "$0/etc/resolv.conf" ] || touch "$0/etc/resolv.conf"
		mount --bind /etc/resolv.conf "$0/etc/resolv.conf"
		exec chroot "$0" env -i PATH=/usr/sbin:/usr/bin LANG=C.UTF-8 DEBIAN_FRONTEND=noninteractive "$@"' "$@"
}

system() { # a kit's root with a kernel
	rm -rf --one-file-system "$base" "$base.new"
	cp -a --reflink=auto "$dir/kit" "$base.new"
	sources "$suite" >"$base.new/etc/apt/sources.list"
	inside "$base.new" apt-get --quiet update
	inside "$base.new" apt-get --quiet --yes install --no-install-recommends "${packages[@]}"
	mv "$base.new" "$base"
}

pins() { # gpio-sim; irq_sim is folded into the one module. Compilers in a copy that is thrown away
	rm -rf --one-file-system "$build"
	cp -a --reflink=auto "$base" "$build"
	inside "$build" apt-get --quiet --yes install --no-install-recommends "${build_packages[@]}"
	# shellcheck disable=SC2016
	inside "$build" bash -euc '
		kernel=$(basename /lib/modules/*)
		series=$(echo "$kernel" | cut -d. -f1,2)
		version=$(dpkg-query --show --showformat="\${Version}" "linux-headers-$kernel")
		mkdir /opt/gpio-sim
		cd /opt/gpio-sim
		apt-get --quiet download "linux-source-$series=$version"
		dpkg-deb --fsys-tarfile linux-source-*.deb | tar -xO "./usr/src/linux-source-$series.tar.xz" |
			tar -xJ --strip-components=3 --wildcards "*/drivers/gpio/gpio-sim.c" "*/kernel/irq/irq_sim.c"
		# A module may not ask for the first of these; the second does the same.
		sed -i "s/handle_simple_irq(irq_to_desc(irqnum))/generic_handle_irq(irqnum)/" irq_sim.c
		printf "obj-m := gpio_sim.o\ngpio_sim-y := gpio-sim.o irq_sim.o\n" >Kbuild
		make -C "/lib/modules/$kernel/build" M="$PWD" modules'
	kernel=$(basename "$base"/usr/lib/modules/*)
	install -D -m 644 "$build/opt/gpio-sim/gpio_sim.ko" "$base/usr/lib/modules/$kernel/extra/gpio_sim.ko"
	rm -rf --one-file-system "$build"
	cp "$dir"/root/opt/venv/lib/python3*/site-packages/{lgpio.py,_lgpio*.so} "$base/usr/lib/python3/dist-packages/"
	inside "$base" depmod "$kernel"
	# Mirrors of this machine are of no use to a kit.
	rm -rf "$base"/etc/apt/sources.list "$base"/var/lib/apt/lists/*
	echo "$base_key" >"$base/made-vm"
}

newer() { # newer TREE: the same packages once more, as an upgrade finds them
	local name
	mkdir "$1/opt/vm/newer"
	for name in attune-kit attune-kit-scene attune-base; do
		rm -rf "$vm/package"
		dpkg-deb --raw-extract build/"$name"_*_amd64.deb "$vm/package"
		sed -i 's/^Version: .*/&+newer/; s/(= [^)]*/&+newer/' "$vm/package/DEBIAN/control"
		dpkg-deb --root-owner-group -Znone --build "$vm/package" "$1/opt/vm/newer/$name.deb"
	done
	rm -rf "$vm/package"
	# To compile a kit takes this machine many minutes: what is compiled lies where no upgrade comes by.
	(cd "$1" && find opt/attune/lib usr/lib/python3* -type d -name __pycache__) | while read -r name; do
		mkdir -p "$1/var/cache/bytecode/${name%/__pycache__}"
		cp -p "$1/$name"/*.pyc "$1/var/cache/bytecode/${name%/__pycache__}/"
	done
}

lean() { # lean TREE: without what a machine of this kind has no use for, so that it boots in a third of the time
	local tree=$1 kernel modules path
	kernel=$(basename "$tree"/usr/lib/modules/*)
	modules=$tree/usr/lib/modules/$kernel
	# What is found when devices are looked for is loaded, whether anything uses it or not.
	rm -rf "$modules"/kernel/{sound,virt,mm,arch}
	find "$modules/kernel/drivers" -name '*.ko*' -not -path '*/virtio/*' -not -name 'virtio_blk.*' -delete
	find "$modules/kernel/fs" -name '*.ko*' -not -path '*/fs/ext4/*' -not -path '*/fs/jbd2/*' \
		-not -path '*/fs/configfs/*' -not -name 'mbcache.*' -delete
	find "$modules/kernel" -name '*.ko.xz' -exec xz -d {} +
	inside "$tree" depmod "$kernel"
	inside "$tree" systemctl --quiet mask "${idle[@]}"
	mkdir "$tree/etc/systemd/system-generators"
	for path in "$tree"/usr/lib/systemd/system-generators/*; do
		ln -s /dev/null "$tree/etc/systemd/system-generators/${path##*/}"
	done
	# What systemd would do at the first start of a system that was changed.
	inside "$tree" sh -ec 'ldconfig; journalctl --update-catalog; systemd-machine-id-setup; systemd-sysusers'
	touch -r "$tree/usr" "$tree/etc/.updated" "$tree/var/.updated"

	mkdir -p "$tree"/start/{bin,dev,root}
	cp "$tree/bin/busybox" "$tree/start/bin/"
	{
		echo '#!/bin/busybox sh'
		inside "$tree" modprobe --set-version "$kernel" --show-depends --all virtio_blk ext4 |
			awk '$1 == "insmod" && !seen[$2]++ { print "/bin/busybox insmod " $2 }'
		echo '/bin/busybox mount -t devtmpfs dev /dev'
		echo '/bin/busybox mount -t ext4 /dev/vda /root && exec /bin/busybox switch_root /root /sbin/init'
	} >"$tree/start/init"
	chmod 755 "$tree/start/init"
	grep -o '/lib/modules/.*' "$tree/start/init" | while read -r path; do
		install -D -m 644 "$tree/usr$path" "$tree/start$path"
	done
	inside "$tree" sh -c 'cd /start && find . | cpio --quiet --create --format=newc' >"$vm/initrd"
	rm -rf "$tree/start"
}

disk() { # with our packages, and with what tests/vm puts into a kit
	umask 022
	rm -rf --one-file-system "$vm" "$build"
	mkdir "$vm"
	cp -a --reflink=auto "$base" "$build"
	cp build/attune-{kit,kit-scene,base}_*_amd64.deb "$build/tmp/"
	inside "$build" sh -ec 'apt-get --quiet --yes install --no-install-recommends /tmp/attune-*.deb && rm /tmp/attune-*.deb'
	cp -R tests/vm/guest/. "$build/"
	cp tests/boot/probe.py "$build/opt/vm/"
	newer "$build"
	inside "$build" systemctl --quiet enable vm-pins.service vm-agent.service
	cp "$build"/boot/vmlinuz-* "$vm/vmlinuz"
	lean "$build"
	rm -rf "$build"/boot/* "$build"/usr/share/{doc,man,locale}/* "$build"/var/cache/apt/*
	truncate -s 3G "$vm/root.img"
	mkfs.ext4 -q -F -d "$build" "$vm/root.img"
	rm -rf --one-file-system "$build"
	echo "$disk_key" >"$vm/made"
}

base_key=$(cat tests/rig/make-vm.sh "$dir/kit/made" | sed '/^idle=/,/)$/d; /^newer()/,/^}/d; /^lean()/,/^}/d; /^disk()/,/^}/d' | sha256sum | cut -c1-16)
if [ "$(cat "$base/made-vm" 2>/dev/null)" != "$base_key" ]; then
	step "a kit's root with a kernel" system
	step 'a module of simulated pins' pins
fi

step 'the package' packaged amd64
disk_key=$(cat "$base/made-vm" tests/rig/make-vm.sh build/attune-{kit,kit-scene,base}_*_amd64.deb tests/boot/probe.py \
	$(find tests/vm/guest -type f | sort) | sha256sum | cut -c1-16)
if [ "$(cat "$vm/made" 2>/dev/null)" != "$disk_key" ]; then
	step 'a disk with our package installed' disk
fi
echo "vm: $vm is ready"
