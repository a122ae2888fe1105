"""`python -m firmware --config FILE`: build the parts, join them, run until told to end."""

import argparse
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from queue import SimpleQueue
from typing import NoReturn

from gpiozero.pins import Factory
from gpiozero.pins.mock import MockFactory

from appliance.config import Config, load_config
from appliance.errors import KitError, LightFailed, NotPossible, own_card
from appliance.factory_reset import begun, finish, former, others_left, start_anew
from appliance.film.manifest import EndReason
from appliance.film.segment import Create, create
from appliance.notify import notify
from appliance.protocol.permits import Permit
from appliance.records.audit import Log
from appliance.records.clock import Clock, SystemClock
from appliance.records.files import to_json
from firmware.board import PiBoard
from firmware.books import KitBooks
from firmware.button import Button, Debounce
from firmware.camera import Camera, LateCamera
from firmware.filming import Film, OnClosed, OnEnd
from firmware.gate import Desk, Gate, machine_sources, watch
from firmware.light import Light, PinLamp
from firmware.recorder import Broke, Pattern, Recorder
from firmware.removing import Removals
from firmware.room import Room
from firmware.runner import Noticed, Posted, Quit, Runner
from firmware.witness import Witness
from firmware.writer import recover

DIED = 70
"""Exit status after something that nobody foresaw; systemd starts the recorder anew."""


Hardware = Callable[[Config, Clock], tuple[Camera, Factory]]


def find_hardware(config: Config, clock: Clock) -> tuple[Camera, Factory]:
    """The camera, and where the pins are. A scene brings pins of its own, for there is no lens."""
    if config.camera == "scene":
        try:
            from firmware.virtual import virtual_pins
        except ModuleNotFoundError as error:
            raise NotPossible(
                "This kit has no scene camera.",
                'Set camera = "picamera", or install attune-kit-scene.',
            ) from error
        make = partial(scene_camera, config, clock)
        # What is no film is refused at once.
        camera = make() if config.scene else LateCamera("scene", make)
        return camera, virtual_pins(config)
    try:
        # There on a kit only.
        from gpiozero.pins.lgpio import LGPIOFactory

        pins = LGPIOFactory()
    except Exception as error:
        # Whatever it raises where there is no Pi, or no leave to use its parts.
        raise NotPossible(
            f"The pins of a kit cannot be used here: {error}.",
            'On a kit: start it again. Elsewhere: set camera = "scene".',
        ) from error
    return LateCamera("Raspberry Pi camera", partial(pi_camera, config, clock)), pins


def scene_camera(config: Config, clock: Clock) -> Camera:
    """A film or a test card in place of what a lens sees; the package for kits has none of it."""
    import firmware.muxer  # noqa: F401 - as below
    from firmware.cameras.scene import FilmScene, Scene, SceneCamera
    from firmware.cameras.testcard import TestCard

    scene: Scene = (
        FilmScene(Path(config.scene), config.width, config.height)
        if config.scene
        else TestCard(config.width, config.height, config.frame_rate)
    )
    return SceneCamera(scene, config.bit_rate, clock, hurry=config.hurry, faults=config.faults)


def pi_camera(config: Config, clock: Clock) -> Camera:
    """The Pi's camera, with the microphone if the kit has one."""
    # The film's part of it, too: a press finds all of it loaded.
    import firmware.muxer  # noqa: F401

    # There on a kit only.
    from firmware.cameras.picamera import PiCamera
    from firmware.microphone import Microphone

    microphone = Microphone(config.microphone, clock) if config.microphone else None
    return PiCamera(
        config.width, config.height, config.frame_rate, config.bit_rate, clock, microphone
    )


def main(hardware: Hardware = find_hardware) -> int:
    parser = argparse.ArgumentParser("attune recorder", description="The recorder of this kit.")
    parser.add_argument(
        "--config", type=Path, required=True, metavar="FILE", help="the kit's settings (TOML)"
    )
    arguments = parser.parse_args()
    threading.excepthook = end_with_the_thread
    try:
        config = load_config(arguments.config)
        with config.places.claim("recorder"):
            _record(config, hardware)
    except KitError as error:
        print(error, file=sys.stderr)
        return error.exit_status
    except OSError as error:
        print(own_card(error), file=sys.stderr)
        return 1
    return 0


def _record(config: Config, hardware: Hardware) -> None:
    home, clock = config.places, SystemClock()
    os.umask(0o027)
    if begun(home):
        _set_back(config, hardware, clock)
    books = KitBooks(home)
    log = Log(home.log("recorder"), clock)
    before = former(home)
    if before is not None and not log.begun:
        log.write("set-back", kit=before.kit)
    recovered = recover(home, books.signer)
    for name in recovered:
        log.write("film-recovered", recording=name)
    camera, factory = hardware(config, clock)
    inbox: SimpleQueue[Posted] = SimpleQueue()

    lamp = PinLamp(config.light_pin, config.read_back_pin, factory)
    light = Light(lamp, clock, lambda: inbox.put(Broke(clock.monotonic(), EndReason.LIGHT_FAILED)))
    button = Button(config.button_pin, factory, clock, inbox.put)
    room = Room(home.kit / "room", config.bit_rate)
    gate = Gate(
        home,
        books,
        clock,
        log,
        room,
        PiBoard(),
        light_works=lambda: not light.broken,
        camera_present=camera.present,
        # A scene may be silent; where there is a lens, silence is a microphone that is missing.
        hears=lambda: camera.has_sound or config.camera == "scene",
        sources=partial(machine_sources, home, clock),
        camera_loading=(
            partial(camera.loading, lambda: inbox.put(Noticed()))
            if isinstance(camera, LateCamera)
            else lambda: False
        ),
    )
    removals = Removals(home, books, log, lambda: gate.time().now)
    removals.finish()
    _show(home.preview, None)
    notice = partial(watch, home, lambda: inbox.put(Noticed()))
    threads: list[Callable[[], None]] = [light.play, notice]
    card: Callable[[], Create] = _card
    if isinstance(factory, MockFactory):
        from firmware.virtual import VirtualButton, virtual_card

        threads.append(VirtualButton(home, factory, config.button_pin).listen)
        card = partial(virtual_card, config)

    def make_film(permit: Permit, on_end: OnEnd, on_closed: OnClosed) -> Film:
        film = Film(
            home,
            config,
            permit,
            books.signer,
            clock,
            sound=permit.sound and camera.has_sound,
            now=lambda: gate.time().now,
            on_end=on_end,
            on_closed=on_closed,
            on_growth=room.taken,
            new_file=card(),
        )
        if config.camera == "scene":
            from firmware.cameras.scene import SceneCamera

            scene = camera.made if isinstance(camera, LateCamera) else camera
            assert isinstance(scene, SceneCamera)
            scene.busy = lambda: film.writer.busy
        return film

    runner = Runner(
        Recorder(recovered=bool(recovered)),
        inbox,
        debounce=Debounce(button.down),
        light=light,
        lamp_proven=lamp.proven,
        camera=camera,
        gate=gate,
        desk=Desk(home, clock),
        books=books,
        room=room,
        removals=removals,
        make_film=make_film,
        log=log,
        clock=clock,
        tell=lambda status: _replace(home.status("recorder"), to_json(status) + b"\n"),
        show=lambda picture: _show(home.preview, picture),
        virtual=isinstance(factory, MockFactory),
    )
    witness, ended = Witness(home, books.signer, clock), threading.Event()
    threads.append(partial(witness.keep_watch, ended))
    for target in threads:
        threading.Thread(target=target, daemon=True).start()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: inbox.put(Quit()))
    log.write("started", kit=books.kit)
    notify("READY=1")
    try:
        # Not even systemd may hold up whoever has to see the button.
        runner.run(alive=lambda: notify("WATCHDOG=1", wait=False))
    except BaseException as error:
        # No clean end: only the end of the process is sure to close the camera.
        _die(error)
    if not begun(home):  # Then this very process goes on.
        notify("STOPPING=1", wait=False)
    log.write("stopped", kit=books.kit)
    ended.set()
    with suppress(OSError):
        witness.sign()
    button.close()
    light.close()
    if begun(home):
        start_anew()


def _set_back(config: Config, hardware: Hardware, clock: Clock) -> NoReturn:
    """Finish setting the kit back, under a light that quickens. Nothing films meanwhile, and the
    button does nothing. The recorder goes last: what is others' to remove is waited for."""
    home = config.places
    with suppress(NotPossible):
        # A kit whose camera is gone is set back like any other.
        _, factory = hardware(config, clock)
        lamp = PinLamp(config.light_pin, config.read_back_pin, factory)
        light = Light(lamp, clock, lambda: None)
        threading.Thread(target=light.play, daemon=True).start()
        with suppress(LightFailed):
            light.show(Pattern.REMOVING)
    notify("READY=1")
    while others_left(home):
        notify("WATCHDOG=1", wait=False)
        time.sleep(0.5)
    finish(home)
    start_anew()


def _show(path: Path, picture: bytes | None) -> None:
    if picture is None:
        for left in (path, path.with_suffix(".new")):
            left.unlink(missing_ok=True)
    else:
        _replace(path, picture)


def _replace(path: Path, data: bytes) -> None:
    """Replace what the page is shown as a whole. It is in memory: nothing to sync."""
    new = path.with_suffix(".new")
    new.write_bytes(data)
    new.replace(path)


def _card() -> Create:
    """What makes the files of a film: the system."""
    return create


def end_with_the_thread(died: threading.ExceptHookArgs) -> None:
    """A recorder that has lost a thread cannot be trusted with a camera."""
    _die(died.exc_value)


def _die(error: BaseException | None) -> NoReturn:
    try:
        traceback.print_exception(error)
    finally:
        os._exit(DIED)


if __name__ == "__main__":
    sys.exit(main())
