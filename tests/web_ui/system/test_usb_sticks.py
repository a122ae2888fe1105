"""Sticks: what may be written to, and that what is said to be on one is on it."""

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from appliance.errors import StickFailed
from tests.support.places import SYSTEMD
from tests.support.sticks import Socket
from web_ui.system.usb_sticks import SAME_TIME, Folder, Stick, Sticks, Udisks

MEGABYTE = 1 << 20
RULES = SYSTEMD / "attune-sticks.rules"


@pytest.fixture
def socket(tmp_path: Path) -> Socket:
    return Socket(tmp_path)


@pytest.fixture
def stick(socket: Socket) -> Stick:
    return socket.sticks.ready("sda1")


def words_of(failed: pytest.ExceptionInfo[StickFailed]) -> str:
    return str(failed.value)


# --- Which sticks there are ---------------------------------------------------------------------


def test_a_stick_is_known_by_its_maker_and_its_size(socket: Socket) -> None:
    (found,) = socket.sticks.plugged_in()
    assert (found.device, found.maker, found.size) == ("sda1", "Good Flash Drive", 32_000_000_000)
    assert found.mounted is None


def test_a_disk_that_is_built_in_is_never_offered(tmp_path: Path) -> None:
    assert Socket(tmp_path, removable=False).sticks.plugged_in() == []


def test_an_empty_card_reader_is_never_offered(tmp_path: Path) -> None:
    assert Socket(tmp_path, size=0).sticks.plugged_in() == []


@pytest.mark.parametrize("place", ["/", "/boot/firmware", "/var/lib/attune", "/mediaeval"])
def test_a_removable_disk_that_the_kit_lives_on_is_never_offered(
    socket: Socket, place: str
) -> None:
    socket.mounted_at(Path(place))
    assert socket.sticks.plugged_in() == []
    with pytest.raises(StickFailed):
        socket.sticks.ready("sda1")
    assert socket.done == []


def test_a_stick_whose_switch_is_set_is_known_as_locked(tmp_path: Path) -> None:
    (found,) = Socket(tmp_path, locked=True).sticks.plugged_in()
    assert found.locked


def test_a_switch_of_the_partition_alone_or_of_a_kernel_that_does_not_say(socket: Socket) -> None:
    (socket.disk / "ro").unlink()
    assert not socket.sticks.plugged_in()[0].locked
    (socket.disk / "sda1" / "ro").write_text("1\n")
    assert socket.sticks.plugged_in()[0].locked


def test_a_stick_without_partitions_is_found_too(socket: Socket) -> None:
    shutil.rmtree(socket.disk / "sda1")
    assert [stick.device for stick in socket.sticks.plugged_in()] == ["sda"]


def test_a_stick_is_mounted_where_its_name_has_a_blank(socket: Socket) -> None:
    place = socket.root / "media" / "my stick"
    place.mkdir()
    socket.mounted_at(place)
    assert socket.sticks.ready("sda1").mounted == place
    assert socket.done == []


def test_a_stick_that_was_pulled_out_is_not_there(socket: Socket) -> None:
    socket.pull_out()
    with pytest.raises(StickFailed, match="not plugged in"):
        socket.sticks.ready("sda1")


@pytest.mark.parametrize("device", ["sdb1", "../sda1", ""])
def test_what_is_no_stick_is_neither_mounted_nor_ejected(socket: Socket, device: str) -> None:
    for ask in (socket.sticks.ready, socket.sticks.eject):
        with pytest.raises(StickFailed):
            ask(device)
    assert socket.done == []


def test_the_sticks_of_this_very_machine_can_be_listed() -> None:
    kits_own = os.stat("/").st_dev
    assert all(stick.number != kits_own for stick in Sticks(Udisks()).plugged_in())


# --- udisks2 ------------------------------------------------------------------------------------


@pytest.fixture
def busctl(tmp_path: Path) -> Callable[[str], Path]:
    """A `busctl` that notes how it was called and then does what it is told."""

    def make(does: str) -> Path:
        program = tmp_path / "busctl"
        program.write_text(f'#!/bin/sh\necho "$@" >>{tmp_path}/asked\n{does}\n')
        program.chmod(0o755)
        return program

    return make


def test_a_stick_is_mounted_so_that_nothing_on_it_can_be_run(
    busctl: Callable[[str], Path], tmp_path: Path
) -> None:
    Udisks(str(busctl("echo {}"))).mount("sda1", "exfat")
    asked = (tmp_path / "asked").read_text()
    assert "Mount a{sv} 2 fstype s exfat options s nosuid,nodev,noexec" in asked
    assert "/org/freedesktop/UDisks2/block_devices/sda1 org.freedesktop.UDisks2.Filesystem" in asked
    assert "nosuid,nodev,noexec" in asked


@pytest.mark.parametrize(
    ("answer", "holds"),
    [
        ('{"type":"s","data":"vfat"}', "vfat"),
        ('{"type":"s","data":"crypto_LUKS"}', "crypto_LUKS"),
        ('{"type":"s","data":""}', ""),
        ('{"type":"as","data":["vfat"]}', ""),
        ("[]", ""),
        ("{}", ""),
        ("vfat", ""),
        ("", ""),
    ],
)
def test_what_lies_on_a_stick_is_asked_of_udisks(
    busctl: Callable[[str], Path], tmp_path: Path, answer: str, holds: str
) -> None:
    assert Udisks(str(busctl(f"echo '{answer}'"))).holds("sda1") == holds
    asked = (tmp_path / "asked").read_text()
    assert "get-property" in asked and "UDisks2.Block IdType" in asked


@pytest.mark.parametrize(
    "holds",
    [
        *("ext2", "ext4", "btrfs", "xfs", "f2fs", "hfs", "hfsplus", "apfs", "ntfs3", "VFAT", ""),
        *("iso9660", "udf", "squashfs", "crypto_LUKS", "LVM2_member", "linux_raid_member", "vfat "),
    ],
)
def test_what_is_no_sticks_format_is_never_mounted_and_refused_in_words(
    tmp_path: Path, holds: str
) -> None:
    """Attack: a stick whose file system is made to break the kernel's reader of it."""
    socket = Socket(tmp_path, said=holds)
    with pytest.raises(StickFailed, match="format") as refused:
        socket.sticks.ready("sda1")
    assert "FAT" in refused.value.hint
    assert socket.done == []


@pytest.mark.parametrize("format", ["vfat", "exfat", "ntfs3"])
def test_the_formats_of_sticks_are_mounted_each_by_its_name(tmp_path: Path, format: str) -> None:
    socket = Socket(tmp_path, format=format)
    assert socket.sticks.ready("sda1").format == format


@pytest.mark.parametrize("format", ["ext4", "hfsplus", "ntfs3"])
def test_a_stick_that_is_another_one_by_the_time_it_is_mounted_is_not_mounted(
    tmp_path: Path, format: str
) -> None:
    socket = Socket(tmp_path, format=format, said="vfat")
    with pytest.raises(StickFailed):
        socket.sticks.ready("sda1")
    assert socket.sticks.plugged_in()[0].mounted is None


def test_of_a_stick_with_two_partitions_only_the_one_that_is_meant_is_asked_and_mounted(
    tmp_path: Path,
) -> None:
    class Two(Socket):
        def holds(self, device: str) -> str:
            return {"sda1": "vfat", "sda2": "ext4"}[device]

    socket = Two(tmp_path)
    second = socket.disk / "sda2"
    second.mkdir()
    for name, text in (("partition", "2"), ("size", "2048"), ("dev", "8:2")):
        (second / name).write_text(f"{text}\n")
    with pytest.raises(StickFailed, match="format"):
        socket.sticks.ready("sda2")
    assert socket.done == []
    assert socket.sticks.ready("sda1").mounted == socket.place
    assert socket.done == ["mount sda1"]


def test_ejecting_unmounts_and_then_switches_off(
    busctl: Callable[[str], Path], tmp_path: Path
) -> None:
    drive = '\'{"type":"o","data":"/org/freedesktop/UDisks2/drives/Good"}\''
    Udisks(str(busctl(f"echo {drive}"))).eject("sda1")
    unmount, _which, off = (tmp_path / "asked").read_text().splitlines()
    assert "Unmount" in unmount
    assert "/org/freedesktop/UDisks2/drives/Good" in off and "PowerOff" in off


def test_a_reader_that_cannot_be_switched_off_may_still_be_pulled(
    busctl: Callable[[str], Path],
) -> None:
    does = """case "$*" in *PowerOff*) exit 1;; esac; echo '{"type":"o","data":"/x"}'"""
    Udisks(str(busctl(does))).eject("sda1")


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ("Call failed: The name org.freedesktop.UDisks2 was not provided", "package udisks2"),
        ("Failed to connect to bus: No such file or directory", "package udisks2"),
        ("Call failed: Not authorized to perform operation", "You can still use a download"),
        # A stick that was plugged in a second ago.
        (
            "Failed to get property IdType on interface org.freedesktop.UDisks2.Block: Object does "
            "not exist at path “/org/freedesktop/UDisks2/block_devices/sda1”",
            "still checking",
        ),
        ("Call failed: Error unmounting /dev/sda1: target is busy", "still in use"),
        # Of a dirty NTFS, and of a FAT or exFAT whose beginning is damaged: libmount before 2.40
        # and since, which passes on what the kernel said.
        (
            "Call failed: Error mounting /dev/sda1 at /media/a/b: wrong fs type, bad option, bad "
            "superblock on /dev/sda1, missing codepage or helper program, or other error",
            "pulled out of a computer too early",
        ),
        (
            "Call failed: Error mounting /dev/sda1 at /media/a/b: fsconfig() failed: ntfs3: "
            "volume is dirty and force flag is not set!",
            "have it checked",
        ),
        ("Call failed: can't read superblock on /dev/sda1", "First Aid in Disk Utility"),
        ("Call failed: mount: unknown filesystem type 'exfat'", "formatted as FAT"),
        ("Call failed: Filesystem type ntfs3 not configured in kernel.", "formatted as FAT"),
        ("Call failed: cannot mount /dev/sda1 read-write: write-protected", "small switch"),
        ("Call failed: something that nobody foresaw", "use another stick"),
    ],
)
def test_what_udisks_refuses_is_told_in_words(
    busctl: Callable[[str], Path], said: str, words: str
) -> None:
    program = busctl(f'echo "{said}" >&2; exit 1')
    with pytest.raises(StickFailed) as failed:
        Udisks(str(program)).eject("sda1")
    assert words in words_of(failed)


def test_a_kit_without_a_system_bus_says_what_is_missing() -> None:
    with pytest.raises(StickFailed) as failed:
        Udisks("/nowhere/busctl").mount("sda1", "vfat")
    assert "udisks2" in words_of(failed)


@pytest.mark.parametrize(
    ("user", "action", "allowed"),
    [
        ("attune-web", "filesystem-mount", True),
        ("attune-web", "filesystem-mount-other-seat", True),
        ("attune-web", "power-off-drive", True),
        ("attune-web", "filesystem-mount-system", False),
        ("attune-web", "power-off-drive-system", False),
        ("attune-web", "modify-device", False),
        ("attune-sync", "filesystem-mount", False),
    ],
)
def test_the_page_may_use_sticks_and_no_other_disk(user: str, action: str, allowed: bool) -> None:
    asked = f"""
        var rule, polkit = {{ Result: {{ YES: "yes", NOT_HANDLED: "" }}, addRule: r => rule = r }};
        {RULES.read_text()}
        var action = {{ id: "org.freedesktop.udisks2.{action}" }};
        process.stdout.write(rule(action, {{ user: "{user}" }}));
    """
    done = subprocess.run(["node", "-e", asked], check=True, capture_output=True, text=True)
    assert done.stdout == ("yes" if allowed else "")


# --- Writing ------------------------------------------------------------------------------------


def test_files_lie_in_a_folder_of_their_own_and_all_show_the_same_time(
    socket: Socket, stick: Stick
) -> None:
    (socket.place / "1.mp4").write_bytes(b"the owner's own")
    for _time in range(2):
        with Folder(stick) as folder:
            folder.put("1.mp4", [b"first ", b"film"])
            folder.put("1.jpg", [b"picture"])
    assert socket.files() == {
        "1.mp4": b"the owner's own",
        "copies/1.mp4": b"first film",
        "copies/1.jpg": b"picture",
        "copies-2/1.mp4": b"first film",
        "copies-2/1.jpg": b"picture",
    }
    for path in (socket.place / "copies", *(socket.place / "copies").iterdir()):
        assert path.stat().st_mtime == SAME_TIME


@pytest.mark.parametrize("name", ["../1.mp4", "/tmp/1.mp4", "a/b.mp4", "", ".", "1.mp4\n"])
def test_a_name_that_leads_elsewhere_is_never_written(stick: Stick, name: str) -> None:
    with Folder(stick) as folder, pytest.raises(ValueError):
        folder.put(name, [b"data"])


def test_a_link_on_the_stick_leads_nowhere(socket: Socket, stick: Stick, tmp_path: Path) -> None:
    kit = tmp_path / "kit"
    kit.mkdir()
    (socket.place / "copies").symlink_to(kit)
    with Folder(stick) as folder:
        (socket.place / "copies-2" / "1.mp4.part").symlink_to(kit / "planted")
        with pytest.raises(StickFailed):
            folder.put("1.mp4", [b"film"])
        folder.put("2.mp4", [b"film"])
    assert list(kit.iterdir()) == []
    assert socket.files() == {"copies-2/2.mp4": b"film"}


def test_where_a_stick_was_before_it_was_pulled_out_nothing_is_written(
    socket: Socket, stick: Stick
) -> None:
    with pytest.raises(StickFailed, match="pulled out"):
        Folder(replace(stick, number=stick.number + 1))
    assert socket.files() == {} and not (socket.place / "copies").exists()


@pytest.mark.parametrize("format", ["ext4", "squashfs", "iso9660", ""])
def test_a_format_that_no_telephone_reads_is_refused(stick: Stick, format: str) -> None:
    with pytest.raises(StickFailed, match="FAT"):
        Folder(replace(stick, format=format))


def test_what_fails_while_it_is_written_never_has_its_name(socket: Socket, stick: Stick) -> None:
    def breaks() -> Iterator[bytes]:
        yield b"half a "
        raise KeyError("film")

    with Folder(stick) as folder:
        folder.put("1.mp4", [b"film"])
        with pytest.raises(KeyError):
            folder.put("2.mp4", breaks())
        assert socket.files() == {"copies/1.mp4": b"film"}
        assert folder.take_back()
    assert list(socket.place.iterdir()) == []


def test_too_little_room_is_told_before_anything_is_written(socket: Socket, stick: Stick) -> None:
    with Folder(stick) as folder:
        folder.check_free_space([10 * MEGABYTE])
        with pytest.raises(StickFailed, match="not enough room"):
            folder.check_free_space([1 << 60])


# --- On real block devices ----------------------------------------------------------------------


@pytest.fixture
def plug_in(tmp_path: Path) -> Iterator[Callable[..., Stick]]:
    """Make a file system on a loop device and mount it; on a machine that lets us."""
    place = tmp_path / "media"
    place.mkdir()
    card = tmp_path / "card"
    card.mkdir()
    mounted: list[Path] = []

    def run(*command: object) -> bool:
        try:
            return not subprocess.run(list(map(str, command)), capture_output=True).returncode
        except FileNotFoundError:
            return False

    def make(
        format: str,
        megabytes: int,
        options: str = "loop",
        really: int = 0,
        dirty: tuple[str, int] | None = None,
    ) -> Stick:
        """`really`: megabytes that it can truly hold, where that is less than it says; `dirty`:
        how many bits a FAT has, and which byte says that it was not let go."""
        if os.geteuid() != 0:
            pytest.skip("only root can mount a stick's image")
        if really:
            assert run("mount", "-t", "tmpfs", "-o", f"size={really}m", "none", card)
            mounted.append(card)
        image = card / "image"
        with open(image, "wb") as file:
            file.truncate(megabytes * MEGABYTE)
        quietly = ["-q", "-O", "^has_journal"] if format == "ext4" else []
        quietly += ["-F", dirty[0]] if dirty else []
        if not run(f"mkfs.{format}", *quietly, image):
            pytest.skip(f"there is no mkfs.{format} here")
        if dirty:
            with open(image, "r+b") as file:
                file.seek(dirty[1])
                file.write(b"\1")
        if not run("mount", "-t", format, "-o", options, image, place):
            pytest.skip(f"this kernel mounts no {format}, or has no loop device")
        mounted.append(place)
        return Stick("sda1", os.stat(place).st_dev, megabytes * MEGABYTE, "", place, format)

    yield make
    for one in reversed(mounted):
        run("umount", one)


FORMATS = frozenset({"vfat", "ext4"})


@pytest.mark.slow
@pytest.mark.parametrize("format", ["vfat", "ext4"])
def test_what_was_written_is_on_the_device_itself(
    plug_in: Callable[..., Stick], format: str, tmp_path: Path
) -> None:
    film = os.urandom(3 * MEGABYTE)
    stick = plug_in(format, 40)
    with Folder(stick, FORMATS) as folder:
        folder.put("1.mp4", [film])
    assert stick.mounted
    assert (stick.mounted / "copies" / "1.mp4").stat().st_mtime == SAME_TIME
    # Without unmounting: as if it was pulled out at this moment.
    data = (tmp_path / "card" / "image").read_bytes()
    assert all(film[at : at + 512] in data for at in range(0, len(film), 256 << 10))


@pytest.mark.slow
@pytest.mark.parametrize("format", ["vfat", "ext4"])
def test_a_stick_that_runs_full_is_told_in_words(
    plug_in: Callable[..., Stick], format: str
) -> None:
    stick = plug_in(format, 40)
    with Folder(stick, FORMATS) as folder:
        folder.put("1.mp4", [b"film"])
        with pytest.raises(StickFailed, match="stick is full"):
            folder.put("2.mp4", (bytes(MEGABYTE) for _number in range(50)))
        assert stick.mounted
        assert [path.name for path in (stick.mounted / "copies").iterdir()] == ["1.mp4"]
        assert folder.take_back()
    assert not (stick.mounted / "copies").exists()


@pytest.mark.slow
@pytest.mark.parametrize("format", ["vfat", "ext4"])
def test_a_stick_that_may_not_be_written_to_is_told_in_words(
    plug_in: Callable[..., Stick], format: str
) -> None:
    stick = replace(plug_in(format, 40, "loop,ro"), locked=True)
    with pytest.raises(StickFailed, match="is locked") as failed:
        Folder(stick, FORMATS)
    assert "small switch" in words_of(failed)


@pytest.mark.slow
@pytest.mark.parametrize("format", ["vfat", "ext4"])
def test_a_stick_in_which_the_kernel_finds_what_it_cannot_follow_is_to_be_checked(
    plug_in: Callable[..., Stick], format: str
) -> None:
    """It is read-only from then on: that has nothing to do with a switch."""
    stick = plug_in(format, 40)
    early = pytest.raises(StickFailed, match="too early, or is worn")
    with early as failed, Folder(stick, FORMATS) as folder:
        folder.put("1.mp4", [b"film"])
        subprocess.run(["mount", "-o", "remount,ro", str(stick.mounted)], check=True)
        folder.put("2.mp4", [b"film"])
    assert "have it checked" in words_of(failed) and "switch" not in words_of(failed)
    assert stick.mounted
    assert [path.name for path in (stick.mounted / "copies").iterdir()] == ["1.mp4"]


@pytest.mark.slow
@pytest.mark.parametrize(("bits", "at"), [("16", 0x25), ("32", 0x41)], ids=["FAT16", "FAT32"])
def test_a_dirty_fat_that_this_kernel_still_writes_is_written(
    plug_in: Callable[..., Stick], bits: str, at: int
) -> None:
    """As it is after it was pulled out of a computer: the bit says so, and Linux mounts it."""
    stick = plug_in("vfat", 40, dirty=(bits, at))
    with Folder(stick) as folder:
        folder.put("1.mp4", [b"film"])
    assert stick.mounted
    assert (stick.mounted / "copies" / "1.mp4").read_bytes() == b"film"


@pytest.mark.slow
@pytest.mark.parametrize("format", ["vfat", "ext4"])
def test_a_stick_that_stops_answering_midway_never_counts_as_written(
    plug_in: Callable[..., Stick], format: str
) -> None:
    """As when it is pulled out, or says that it is larger than it is: the device gives errors."""
    stick = plug_in(format, 200, really=8)
    with Folder(stick, FORMATS) as folder:
        folder.put("1.mp4", [os.urandom(MEGABYTE)])
        with pytest.raises(StickFailed):
            folder.put("2.mp4", (os.urandom(MEGABYTE) for _number in range(30)))
        assert stick.mounted
        assert "2.mp4" not in os.listdir(stick.mounted / "copies")
        folder.take_back()
        with pytest.raises(StickFailed):
            folder.put("3.mp4", (os.urandom(MEGABYTE) for _number in range(30)))
