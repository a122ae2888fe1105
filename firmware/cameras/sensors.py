"""Which part of its sensor a camera films with: all that the lens sees.

A sensor is read in one of a few modes. Left alone picamera2 takes the one that is nearest to the
film's size, which is mostly cut out of the middle: of a Camera Module 3, two thirds of its width.
The modes are those of Raspberry Pi's kernel drivers, as `rpicam-hello --list-cameras` prints them.
To ask picamera2 for them would set the camera up in each, and a Zero 2 W has not the memory.
"""

from collections.abc import Mapping
from dataclasses import dataclass

_AS_WIDE = 0.99
"""Of the widest picture that a sensor gives: from here on a mode counts as showing all of it."""


@dataclass(frozen=True)
class Mode:
    """One way to read a sensor."""

    size: tuple[int, int]
    """Points that are read."""
    crop: tuple[int, int]
    """Points of the sensor that they are made of."""
    rate: float
    """Pictures a second, at most."""
    bits: int = 10
    """Of each point."""


@dataclass(frozen=True)
class Sensor:
    """What a camera sees with."""

    name: str
    """What it is sold as."""
    size: tuple[int, int]
    """Its points."""
    modes: tuple[Mode, ...]

    def seen(self, mode: Mode, size: tuple[int, int]) -> float:
        """The share of the sensor's width that is in a film of this size."""
        return min(mode.crop[0], mode.crop[1] * size[0] / size[1]) / self.size[0]

    def mode_for(self, size: tuple[int, int], rate: float) -> Mode:
        """The smallest mode that shows all the width there is, at this rate, and has as many points
        as the film; if all have fewer, the largest. What is slower than `rate` is taken only where
        nothing is as fast."""
        fast = [mode for mode in self.modes if mode.rate >= rate]
        among = fast or [max(self.modes, key=lambda mode: mode.rate)]
        widest = max(self.seen(mode, size) for mode in among)
        whole = [mode for mode in among if self.seen(mode, size) >= _AS_WIDE * widest]
        whole.sort(key=lambda mode: mode.size)
        return next((mode for mode in whole if self._points(mode, size) >= size[0]), whole[-1])

    def _points(self, mode: Mode, size: tuple[int, int]) -> float:
        """How many points across a film of this size is made of."""
        return self.seen(mode, size) * self.size[0] * mode.size[0] / mode.crop[0]


SENSORS: Mapping[str, Sensor] = {
    "ov5647": Sensor(
        "Camera Module 1",
        (2592, 1944),
        (
            Mode((640, 480), (2560, 1920), 58.92),
            Mode((1296, 972), (2592, 1944), 43.25),
            Mode((1920, 1080), (1928, 1080), 30.62),
            Mode((2592, 1944), (2592, 1944), 15.63),
        ),
    ),
    "imx219": Sensor(
        "Camera Module 2",
        (3280, 2464),
        (
            Mode((640, 480), (1280, 960), 206.65),
            Mode((1640, 1232), (3280, 2464), 41.85),
            Mode((1920, 1080), (1920, 1080), 47.57),
            Mode((3280, 2464), (3280, 2464), 21.19),
        ),
    ),
    "imx708": Sensor(
        "Camera Module 3",
        (4608, 2592),
        (
            Mode((1536, 864), (3072, 1728), 120.13),
            Mode((2304, 1296), (4608, 2592), 56.03),
            Mode((4608, 2592), (4608, 2592), 14.35),
        ),
    ),
    "imx477": Sensor(
        "High Quality Camera",
        (4056, 3040),
        (
            Mode((1332, 990), (2664, 1980), 120.05),
            Mode((2028, 1080), (4056, 2160), 50.03, bits=12),
            Mode((2028, 1520), (4056, 3040), 40.01, bits=12),
            Mode((4056, 3040), (4056, 3040), 10.0, bits=12),
        ),
    ),
    "imx296": Sensor(
        "Global Shutter Camera", (1456, 1088), (Mode((1456, 1088), (1456, 1088), 60.38),)
    ),
}
"""By what libcamera calls them."""


def focus_of(model: str) -> float | None:
    """Metres at which a lens that can be moved is set for a room; None for others.

    A Module 3 is so kept sharp from 1 m to the wall behind, its wide one from half a metre on.
    """
    if sensor_of(model) is not SENSORS["imx708"]:
        return None
    return 1.0 if "wide" in model.split("_") else 2.0


def sensor_of(model: str) -> Sensor | None:
    """Of a camera that libcamera calls so, with any lens (`imx708_wide`, `imx708_noir`); None of
    one that is not known."""
    return SENSORS.get(model.partition("_")[0])
