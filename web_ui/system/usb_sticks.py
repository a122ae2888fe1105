"""USB sticks: found, mounted, written with care, and ejected.

A stick comes from outside and may be anything: before the kernel reads it, udisks2 says what lies
on it, and only the formats of sticks are mounted, each by its name. Only a removable disk that
holds nothing of the kit is ever offered. What is written lies in a new folder of our own, reached
without following a link; each file gets its name when it is on the stick and was read back from it.
The page runs without rights, so udisks2 mounts and ejects for it, asked over the system bus with
systemd's `busctl`.
"""

import contextlib
import errno
import hashlib
import json
import os
import re
import subprocess
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Protocol, Self

from appliance.errors import KitError, StickFailed
from appliance.records.files import lines

READABLE = frozenset({"vfat", "exfat", "ntfs3"})
"""Formats of sticks that phones and computers read, as Linux calls them."""
_MOUNTED_AS = {"vfat": "vfat", "exfat": "exfat", "ntfs": "ntfs3"}
"""The only formats that are mounted, as udisks2 and as Linux call them. The kernel's other file
systems were not written for what strangers bring."""
SAME_TIME = 946_728_000
"""Noon of 1 January 2000: every file shows this time, so that it says nothing."""
FOLDER = "copies"

_FOR_STICKS = ("/media/", "/run/media/")
"""Where sticks are mounted. A disk that is mounted anywhere else is part of the kit."""
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_SECTOR = 512
_AT_ONCE = 1 << 20
_CLUSTER = 64 << 10
"""The space that a file may take beyond its length."""
_MOST_FOLDERS = 1000
_SLOW_SECONDS = 60
_PLAIN_NAME = re.compile(r"[a-z0-9-]+(?:\.[a-z0-9]+)+")


@dataclass(frozen=True)
class Stick:
    """A file system on a stick that is plugged in."""

    device: str
    """As the kernel calls it, such as `sda1`."""
    number: int
    """The device's number (st_dev): what lies on this stick has it, and nothing else."""
    size: int
    """Bytes."""
    maker: str
    mounted: Path | None
    format: str
    """As Linux calls it; '' while it is not mounted."""
    locked: bool = False
    """The stick itself takes no writes: it has a switch, and that is set."""


class Mounter(Protocol):
    """Who may mount and eject: the system, asked by the page."""

    def holds(self, device: str, /) -> str:
        """What lies on `device` as udisks2 found it, such as `vfat`; '' for nothing that it knows.
        Raises StickFailed."""

    def mount(self, device: str, format: str, /) -> None:
        """Mount `device` as this format, and as no other. Raises StickFailed."""

    def eject(self, device: str, /) -> None:
        """Write out what is owed, unmount and switch off. Raises StickFailed."""


class Sticks:
    """The sticks that are plugged in now. Any thread."""

    def __init__(
        self,
        mounter: Mounter,
        *,
        disks: Path = Path("/sys/block"),
        mounts: Path = Path("/proc/self/mountinfo"),
        places: Sequence[str] = _FOR_STICKS,
    ) -> None:
        """`disks` and `mounts` are the kernel's words; `places` where a stick may be mounted."""
        self._mounter = mounter
        self._disks = disks
        self._mounts = mounts
        self._places = tuple(places)

    def plugged_in(self) -> list[Stick]:
        """Every file system on a removable disk that holds nothing of the kit."""
        mounted = self._mounted()
        found: list[Stick] = []
        for disk in sorted(self._disks.iterdir()):
            with contextlib.suppress(OSError, ValueError):  # Pulled while it was looked at.
                found += self._on(disk, mounted)
        return found

    def ready(self, device: str) -> Stick:
        """A stick, mounted. Raises StickFailed if it is not there, is of a format that is not
        mounted, or cannot be mounted."""
        stick = self._found(device)
        if stick.mounted is None:
            format = _MOUNTED_AS.get(self._mounter.holds(device))
            if format is None:
                raise StickFailed(*_OTHER_FORMAT)
            # By its name: were another stick there by now, it would not be mounted.
            self._mounter.mount(device, format)
            stick = self._found(device)
        if stick.mounted is None:
            raise StickFailed(
                "The stick could not be opened.", "Pull it out, plug it in again, or use another."
            )
        return stick

    def eject(self, device: str) -> None:
        """Make a stick safe to pull out. Raises StickFailed, and then it is not."""
        if self._found(device).mounted is not None:
            self._mounter.eject(device)

    def _found(self, device: str) -> Stick:
        for stick in self.plugged_in():
            if stick.device == device:
                return stick
        raise StickFailed("That stick is not plugged in.", "Plug it in, then check again.")

    def _on(self, disk: Path, mounted: dict[int, list[tuple[str, str]]]) -> list[Stick]:
        if _said(disk / "removable") != "1" or not int(_said(disk / "size")):
            return []
        parts = sorted(part.parent for part in disk.glob("*/partition")) or [disk]
        numbers = [_number(part) for part in (disk, *parts)]
        places = [place for number in numbers for place, _format in mounted.get(number, [])]
        if not all(place.startswith(self._places) for place in places):
            return []
        maker = " ".join(
            _said(disk / "device" / name)
            for name in ("vendor", "model")
            if (disk / "device").is_dir()
        )
        locked = _is_set(disk / "ro")
        return [
            Stick(
                device=part.name,
                number=_number(part),
                size=int(_said(part / "size")) * _SECTOR,
                maker=maker.strip(),
                mounted=Path(where[0][0]) if where else None,
                format=where[0][1] if where else "",
                locked=locked or _is_set(part / "ro"),
            )
            for part in parts
            for where in [mounted.get(_number(part), [])]
        ]

    def _mounted(self) -> dict[int, list[tuple[str, str]]]:
        """Where each device is mounted, and in which format (proc(5), mountinfo)."""
        found: dict[int, list[tuple[str, str]]] = {}
        for line in lines(self._mounts.read_text(errors="surrogateescape")):
            before, _, after = line.partition(" - ")
            fields = before.split(" ")
            major, _, minor = fields[2].partition(":")
            place = re.sub(r"\\([0-7]{3})", lambda code: chr(int(code[1], 8)), fields[4])
            number = os.makedev(int(major), int(minor))
            found.setdefault(number, []).append((place, after.split(" ")[0]))
        return found


class Udisks:
    """udisks2 over the system bus. Which devices it may touch for the page, its own rules say."""

    def __init__(self, busctl: str = "busctl") -> None:
        self._busctl = busctl

    def holds(self, device: str) -> str:
        said = self._call("get-property", _block(device), "Block", "IdType")
        try:
            found = json.loads(said)["data"]
        except (ValueError, LookupError, TypeError):
            return ""
        return found if isinstance(found, str) else ""

    def mount(self, device: str, format: str) -> None:
        # What is on a stick is never run, and is nobody's device.
        safe = ("options", "s", "nosuid,nodev,noexec")
        options = ("a{sv}", "2", "fstype", "s", format, *safe)
        self._call("call", _block(device), "Filesystem", "Mount", *options)

    def eject(self, device: str) -> None:
        self._call("call", _block(device), "Filesystem", "Unmount", "a{sv}", "0")
        drive = json.loads(self._call("get-property", _block(device), "Block", "Drive"))["data"]
        # Not every reader can be switched off; what was owed is on the stick once it is unmounted.
        with contextlib.suppress(StickFailed):
            self._call("call", drive, "Drive", "PowerOff", "a{sv}", "0")

    def _call(self, how: str, thing: str, interface: str, *words: str) -> str:
        name = "org.freedesktop.UDisks2"
        command = [self._busctl, "--system", "--json=short", how, name, thing]
        try:
            done = subprocess.run(
                [*command, f"{name}.{interface}", *words],
                capture_output=True,
                text=True,
                timeout=_SLOW_SECONDS,
            )
        except FileNotFoundError as error:
            raise StickFailed(*_NO_UDISKS) from error
        except subprocess.TimeoutExpired as error:
            raise StickFailed(
                "The stick did not answer in time.", "Leave it in for a minute, then try again."
            ) from error
        if done.returncode:
            said = done.stderr.lower()
            fitting = (words for mark, words in _REFUSALS.items() if mark in said)
            raise StickFailed(*next(fitting, _REFUSED))
        return done.stdout


class Folder:
    """A new folder on a stick. Files are put into it one by one; leaving makes it durable.

    Every failure is a StickFailed in words: a full stick, one that may not be written to, one that
    was pulled out. A file whose writing failed does not keep its name.
    """

    def __init__(self, stick: Stick, formats: frozenset[str] = READABLE) -> None:
        """Make the folder. Raises StickFailed, also for a format that no phone reads."""
        if stick.mounted is None or stick.format not in formats:
            raise StickFailed(*_OTHER_FORMAT)
        self._names: list[str] = []
        self._locked = stick.locked
        with self._in_words():
            self._root = os.open(stick.mounted, _DIRECTORY)
        try:
            # Pulled since it was found, its place would be an empty folder on the kit's own card.
            if os.fstat(self._root).st_dev != stick.number:
                raise StickFailed(*_PULLED)
            with self._in_words():
                self.name = self._made()
                self._folder = os.open(self.name, _DIRECTORY, dir_fd=self._root)
        except BaseException:
            os.close(self._root)
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_error: object) -> None:
        try:
            if kind is None:
                with self._in_words():
                    os.utime(self._folder, (SAME_TIME, SAME_TIME))
                    os.fsync(self._folder)
                    os.fsync(self._root)
        finally:
            os.close(self._folder)
            os.close(self._root)

    def check_free_space(self, sizes: Iterable[int]) -> None:
        """Raise StickFailed unless files of these sizes will fit."""
        needed = sum(size + _CLUSTER for size in sizes)
        with self._in_words():
            there = os.fstatvfs(self._folder)
        free = there.f_bavail * there.f_frsize
        if needed > free:
            raise StickFailed(
                "There is not enough room on it: %(needed)s are needed and %(free)s are free.",
                "Use another stick, or choose less.",
                needed=_megabytes(needed),
                free=_megabytes(free),
            )

    def put(self, name: str, pieces: Iterable[bytes]) -> None:
        """Write a file; when this returns it is on the stick, and was read back from it.

        Raises StickFailed; what `pieces` raises passes through. Either way nothing is left of it.
        """
        if not _PLAIN_NAME.fullmatch(name):
            raise ValueError(name)
        unfinished = f"{name}.part"
        try:
            with self._in_words(), self._new_file(unfinished) as file:
                _write(file, pieces)
                os.rename(unfinished, name, src_dir_fd=self._folder, dst_dir_fd=self._folder)
                self._names.append(name)
                os.fsync(self._folder)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(unfinished, dir_fd=self._folder)
            raise

    def take_back(self) -> bool:
        """Remove what was written, and the folder. True if nothing of it is left."""
        try:
            for name in self._names:
                os.unlink(name, dir_fd=self._folder)
            os.rmdir(self.name, dir_fd=self._root)
            os.fsync(self._root)
        except OSError:
            return False
        return True

    def _new_file(self, name: str) -> IO[bytes]:
        flags = os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC
        return os.fdopen(os.open(name, flags, 0o644, dir_fd=self._folder), "r+b", buffering=0)

    def _made(self) -> str:
        for number in range(1, _MOST_FOLDERS):
            name = FOLDER if number == 1 else f"{FOLDER}-{number}"
            with contextlib.suppress(FileExistsError):
                os.mkdir(name, 0o755, dir_fd=self._root)
                return name
        raise StickFailed("There are too many copies on this stick.", "Use another stick.")

    @contextlib.contextmanager
    def _in_words(self) -> Iterator[None]:
        """Put the system's errors into words."""
        try:
            yield
        except KitError:
            raise  # Some of them are OSErrors too.
        except OSError as error:
            if error.errno == errno.EROFS and self._locked:
                raise StickFailed(*_LOCKED) from error
            raise StickFailed(*_FAILURES.get(error.errno, _PULLED)) from error


def _write(file: IO[bytes], pieces: Iterable[bytes]) -> None:
    written, size = hashlib.sha256(), 0
    for piece in pieces:
        written.update(piece)
        size += len(piece)
        rest = memoryview(piece)
        while rest:
            rest = rest[file.write(rest) :]
    os.fsync(file.fileno())
    # Read from the stick, not from the cache.
    os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    file.seek(0)
    found = hashlib.sha256()
    while piece := file.read(_AT_ONCE):
        found.update(piece)
        size -= len(piece)
    if size or found.digest() != written.digest():
        raise StickFailed(
            "The kit checked the stick, and the copies on it are not right.",
            "The stick is worn out, or smaller than it says. Use another.",
        )
    os.utime(file.fileno(), (SAME_TIME, SAME_TIME))
    os.fsync(file.fileno())


_OTHER_FORMAT = (
    "Not every phone and computer can read the format of this stick.",
    "Use a stick as it was sold: formatted as FAT or exFAT.",
)
_PULLED = (
    "The stick does not answer: it was pulled out, or it is broken.",
    "Plug it in again and make the copies again. The files on it now may not be whole.",
)
_FULL = "The stick is full.", "Use another stick, or choose less."
_LOCKED = (
    "The stick is locked, so nothing can be saved on it.",
    "Move its small switch, if it has one, or use another.",
)
_CHECK_IT = (
    "Plug it into a computer and have it checked. Windows offers this by itself. On a "
    "Mac use First Aid in Disk Utility. Eject it there before you pull it out. Or use "
    "another stick."
)
_TO_BE_CHECKED = (
    "Nothing can be saved on the stick: it was pulled out of a computer too early, or is worn out.",
    _CHECK_IT,
)
_DAMAGED = (
    "The stick cannot be opened: it was pulled out of a computer too early, or the files "
    "on it are damaged.",
    _CHECK_IT,
)
_NOT_MOUNTED_HERE = (
    "This kit cannot open sticks of this format.",
    "Use another stick, formatted as FAT. Formatting a stick deletes everything on it.",
)
_NOT_ALLOWED_THERE = (
    "Nothing can be saved on the stick: this kit is not allowed to.",
    "Use another stick, or give the copies as a download.",
)
_FAILURES: Mapping[int | None, tuple[str, str]] = {
    errno.ENOSPC: _FULL,
    errno.EDQUOT: _FULL,
    errno.EFBIG: _FULL,
    # The kernel writes no more once it finds what it cannot follow.
    errno.EROFS: _TO_BE_CHECKED,
    errno.EUCLEAN: _TO_BE_CHECKED,
    errno.EACCES: _NOT_ALLOWED_THERE,
    errno.EPERM: _NOT_ALLOWED_THERE,
}
_NO_UDISKS = (
    "This kit cannot open sticks.",
    "Install the package udisks2, or give the copies as a download.",
)
_BUSY = "The stick is still in use.", "Wait a few seconds, then try again before you pull it."
_NOT_ALLOWED = (
    "The page is not allowed to use sticks on this kit.",
    "Its rule for udisks2 is missing: install the kit again. You can still use a download.",
)
_NOT_KNOWN_YET = "The kit is still checking that stick.", "Wait a few seconds, then try again."
_REFUSED = (
    "The stick could not be opened or closed.",
    "Do not pull it out while it flashes. Try again, or use another stick.",
)
_REFUSALS: Mapping[str, tuple[str, str]] = {
    "serviceunknown": _NO_UDISKS,
    "not provided": _NO_UDISKS,
    "connect to bus": _NO_UDISKS,
    # The kernel has found it, and udisks2 has not looked at it yet.
    "object does not exist": _NOT_KNOWN_YET,
    "busy": _BUSY,
    "not authorized": _NOT_ALLOWED,
    # What mount(8) says, in this order: the kernel's own word first, if it is passed on.
    "unknown filesystem type": _NOT_MOUNTED_HERE,
    "not configured in kernel": _NOT_MOUNTED_HERE,
    "write-protected": _LOCKED,
    "is dirty": _DAMAGED,
    "wrong fs type": _DAMAGED,
    "bad superblock": _DAMAGED,
    "can't read superblock": _DAMAGED,
    "structure needs cleaning": _DAMAGED,
    "hibernated": _DAMAGED,
    "unclean": _DAMAGED,
}
"""What udisks2 or the bus answers has one of these in it."""


def _block(device: str) -> str:
    return f"/org/freedesktop/UDisks2/block_devices/{device}"


def _said(path: Path) -> str:
    return path.read_text(errors="replace").strip()


def _is_set(flag: Path) -> bool:
    """Whether the kernel says yes; a kernel that says nothing says no."""
    return flag.exists() and _said(flag) == "1"


def _number(device: Path) -> int:
    major, _, minor = _said(device / "dev").partition(":")
    return os.makedev(int(major), int(minor))


def _megabytes(size: int) -> str:
    return f"{-(-size // 1_000_000)} MB"
