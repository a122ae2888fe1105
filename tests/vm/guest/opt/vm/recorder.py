"""The kit's recorder with a scene before it and a kernel's own pins: gpiozero and lgpio move them.

It tells each picture's number when the camera has it, on its standard output, which is a serial
line: what was told is out of the machine before anything can be pulled. The lamp's wire back is
here, too, because nothing outside is fast enough: the level that the kernel has at the lamp's line
is put on the line that reads it back, unless /run/vm/wire-cut says that the wire is cut.
"""

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from gpiozero.pins.lgpio import LGPIOFactory, LGPIOPin

from appliance.config import Config
from appliance.records.clock import Clock
from firmware.__main__ import main
from firmware.cameras.scene import SceneCamera, Take
from firmware.cameras.testcard import TestCard

VM = Path("/run/vm")
LAMP, WIRE = (VM / "pins" / f"sim_gpio{line}" for line in (27, 22))
ZERO_2_W = 0x902120
"""How a Raspberry Pi names itself."""


class Pin(LGPIOPin):  # type: ignore[misc]
    def _set_state(self, value: Any) -> None:
        super()._set_state(value)
        if not (VM / "wire-cut").exists():
            lit = (LAMP / "value").read_text().strip() == "1"
            (WIRE / "pull").write_text("pull-up" if lit else "pull-down")


class Pins(LGPIOFactory):  # type: ignore[misc]
    def __init__(self) -> None:
        super().__init__()
        self.pin_class = Pin

    def _get_revision(self) -> int:
        return ZERO_2_W


class Telling(SceneCamera):
    def _in_time(self, takes: Iterator[Take], busy: Callable[[], bool]) -> Iterator[Take]:
        for number, take in enumerate(super()._in_time(takes, busy)):
            os.write(1, b"%d\n" % number)
            yield take


def hardware(config: Config, clock: Clock) -> tuple[Telling, Pins]:
    card = TestCard(config.width, config.height, config.pictures_a_second)
    return Telling(card, config.bits_a_second, clock), Pins()


if __name__ == "__main__":
    sys.exit(main(hardware))
