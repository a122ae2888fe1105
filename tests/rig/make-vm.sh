#!/usr/bin/env bash
# tests/rig/make-vm.sh [full] - make, or find made, a kit for a virtual machine: in
# ${ATTUNE_RIG:-/var/cache/attune-rig}/vm a kernel, its initrd and a disk with our package installed.
#
# With full, in .../vm-full, one that leaves out less: a kit that nobody has started yet, with what it
# recommends, with radios, sockets and sound cards of the kernel's own, and with what they ask for. It
# boots in twice the time.
#
# The root is make-kit.sh's; Debian's kernel comes to it, a module of simulated pins (gpio-sim, which
# Debian's kernel lacks; built from Debian's own kernel source), and lgpio, as make-rig.sh compiled it.
# Needs root, apt, mmdebstrap and QEMU; exits 2 with the reason where that fails.
set -euo pipefail
cd "$(dirname "$0")/../.."
. tests/rig/roots.sh

suite=trixie
packages=(iproute2 procps busybox-static cpio)
kernel_package=linux-image-amd64
build_packages=(make gcc xz-utils)
idle=(apt-daily{,-upgrade}.timer dpkg-db-backup.timer e2scrub_{all.timer,reap.service} fstrim.timer
	dev-{hugepages,mqueue}.mount sys-{fs-fuse-connections,kernel-debug,kernel-tracing}.mount
	proc-sys-fs-binfmt_misc.automount systemd-binfmt.service kmod-static-nodes.service
	modprobe@{configfs,dm_mod,drm,efi_pstore,fuse,loop}.service systemd-{udev-trigger,udev-load-credentials,hibernate-clear}.service
	getty.target systemd-logind.service systemd-user-sessions.service remote-fs.target)
# What a full one has besides: what the package recommends, and what makes sticks and looks at radios.
more=(network-manager wpasupplicant dnsmasq-base polkitd udisks2 alsa-utils wireless-regdb
	iw dosfstools exfatprogs ntfs-3g cloud-init)
modules=(mac80211_hwsim veth dummy dummy_hcd g_ether usb_f_{ecm,ecm_subset,rndis,mass_storage} g_mass_storage
	cdc_ether cdc_subset rndis_host usb_storage sd_mod loop snd_aloop vivid vfat exfat ntfs3 nls_cp437 nls_ascii nls_utf8)
dir=${ATTUNE_RIG:-/var/cache/attune-rig}
base=$dir/vm-root
build=$dir/vm-build
log=$dir/vm.log
case $* in
'') vm=$dir/vm from=$base guests=(tests/vm/guest) modules=() ;;
full) vm=$dir/vm-full from=$dir/vm-full-root guests=(tests/vm/guest tests/vm/full/guest) ;;
*) echo "usage: $0 [full]" >&2; exit 2 ;;
esac

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

grown() { # grown FROM TO PACKAGES...: a copy of a root with more packages
	local to=$2
	rm -rf --one-file-system "$to" "$to.new"
	cp -a --reflink=auto "$1" "$to.new"
	shift 2
	sources "$suite" >"$to.new/etc/apt/sources.list"
	inside "$to.new" apt-get --quiet update
	inside "$to.new" apt-get --quiet --yes install --no-install-recommends "$@"
	mv "$to.new" "$to"
}

finished() { # finished TREE KEY: mirrors of this machine are of no use to a kit
	rm -rf "$1"/etc/apt/sources.list "$1"/var/lib/apt/lists/*
	echo "$2" >"$1/made-vm"
}

system() { # a kit's root with a kernel, unpacked: what Debian does when one is installed, no kit here has a use for
	grown "$dir/kit" "$base" "${packages[@]}"
	# shellcheck disable=SC2016
	inside "$base" bash -euc '
		cd /tmp
		apt-get --quiet download "$(apt-cache depends --important "$1" | sed -n "s/^ *Depends: \(linux-image-\)/\1/p")"' bash "$kernel_package"
	dpkg-deb --fsys-tarfile "$base"/tmp/linux-image-*.deb | tar -x --keep-directory-symlink -C "$base"
	rm "$base"/tmp/linux-image-*.deb
}

full() { # what a full one has besides
	grown "$base" "$from" "${more[@]}"
	finished "$from" "$full_key"
}

pins() { # gpio-sim; irq_sim is folded into the one module. Compilers in a copy that is thrown away
	local kernel
	kernel=$(basename "$base"/usr/lib/modules/*)
	rm -rf --one-file-system "$build"
	cp -a --reflink=auto "$base" "$build"
	# The headers want their kernel installed; an initrd for it is of no use here.
	inside "$build" env INITRD=No apt-get --quiet --yes install --no-install-recommends \
		"${build_packages[@]}" "linux-headers-$kernel"
	# shellcheck disable=SC2016
	inside "$build" bash -euc '
		series=$(echo "$1" | cut -d. -f1,2)
		version=$(dpkg-query --show --showformat="\${Version}" "linux-headers-$1")
		mkdir /opt/gpio-sim
		cd /opt/gpio-sim
		apt-get --quiet download "linux-source-$series=$version"
		dpkg-deb --fsys-tarfile linux-source-*.deb | tar -xO "./usr/src/linux-source-$series.tar.xz" |
			tar -xJ --strip-components=3 --wildcards "*/drivers/gpio/gpio-sim.c" "*/kernel/irq/irq_sim.c"
		# A module may not ask for the first of these; the second does the same.
		sed -i "s/handle_simple_irq(irq_to_desc(irqnum))/generic_handle_irq(irqnum)/" irq_sim.c
		printf "obj-m := gpio_sim.o\ngpio_sim-y := gpio-sim.o irq_sim.o\n" >Kbuild
		make -C "/lib/modules/$1/build" M="$PWD" modules' bash "$kernel"
	install -D -m 644 "$build/opt/gpio-sim/gpio_sim.ko" "$base/usr/lib/modules/$kernel/extra/gpio_sim.ko"
	inside "$base" depmod "$kernel"
	cp "$dir"/root/opt/venv/lib/python3*/site-packages/{lgpio.py,_lgpio*.so} "$base/usr/lib/python3/dist-packages/"
	rm -rf --one-file-system "$build"
	finished "$base" "$base_key"
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
}

compiled() { # compiled TREE: to compile a kit takes this machine many minutes; it lies where no upgrade comes by
	local name
	(cd "$1" && find opt/attune/lib usr/lib/python3* -type d -name __pycache__) | while read -r name; do
		mkdir -p "$1/var/cache/bytecode/${name%/__pycache__}"
		cp -p "$1/$name"/*.pyc "$1/var/cache/bytecode/${name%/__pycache__}/"
	done
}

files() { # files TREE KERNEL MODULES...: those of modules, and of what they need
	local tree=$1 kernel=$2
	shift 2
	[ $# = 0 ] || inside "$tree" modprobe --set-version "$kernel" --show-depends --all "$@" |
		awk '$1 == "insmod" && !seen[$2]++ { print substr($2, 2) }'
}

few() { # few TREE KERNEL: the modules that a machine of this kind has a use for
	local tree=$1 kernel=$2 there=$1/usr/lib/modules/$2
	# What is found when devices are looked for is loaded, whether anything uses it or not.
	files "$tree" "$kernel" "${modules[@]}" | tar -C "$tree" -c -T - -f "$vm/kept"
	rm -rf "$there"/kernel/{sound,virt,mm,arch}
	find "$there/kernel/drivers" -name '*.ko*' -not -path '*/virtio/*' -not -name 'virtio_blk.*' -delete
	find "$there/kernel/fs" -name '*.ko*' -not -path '*/fs/ext4/*' -not -path '*/fs/jbd2/*' \
		-not -path '*/fs/configfs/*' -not -name 'mbcache.*' -delete
	tar -C "$tree" -xf "$vm/kept"
	rm "$vm/kept"
	find "$there/kernel" -name '*.ko.xz' -exec xz -d {} +
	inside "$tree" depmod "$kernel"
}

initrd() { # initrd TREE KERNEL: what brings that kernel to its disk; printed
	local tree=$1 kernel=$2 path
	mkdir -p "$tree"/start/{bin,dev,root}
	cp "$tree/bin/busybox" "$tree/start/bin/"
	{
		echo '#!/bin/busybox sh'
		files "$tree" "$kernel" virtio_blk ext4 | sed 's|^|/bin/busybox insmod /|'
		echo '/bin/busybox mount -t devtmpfs dev /dev'
		echo '/bin/busybox mount -t ext4 /dev/vda /root && exec /bin/busybox switch_root /root /sbin/init'
	} >"$tree/start/init"
	chmod 755 "$tree/start/init"
	grep -o '/lib/modules/.*' "$tree/start/init" | while read -r path; do
		install -D -m 644 "$tree/usr$path" "$tree/start$path"
	done
	inside "$tree" sh -c 'cd /start && find . | cpio --quiet --create --format=newc'
	rm -rf "$tree/start"
}

lean() { # lean TREE: without what would only take time when it boots
	local tree=$1 path
	inside "$tree" systemctl --quiet mask "${idle[@]}"
	# What has many devices has them looked for, as a kit has.
	[ ${#modules[@]} = 0 ] || inside "$tree" systemctl --quiet unmask systemd-udev-trigger.service
	mkdir "$tree/etc/systemd/system-generators"
	for path in "$tree"/usr/lib/systemd/system-generators/*; do
		ln -s /dev/null "$tree/etc/systemd/system-generators/${path##*/}"
	done
	# What systemd would do at the first start of a system that was changed.
	inside "$tree" sh -ec 'ldconfig; journalctl --update-catalog; systemd-machine-id-setup; systemd-sysusers'
	touch -r "$tree/usr" "$tree/etc/.updated" "$tree/var/.updated"
}

disk() { # with our packages, and with what tests/vm puts into a kit
	local kernel
	umask 022
	rm -rf --one-file-system "$vm" "$build"
	mkdir "$vm"
	cp -a --reflink=auto "$from" "$build"
	cp build/attune-{kit,kit-scene,base}_*_amd64.deb "$build/tmp/"
	inside "$build" sh -ec 'apt-get --quiet --yes install --no-install-recommends /tmp/attune-*.deb && rm /tmp/attune-*.deb'
	for guest in "${guests[@]}"; do cp -R "$guest/." "$build/"; done
	cp tests/boot/probe.py "$build/opt/vm/"
	compiled "$build"
	if [ "$from" = "$base" ]; then
		newer "$build"
	else
		# The first start of a kit is yet to come. What films and sends is tried on the other machine.
		rm "$build/etc/attune/attune.toml"
		inside "$build" systemctl --quiet enable vm-radio.service
		inside "$build" systemctl --quiet mask attune-recorder.service attune-sync.service
	fi
	inside "$build" systemctl --quiet enable vm-pins.service vm-agent.service
	lean "$build"
	kernel=$(basename "$build"/usr/lib/modules/*)
	few "$build" "$kernel"
	cp "$build/boot/vmlinuz-$kernel" "$vm/vmlinuz"
	initrd "$build" "$kernel" >"$vm/initrd"
	rm -rf "$build"/boot/* "$build"/usr/share/{doc,man,locale}/* "$build"/var/cache/apt/*
	truncate -s 3G "$vm/root.img"
	mkfs.ext4 -q -F -d "$build" "$vm/root.img"
	rm -rf --one-file-system "$build"
	echo "$disk_key" >"$vm/made"
}

key() { sha256sum | cut -c1-16; }
base_key=$({ declare -f grown finished system pins inside && echo "$suite" "${packages[@]}" "${build_packages[@]}" \
	"$kernel_package" && cat "$dir/kit/made"; } | key)
if [ "$(cat "$base/made-vm" 2>/dev/null)" != "$base_key" ]; then
	step "a kit's root with a kernel" system
	step 'a module of simulated pins' pins
fi
full_key=$({ declare -f grown finished full inside && echo "$base_key" "${more[@]}"; } | key)
if [ "$from" != "$base" ] && [ "$(cat "$from/made-vm" 2>/dev/null)" != "$full_key" ]; then
	step 'what a full one has besides' full
fi

step 'the package' packaged amd64
disk_key=$(cat "$from/made-vm" tests/rig/make-vm.sh build/attune-{kit,kit-scene,base}_*_amd64.deb tests/boot/probe.py \
	$(find "${guests[@]}" -type f | sort) | key)
if [ "$(cat "$vm/made" 2>/dev/null)" != "$disk_key" ]; then
	step 'a disk with our package installed' disk
fi
echo "vm: $vm is ready"
