"""USB sticks for tests: a folder, and the kernel's files that say it is a stick."""

import os
import shutil
from dataclasses import dataclass, field
from pathlib import Path

from appliance.errors import StickFailed
from web_ui.system.usb_sticks import Sticks


@dataclass
class Socket:
    """A USB socket with a stick in it, and the system's mounter. What is mounted is a folder."""

    root: Path
    device: str = "sda1"
    removable: bool = True
    format: str = "vfat"
    """As Linux calls what lies on it: nothing mounts it as anything else."""
    said: str | None = None
    """What udisks2 says of it, if that is not what lies on it."""
    locked: bool = False
    """Its switch is set."""
    size: int = 62_500_000
    """Sectors of 512 bytes."""
    refuses_to_mount: bool = False
    refuses_to_eject: bool = False
    done: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.disk = self.root / "sys" / self.device.rstrip("0123456789")
        self.place = self.root / "media" / "kit" / "STICK"
        self.mounts = self.root / "mountinfo"
        for directory in (self.disk / "device", self.disk / self.device, self.place):
            directory.mkdir(parents=True)
        (self.disk / "removable").write_text(f"{self.removable:d}\n")
        (self.disk / "size").write_text(f"{self.size}\n")
        (self.disk / "dev").write_text("8:0\n")
        (self.disk / "ro").write_text(f"{self.locked:d}\n")
        (self.disk / "device" / "vendor").write_text("Good    \n")
        (self.disk / "device" / "model").write_text("Flash Drive     \n")
        number = os.stat(self.place).st_dev
        self.number = f"{os.major(number)}:{os.minor(number)}"
        (self.disk / self.device / "partition").write_text("1\n")
        (self.disk / self.device / "size").write_text(f"{self.size}\n")
        (self.disk / self.device / "dev").write_text(f"{self.number}\n")
        self.mounts.write_text("")
        self.sticks = Sticks(
            self,
            disks=self.root / "sys",
            mounts=self.mounts,
            places=(f"{self.root / 'media'}/",),
        )

    def mounted_at(self, place: Path) -> None:
        """Have the kernel say that it is mounted there."""
        written = str(place).replace(" ", "\\040")
        self.mounts.write_text(
            f"36 35 {self.number} / {written} rw,relatime - {self.format} /dev/{self.device} rw\n"
        )

    def holds(self, device: str) -> str:
        known = {"ntfs3": "ntfs"}.get(self.format, self.format)
        return known if self.said is None else self.said

    def mount(self, device: str, format: str) -> None:
        self.done.append(f"mount {device}")
        if self.refuses_to_mount or format != self.format:
            raise StickFailed("The stick could not be opened or closed.")
        self.mounted_at(self.place)

    def eject(self, device: str) -> None:
        self.done.append(f"eject {device}")
        if self.refuses_to_eject:
            raise StickFailed("The stick is still in use.", "Wait a few seconds, then try again.")
        self.mounts.write_text("")

    def pull_out(self) -> None:
        """The stick is gone; where it was mounted is an empty folder on the card."""
        shutil.rmtree(self.disk)
        self.mounts.write_text("")

    def files(self) -> dict[str, bytes]:
        """What lies on the stick."""
        return {
            str(path.relative_to(self.place)): path.read_bytes()
            for path in sorted(self.place.rglob("*"))
            if path.is_file()
        }
