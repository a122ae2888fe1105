"""Whether the Pi, the light, the camera and the microphone would let a film begin.

What a Pi says of itself, its power and its heat, is read from the kernel's own files. Where there
are none, as on other computers, nothing is known and nothing is refused.
"""

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from appliance.protocol.permits import PressRefusal
from firmware.camera import Camera
from firmware.light import Light

HOTTEST = 80.0
"""Degrees Celsius. From here on a Pi slows down by itself, and a film would miss pictures."""


class Board(Protocol):
    def trouble(self) -> PressRefusal | None:
        """Why no film should begin now: UNDER_VOLTAGE, TOO_HOT; None for no reason known."""


class PiBoard:
    """A Raspberry Pi under Linux.

    `raspberrypi-hwmon` (`rpi_volt`) raises `in0_lcrit_alarm` while the supply is below 4.63 V, and
    `cpu_thermal` tells the processor's temperature in thousandths of a degree.
    """

    def __init__(self, sensors: Path = Path("/sys/class/hwmon")) -> None:
        self._sensors = sensors

    def trouble(self) -> PressRefusal | None:
        if any(alarm for alarm in self._read("rpi_volt", "in0_lcrit_alarm")):
            return PressRefusal.UNDER_VOLTAGE
        if any(heat / 1000 >= HOTTEST for heat in self._read("cpu_thermal", "temp1_input")):
            return PressRefusal.TOO_HOT
        return None

    def _read(self, sensor: str, value: str) -> Iterator[int]:
        for directory in self._sensors.glob("hwmon*"):
            # It may be gone again, or not hold a number.
            with suppress(OSError, ValueError):
                if (directory / "name").read_text().strip() == sensor:
                    yield int((directory / value).read_text())


@dataclass(frozen=True)
class Equipment:
    """What a film needs besides its permit. One thread only."""

    light: Light
    camera: Camera
    board: Board
    needs_microphone: bool
    """A scene may be silent; where there is a lens, silence means a missing microphone."""
    loading: Callable[[], bool] = lambda: False
    """Asked as soon as a permit is in force; while it is true, nothing is asked of the camera."""

    def trouble(self, sound: bool) -> PressRefusal | None:
        """Why no film, with `sound` or without, should begin now; None for no reason known."""
        if self.light.broken:
            return PressRefusal.LIGHT_BROKEN
        if self.loading():
            return PressRefusal.CAMERA_LOADING
        if not self.camera.present():
            return PressRefusal.CAMERA_MISSING
        if sound and self.needs_microphone and not self.camera.has_sound:
            return PressRefusal.NO_MICROPHONE
        return self.board.trouble()
