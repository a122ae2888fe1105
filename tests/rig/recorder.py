"""The recorder with the Pi's camera, and with pins that a test moves, for the rig has none.

Takes what `python -m firmware` takes. No kit has such a program: there a lens comes with real pins.
"""

import sys

from gpiozero.pins.mock import MockFactory

from firmware.__main__ import main, pi_camera

if __name__ == "__main__":
    sys.exit(main(lambda config, clock: (pi_camera(config, clock), MockFactory())))
