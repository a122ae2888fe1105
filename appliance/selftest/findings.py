"""What the doctor looks at, and what it says: a machine's files and commands, and findings."""

import ctypes
import fcntl
import shutil
import socket
import struct
import subprocess
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import msgspec

from appliance.config import Config
from appliance.errors import BadInput, NotReached
from appliance.protocol.cards import KitCard
from appliance.records.clock import Clock
from appliance.records.files import load_fact

Verdict = Literal["good", "look", "bad"]
"""`look`: it works, but a person should know; `bad`: the kit cannot keep one of its promises."""

_PATIENCE = 20.0
"""Seconds that the service's store may take to answer."""
_CREDENTIAL = Path("/etc/credstore/attune-store")
"""Where the package keeps the access file, for systemd to hand over."""
_LONGEST = 1 << 20
"""Bytes of a system file that are read."""


class Finding(msgspec.Struct, frozen=True):
    """One line: what was checked, the verdict, what was seen, what to do ('' if nothing)."""

    what: str
    verdict: Verdict
    saw: str
    do: str = ""


def good(what: str, saw: str) -> Finding:
    return Finding(what, "good", saw)


def look(what: str, saw: str, do: str = "") -> Finding:
    return Finding(what, "look", saw, do)


def bad(what: str, saw: str, do: str = "") -> Finding:
    return Finding(what, "bad", saw, do)


Ask = Callable[[Sequence[str]], str | None]
"""Runs a command and returns its output; None if it is missing or failed."""


def ask(command: Sequence[str]) -> str | None:
    """The output of a system command, within ten seconds."""
    if shutil.which(command[0]) is None:
        return None
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout


Try = Callable[[Config], bool]
"""Says whether the store refuses to let this kit delete. Raises KitError where it cannot tell."""


def refuses(config: Config) -> bool:
    """Try it on an object that is made for it, within `_PATIENCE`. Raises KitError."""
    answer: list[bool | Exception] = []

    def ask_store() -> None:
        try:
            answer.append(_refuses(config))
        except Exception as error:  # Raised again where it was asked.
            answer.append(error)

    asking = threading.Thread(target=ask_store, daemon=True)
    asking.start()
    asking.join(_PATIENCE)
    if not answer:
        raise NotReached("The service's store did not answer in time.")
    if isinstance(answer[0], Exception):
        raise answer[0]
    return answer[0]


def _refuses(config: Config) -> bool:
    # Only here: it takes memory and time, and most kits are looked over far from base.
    from appliance.stores import open_store
    from appliance.stores.access import load_access
    from appliance.stores.store import refuses_delete

    kit = load_fact(config.places.kit_card, KitCard)
    if kit is None:
        raise BadInput("This kit is not set up yet.")
    path = Path(config.store_access) if config.store_access else _CREDENTIAL
    store = open_store(config.store, load_access(path), _PATIENCE / 2)
    try:
        return refuses_delete(store, kit.id)
    finally:
        store.close()


Driver = Callable[[str], tuple[str, str]]
"""The driver of a network interface and the version of the radio's own program; '' for unknown."""
_SIOCETHTOOL, _GDRVINFO = 0x8946, 3
_DRVINFO = struct.Struct("=I32s32s32s32s32s12s5I")
"""struct ethtool_drvinfo (linux/ethtool.h): command, driver, version, firmware version, ..."""


def driver(interface: str) -> tuple[str, str]:
    """What `ethtool -i` says of an interface, asked of the kernel."""
    answer = bytearray(_DRVINFO.pack(_GDRVINFO, *[b""] * 6, *[0] * 5))
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
            _ioctl(asking.fileno(), interface, answer)
    except OSError:
        return "", ""
    _, name, _, firmware, *_ = _DRVINFO.unpack(answer)
    return _text(name), _text(firmware)


def _ioctl(descriptor: int, interface: str, answer: bytearray) -> None:
    where = ctypes.addressof(ctypes.c_char.from_buffer(answer))
    fcntl.ioctl(descriptor, _SIOCETHTOOL, struct.pack("16sP", interface.encode(), where))


def _text(field: bytes) -> str:
    return field.partition(b"\0")[0].decode(errors="replace")


@dataclass(frozen=True)
class Machine:
    """The computer to check: its files below `root`, its clocks, its commands, and its store."""

    root: Path
    clock: Clock
    ask: Ask
    refuses: Try = refuses
    driver: Driver = driver

    def read(self, path: str) -> str:
        """The text of a system file, at most a megabyte of it; '' where there is none."""
        try:
            with open(self.root / path.lstrip("/"), "rb") as file:
                return file.read(_LONGEST).decode().strip("\0\n ")
        except (OSError, UnicodeDecodeError):
            return ""

    def is_there(self, path: str) -> bool:
        return (self.root / path.lstrip("/")).exists()

    def all(self, pattern: str) -> list[str]:
        """The text of every system file that matches the pattern, except empty ones."""
        found = (self.read(str(path)) for path in self.paths(pattern))
        return [text for text in found if text]

    def paths(self, pattern: str) -> Iterator[Path]:
        for path in sorted(self.root.glob(pattern.lstrip("/"))):
            yield Path("/") / path.relative_to(self.root)
