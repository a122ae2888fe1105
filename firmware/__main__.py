"""`python -m firmware --config FILE`: button and light first, then all that films with them.

READY says that the settings are right, that the home is this recorder's alone, and that button and
light answer. What films, judges and signs is most of what a recorder loads, and is loaded next, in
`firmware.joined`: this module and those that it imports load nothing of it. Until it is there the
light stays dark, no status says that the kit is ready, and a press waits; what it refuses ends the
process in words, and systemd starts it again.
"""

# Nothing is loaded just for its type.
from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from queue import SimpleQueue
from typing import TYPE_CHECKING

from gpiozero.pins import Factory

from appliance import program
from appliance.config import FAMILY, Config
from appliance.errors import NotPossible
from appliance.notify import notify
from appliance.program import end_with_the_thread
from appliance.records.clock import Clock, SystemClock
from firmware.cameras.late import LateCamera
from firmware.pins.button import Button
from firmware.pins.lamp import PinLamp

if TYPE_CHECKING:
    from firmware.camera import Camera
    from firmware.runner import Posted

    Hardware = Callable[[Config, Clock], tuple[Camera, Factory]]


def find_hardware(config: Config, clock: Clock) -> tuple[Camera, Factory]:
    """The camera, and where the pins are. A scene brings pins of its own, for there is no lens."""
    if config.camera == "scene":
        try:
            from firmware.pins.virtual import virtual_pins
        except ModuleNotFoundError as error:
            raise NotPossible(
                "This kit has no scene camera.",
                'Set camera = "picamera", or install attune-kit-scene.',
            ) from error
        make = partial(scene_camera, config, clock)
        # A file that is not a film is refused at once.
        camera = LateCamera("scene", make) if config.scene in ("", FAMILY) else make()
        return camera, virtual_pins(config)
    try:
        # Installed on a kit only.
        from gpiozero.pins.lgpio import LGPIOFactory

        pins = LGPIOFactory()
    except Exception as error:
        # It raises all sorts of things where there is no Pi, or no permission to use its pins.
        raise NotPossible(
            f"The pins of a kit cannot be used here: {error}.",
            'On a kit: start it again. Elsewhere: set camera = "scene".',
        ) from error
    return LateCamera("Raspberry Pi camera", partial(pi_camera, config, clock)), pins


def scene_camera(config: Config, clock: Clock) -> Camera:
    """What stands in place of what a lens sees; the package for kits has none of it."""
    import firmware.muxer  # noqa: F401 - as below
    from firmware.cameras.family.scene import FamilyScene
    from firmware.cameras.scene import FilmScene, Scene, SceneCamera
    from firmware.cameras.testcard import TestCard

    size, rate = (config.width, config.height), config.pictures_a_second
    scene: Scene
    if config.scene == FAMILY:
        scene = FamilyScene(*size, rate, config.scene_seed)
    elif config.scene:
        scene = FilmScene(Path(config.scene), *size)
    else:
        scene = TestCard(*size, rate)
    return SceneCamera(scene, config.bits_a_second, clock, hurry=config.hurry, faults=config.faults)


def pi_camera(config: Config, clock: Clock) -> Camera:
    """The Pi's camera, with the microphone if the kit has one."""
    # What muxes a film as well, so that a press finds everything loaded.
    import firmware.muxer  # noqa: F401

    # Installed on a kit only.
    from firmware.cameras.picamera import PiCamera, Place
    from firmware.microphone import Microphone

    microphone = Microphone(config.microphone, clock) if config.microphone else None
    return PiCamera(
        config.width,
        config.height,
        config.pictures_a_second,
        config.bits_a_second,
        clock,
        microphone,
        place=Place(config.mains_hz, config.upside_down, config.mirrored, config.focus),
    )


def main(hardware: Hardware = find_hardware) -> int:
    threading.excepthook = end_with_the_thread
    return program.run("recorder", "The recorder of this kit.", partial(_record, hardware))


def _record(hardware: Hardware, config: Config) -> int:
    clock = SystemClock()
    os.umask(0o027)
    # As `appliance.factory_reset.begun` has it, which would load what signs.
    if config.places.reset.exists():
        from firmware.joined import reset

        reset(config, clock, lambda: hardware(config, clock)[1])
    queue: SimpleQueue[Posted] = SimpleQueue()
    camera, factory = hardware(config, clock)
    lamp = PinLamp(config.light_pin, config.read_back_pin, factory)
    button = Button(config.button_pin, factory, clock, queue.put)
    notify("READY=1")
    from firmware.joined import Hands, record

    notify("WATCHDOG=1", wait=False)
    return record(config, clock, Hands(camera, factory, lamp, button, queue))


if __name__ == "__main__":
    sys.exit(main())
