"""Whether the Pi, the light, the camera and the microphone would let a film begin.

What a Pi says of itself, its power and its heat, is read from the kernel's own files. Where there
are none, as on other computers, nothing is known and nothing is refused.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from appliance.board import HOTTEST, ROOT, heat, sensed
from appliance.protocol.permits import PressRefusal
from firmware.camera import Camera
from firmware.light import Light


class Board(Protocol):
    def trouble(self) -> PressRefusal | None:
        """Why no film should begin now: UNDER_VOLTAGE, TOO_HOT; None for no reason known."""


class PiBoard:
    """A Raspberry Pi under Linux.

    `raspberrypi-hwmon` (`rpi_volt`) raises `in0_lcrit_alarm` while the supply is below 4.63 V, and
    `cpu_thermal` tells the processor's temperature in thousandths of a degree.
    """

    def __init__(self, root: Path = ROOT) -> None:
        self._root = root

    def trouble(self) -> PressRefusal | None:
        if any(sensed("rpi_volt", "in0_lcrit_alarm", self._root)):
            return PressRefusal.UNDER_VOLTAGE
        degrees = heat(self._root)
        if degrees is not None and degrees >= HOTTEST:
            return PressRefusal.TOO_HOT
        return None


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
