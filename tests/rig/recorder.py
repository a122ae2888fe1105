"""The recorder with the Pi's camera, and with pins that a test moves, for the rig has none.

Takes what `python -m firmware` takes. No kit has such a program: there a lens comes with real pins.
"""

import sys
from functools import partial

from gpiozero.pins import Factory
from gpiozero.pins.mock import MockFactory

from appliance.config import Config
from appliance.records.clock import Clock
from firmware.__main__ import main, pi_camera
from firmware.camera import Camera
from firmware.cameras.late import LateCamera


def hardware(config: Config, clock: Clock) -> tuple[Camera, Factory]:
    """The camera as a kit has it: loaded when there is a use for it."""
    return LateCamera("Raspberry Pi camera", partial(pi_camera, config, clock)), MockFactory()


if __name__ == "__main__":
    sys.exit(main(hardware))
