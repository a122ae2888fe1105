#!/bin/bash
# pre-image.sh SYSTEM OUTPUT - the last touch before rpi-image-gen makes the card's image: which
# partition is what, what the firmware and the kernel are told, and the recipe for genimage.
set -euo pipefail
system=$1 output=$2
[ -d "$system" ] || exit 0

# A name, a key or a certificate that is in the image would be the same on every kit.
made=$(find "$system/etc/attune" "$system/var/lib/attune" ! -type d 2>/dev/null || true)
if [ -n "$made" ]; then
	printf 'pre-image.sh: the image has what each kit makes for itself:\n%s\n' "$made" >&2
	exit 1
fi

# By the card's own number: a stick may carry any label.
number=$(od -A n -t x4 -N 4 /dev/urandom | tr -d ' ')
cat >"$system/etc/fstab" <<FSTAB
PARTUUID=$number-02  /                ext4  noatime,errors=remount-ro  0 1
PARTUUID=$number-01  /boot/firmware   vfat  noatime  0 2
PARTUUID=$number-03  /var/lib/attune  ext4  noatime,nodev,nosuid,noexec,discard,x-systemd.growfs  0 2
FSTAB

boot=$system/boot/firmware
# The second is what first-boot would write, and a start later.
sed -i -e "s|root=[^ ]*|root=PARTUUID=$number-02|" -e 's|$| init_on_free=1|' "$boot/cmdline.txt"
printf '\n[all]\n# A kit has no use for Bluetooth.\ndtoverlay=disable-bt\n' >>"$boot/config.txt"
if [ "$IGconf_device_class" = zero2w ]; then
	# Half of its 512 MB is kept for the camera otherwise.
	sed -i 's|^dtoverlay=vc4-kms-v3d$|&,cma-128|' "$boot/config.txt"
	grep -q '^dtoverlay=vc4-kms-v3d,cma-128$' "$boot/config.txt"
fi
grep -q "root=PARTUUID=$number-02 " "$boot/cmdline.txt"

# Blocks of 4096 bytes: a file system this small would get smaller ones, and keep them when it has grown.
cat >"$output/genimage.cfg" <<GENIMAGE
image $IGconf_image_name.$IGconf_image_suffix {
	hdimage {
		align = 8M
		partition-table-type = "mbr"
		disk-signature = "0x$number"
		fill = true
	}
	partition boot {
		partition-type = 0xC
		bootable = true
		image = boot.vfat
	}
	partition root {
		partition-type = 0x83
		image = root.ext4
	}
	partition data {
		partition-type = 0x83
		image = data.ext4
	}
}
image boot.vfat {
	vfat {
		label = "BOOT"
	}
	size = $IGconf_image_boot_part_size
	mountpoint = "/boot/firmware"
}
image root.ext4 {
	ext4 {
		label = "ROOT"
		use-mke2fs = true
		extraargs = "-b 4096"
	}
	size = $IGconf_image_root_part_size
	mountpoint = "/"
}
image data.ext4 {
	ext4 {
		label = "attune"
		use-mke2fs = true
		extraargs = "-b 4096 -m 0 -J size=64"
	}
	size = $IGconf_image_data_part_size
	mountpoint = "/var/lib/attune"
}
GENIMAGE
