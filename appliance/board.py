"""What a Raspberry Pi says of itself: its heat, and what its firmware holds back.

It is read from the kernel's own files. Where there are none, as on other computers, the answer is
None: nobody knows, which is not the same as good.
"""

import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from enum import IntFlag
from pathlib import Path

ROOT = Path("/")
HOTTEST = 80.0
"""Degrees Celsius. From here on a Pi slows down by itself, and a film would miss pictures."""
_THROTTLED = "sys/devices/platform/soc/soc:firmware/get_throttled"
_LATELY = 16
"""How many bits higher the firmware says the same of the time since it was last asked."""


class Throttle(IntFlag):
    """Why a Pi is slower than it could be, as the bits of `vcgencmd get_throttled`
    (Raspberry Pi documentation, "vcgencmd")."""

    UNDER_VOLTAGE = 1
    """The supply is below 4.63 V."""
    CAPPED = 2
    """The processor's clock is held below its highest."""
    SLOWED = 4
    """It is slowed down, for it is too hot or lacks power."""
    SOFT_LIMIT = 8
    """It is above the lower of two limits of temperature, which some models have."""

    def __str__(self) -> str:
        return ", ".join(one.name.lower().replace("_", " ") for one in self if one.name) or "none"


@dataclass(frozen=True)
class Throttled:
    """What is held back now, and what was at some time since the firmware last forgot.

    Raspberry Pi's kernel asks every 2 s and has it forget; one that does not ask so keeps what
    there ever was since the start.
    """

    now: Throttle
    lately: Throttle


def throttled(root: Path = ROOT) -> Throttled | None:
    """What the firmware holds back; None where the machine does not say."""
    try:
        with open(root / _THROTTLED, "rb") as file:
            said = file.read(64).strip()
    except OSError:
        return None
    if not re.fullmatch(b"(0x)?[0-9a-fA-F]{1,8}", said):
        return None
    bits = int(said, 16)
    every = sum(Throttle)
    return Throttled(Throttle(bits & every), Throttle(bits >> _LATELY & every))


def heat(root: Path = ROOT) -> float | None:
    """The processor's temperature in degrees Celsius; None where the machine does not say."""
    return max((said / 1000 for said in sensed("cpu_thermal", "temp1_input", root)), default=None)


def sensed(sensor: str, value: str, root: Path = ROOT) -> Iterator[int]:
    """One value of every sensor of that name that says it."""
    for directory in (root / "sys/class/hwmon").glob("hwmon*"):
        # It may be gone again, or not hold a number.
        with suppress(OSError, ValueError):
            if (directory / "name").read_text().strip() == sensor:
                yield int((directory / value).read_text())
