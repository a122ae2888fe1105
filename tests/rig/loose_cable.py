"""The recorder of this folder with a camera whose cable a test may pull.

What is in the file `cable` beside the recorder's status says how it is: `silent`, no picture comes
any more; `loose`, nothing that is asked of the camera is answered either.
"""

import sys
from functools import partial
from pathlib import Path
from typing import Any

from gpiozero.pins import Factory
from gpiozero.pins.mock import MockFactory
from picamera2 import Picamera2

from appliance.config import Config
from appliance.records.clock import Clock
from firmware.__main__ import main
from firmware.camera import Camera
from firmware.cameras.picamera import PiCamera


class OnCable(Picamera2):  # type: ignore[misc]
    """Like a sensor at the end of a cable."""

    def __init__(self, cable: Path) -> None:
        self._cable = cable
        super().__init__()

    def process_requests(self, display: Any) -> None:
        cable = self._cable.read_text() if self._cable.exists() else ""
        if cable == "silent":
            with self._requestslock:
                arrived, self._requests = self._requests, []
            for picture in arrived:
                picture.release()
        if cable != "loose":
            super().process_requests(display)


def hardware(config: Config, clock: Clock) -> tuple[Camera, Factory]:
    cable = config.places.status("recorder").with_name("cable")
    camera = PiCamera(
        config.width,
        config.height,
        config.pictures_a_second,
        config.bits_a_second,
        clock,
        None,
        partial(OnCable, cable),
    )
    return camera, MockFactory()


if __name__ == "__main__":
    sys.exit(main(hardware))
