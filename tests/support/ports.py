"""USB as the kernel shows it, in a folder: what is plugged in, what it says it is, what came in."""

import os
import subprocess
import sys
import time
from pathlib import Path

from tests.support.places import SYSTEMD

STORAGE, HUB, SOUND, KEYBOARD, NETWORK = 8, 9, 1, 3, 2


def said(*interfaces: int, device: int = 0, product: int = 1) -> bytes:
    """The descriptors of a device whose interfaces are of these classes, as the kernel has them."""
    first = bytes([18, 1, 0, 2, device, 0, 0, 64, 0x81, 0x07, product, 0, 0, 1, 1, 2, 3, 1])
    parts = b"".join(bytes([9, 4, n, 0, 2, kind, 6, 80, 0]) for n, kind in enumerate(interfaces))
    parts += bytes([7, 5, 0x81, 2, 0, 2, 0])
    head = bytes([9, 2, (9 + len(parts)) & 255, 0, len(interfaces), 1, 0, 0x80, 50])
    return first + head + parts


class Ports:
    """A kit with two buses, a hub and a microphone behind it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.sys, self.asked, self.known = root / "sys", root / "stick-asked", root / "known"
        self.devices = self.sys / "bus/usb/devices"
        for bus in ("usb1", "usb2"):
            (self.devices / bus).mkdir(parents=True)
            (self.devices / bus / "authorized_default").write_text("1\n")
            (self.devices / bus / "authorized").write_text("1\n")
        (self.sys / "module/usbcore/parameters").mkdir(parents=True)
        self.later = self.sys / "module/usbcore/parameters/authorized_default"
        self.later.write_text("-1\n")
        self.plug("1-1", said(HUB, device=HUB))
        self.plug("1-1.2", said(SOUND, SOUND))
        interface = self.devices / "1-1.2:1.0"
        interface.mkdir()
        (interface / "authorized").write_text("1\n")
        # Done before: systemd itself is asked in tests/boot.
        masked = root / "run/systemd/system/ctrl-alt-del.target"
        masked.parent.mkdir(parents=True)
        masked.symlink_to("/dev/null")

    def plug(self, name: str, descriptors: bytes) -> None:
        """As the kernel does: what is let in at once, the bus says."""
        device = self.devices / name
        device.mkdir(exist_ok=True)
        (device / "descriptors").write_bytes(descriptors)
        default = (self.devices / f"usb{name[0]}" / "authorized_default").read_text().strip()
        (device / "authorized").write_text(f"{default}\n")

    def pull(self, name: str) -> None:
        for file in (self.devices / name).iterdir():
            file.unlink()
        (self.devices / name).rmdir()

    def look(self) -> str:
        where = ("--sys", self.sys, "--asked", self.asked, "--known", self.known)
        return subprocess.run(
            [sys.executable, "-P", SYSTEMD / "quiet", *where, "--run", self.root / "run"],
            check=True,
            stdout=subprocess.PIPE,
            text=True,
        ).stdout

    def ask(self, ago: float = 0) -> None:
        self.asked.touch()
        then = time.time() - ago
        os.utime(self.asked, (then, then))

    def is_inside(self, name: str) -> bool:
        return (self.devices / name / "authorized").read_text().strip() == "1"
