"""USB sticks of every format, in a kernel's USB socket: udisks2 and the kernel's own file systems,
by the page's own code in the page's own sandbox."""

import pytest

from tests.vm.machine import Machine

MAKE = {
    "vfat": ("mkfs.vfat",),
    "exfat": ("mkfs.exfat",),
    "ntfs": ("mkfs.ntfs", "--force", "--quick"),
}
LOCKED = ("vfat", "locked")
STICKS = [*((format, state) for format in MAKE for state in ("clean", "dirty")), LOCKED]

TAKE_OUT_TOO_EARLY = """set -eu
mkdir -p /run/vm/inside
mount -o loop -t "$2" "$1" /run/vm/inside
echo seen >/run/vm/inside/before
sync
cp "$1" "$1.early"
umount /run/vm/inside
mv "$1.early" "$1"
"""
IS_DIRTY = {
    # Linux sets it when it mounts one, and leaves it there.
    "vfat": "true",
    # Linux sets it only while it writes: VolumeFlags, bit 1 (exFAT specification, 3.1.13).
    "exfat": "printf '\\002' | dd of=\"$1\" bs=1 seek=106 conv=notrunc status=none",
    # As Windows sets it, for itself to look at when the stick comes back.
    "ntfs": 'ntfsfix "$1"',
}


@pytest.fixture(scope="module")
def said(kit: Machine) -> dict[tuple[str, str], str]:
    """What the page says of each. One after the other: to eject one switches its socket off."""
    kit.run("modprobe", "--all", "loop", "dummy_hcd")
    return {(format, state): plugged_in(kit, format, state) for format, state in STICKS}


def plugged_in(kit: Machine, format: str, state: str) -> str:
    file = f"/run/vm/{format}-{state}"
    kit.run("truncate", "--size=40M", file)
    kit.run(*MAKE[format], file)
    if state == "dirty":
        linux = "ntfs3" if format == "ntfs" else format
        kit.run("sh", "-c", TAKE_OUT_TOO_EARLY, "early", file, linux)
        kit.run("sh", "-c", IS_DIRTY[format], "dirty", file)
    kit.ask("page_waits_for_a_stick")
    switch = f"ro={int(state == 'locked')}"
    kit.run("modprobe", "g_mass_storage", f"file={file}", switch, "removable=1")
    found: str = kit.ask("until", words=["cat", "/run/attune/web/stick"], what="\n")
    kit.run("modprobe", "-r", "g_mass_storage")
    return found.strip()


@pytest.mark.parametrize("format", MAKE)
def test_a_stick_is_written_to(said: dict[tuple[str, str], str], format: str) -> None:
    assert said[format, "clean"] == "written"


def test_a_stick_whose_switch_is_set_is_told_as_that(said: dict[tuple[str, str], str]) -> None:
    assert "is locked" in said[LOCKED]


def test_a_stick_that_was_pulled_too_early_is_written_to_or_told_as_that(
    said: dict[tuple[str, str], str],
) -> None:
    """The kernel writes on after FAT and exFAT that were not ejected, and not after NTFS."""
    assert [said[format, "dirty"] for format in ("vfat", "exfat")] == ["written", "written"]
    assert "pulled out of a computer too early" in said["ntfs", "dirty"]
