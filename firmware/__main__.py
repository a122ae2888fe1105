"""`python -m firmware --config FILE`: build the parts, join them, run until told to end."""

import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from queue import SimpleQueue
from typing import NoReturn

from gpiozero.pins import Factory
from gpiozero.pins.mock import MockFactory

from appliance import program
from appliance.config import FAMILY, Config
from appliance.errors import KitError, LightFailed, NotPossible
from appliance.factory_reset import begun, finish, former, others_left, start_anew
from appliance.film.manifest import EndReason
from appliance.notify import notify
from appliance.protocol.status import Pattern, RecorderStatus
from appliance.records.audit import Log
from appliance.records.clock import Clock, SystemClock
from appliance.records.files import Home, to_json
from firmware.board import Equipment, PiBoard
from firmware.books import KitBooks
from firmware.button import Button, Debounce
from firmware.camera import Camera, Seen
from firmware.cameras.late import LateCamera
from firmware.capture import Capture
from firmware.filming import Film
from firmware.free_space import FreeSpace
from firmware.gate import Gate
from firmware.inbox import Inbox, watch
from firmware.light import Light, PinLamp
from firmware.logs.checkpoints import Checkpoints
from firmware.logs.outbox import Outbox
from firmware.recorder import Broke, Recorder
from firmware.removing import Removals
from firmware.runner import Noticed, Parts, Posted, Quit, Runner
from firmware.timekeeper import Timekeeper, machine_sources
from firmware.writer import FilmParts, recover

DIED = 70
"""Exit status after an unforeseen error; systemd starts the recorder again."""


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
    home, clock = config.places, SystemClock()
    os.umask(0o027)
    if begun(home):
        _reset(config, hardware, clock)
    queue: SimpleQueue[Posted] = SimpleQueue()
    books = KitBooks(home)
    log = Log(home.log("recorder"), clock)
    before = former(home)
    if before is not None and not log.begun:
        log.write("set-back", kit=before.kit)
    recovered = recover(home, books.signer)
    for name in recovered:
        log.write("film-recovered", recording=name)
    camera, factory = hardware(config, clock)
    lamp = PinLamp(config.light_pin, config.read_back_pin, factory)
    light = Light(lamp, clock, lambda: queue.put(Broke(clock.monotonic(), EndReason.LIGHT_FAILED)))
    button = Button(config.button_pin, factory, clock, queue.put)
    checkpoints, ended = Checkpoints(home, books.signer, clock), threading.Event()
    outbox = Outbox(home, books.signer)
    threads: list[Callable[[], None]] = [
        light.play,
        partial(watch, home, lambda: queue.put(Noticed())),
        partial(checkpoints.keep_watch, ended),
        partial(outbox.keep_watch, ended),
    ]
    virtual = isinstance(factory, MockFactory)
    if virtual:
        from firmware.virtual import VirtualButton

        threads.append(VirtualButton(home, factory, config.button_pin).listen)
    recorder = Recorder(recovered=bool(recovered))
    parts = _joined(config, recorder, books, log, light, camera, virtual, queue)
    parts.removals.finish()
    _show(home, None)
    runner = Runner(parts, queue, Debounce(button.down), partial(_tell, home.status("recorder")))
    for target in threads:
        threading.Thread(target=target, daemon=True).start()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: queue.put(Quit()))
    log.write("started", kit=books.kit)
    notify("READY=1")
    try:
        # The thread that hears the button waits for nothing, not even systemd.
        runner.run(alive=lambda: notify("WATCHDOG=1", wait=False))
    except BaseException as error:
        # No clean end: only the end of the process is sure to close the camera.
        _die(error)
    if not begun(home):  # Otherwise this process goes on.
        notify("STOPPING=1", wait=False)
    log.write("stopped", kit=books.kit)
    ended.set()
    with suppress(KitError, OSError):
        checkpoints.sign()
        outbox.put()
    button.close()
    light.close()
    if begun(home):
        start_anew()
    return 0


def _joined(
    config: Config,
    recorder: Recorder,
    books: KitBooks,
    log: Log,
    light: Light,
    camera: Camera,
    virtual: bool,
    queue: "SimpleQueue[Posted]",
) -> Parts:
    """What stands between the button and the card."""
    home, clock, scene = config.places, SystemClock(), config.camera == "scene"
    timekeeper = Timekeeper(books, clock, log, partial(machine_sources, home, clock))
    loading = (
        partial(camera.loading, lambda: queue.put(Noticed()))
        if isinstance(camera, LateCamera)
        else lambda: False
    )
    equipment = Equipment(light, camera, PiBoard(), needs_microphone=not scene, loading=loading)
    space = FreeSpace(home.kit / "room", config.bits_a_second)
    gate = Gate(home, books, log, timekeeper, space, equipment.trouble)
    removals = Removals(home, books, log, lambda: timekeeper.now, config.emptying)
    film = FilmParts(home, config, books.signer, clock, lambda: timekeeper.now, space.taken)
    if virtual:
        from firmware.virtual import virtual_card

        film = replace(film, card=partial(virtual_card, config))
    show = partial(_show, home)
    capture = Capture(camera, partial(Film, film), clock, queue.put, show)
    return Parts(
        recorder=recorder,
        light=light,
        capture=capture,
        gate=gate,
        inbox=Inbox(home, recorder, capture, gate, books, removals, log),
        books=books,
        space=space,
        removals=removals,
        log=log,
        virtual=virtual,
    )


def _reset(config: Config, hardware: Hardware, clock: Clock) -> NoReturn:
    """Finish a factory reset, under a light that quickens. Nothing films and the button does
    nothing. The recorder waits until the other processes have removed what is theirs."""
    home = config.places
    with suppress(NotPossible):
        # A kit without its camera is reset like any other.
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


def _show(home: Home, seen: Seen | None) -> None:
    """What is framed, for the page; None takes it away."""
    if seen is not None:
        _replace(home.close_look if seen.whole else home.preview, seen.picture)
        return
    for path in (home.preview, home.close_look):
        for left in (path, path.with_suffix(".new")):
            left.unlink(missing_ok=True)


def _tell(path: Path, status: RecorderStatus) -> None:
    _replace(path, to_json(status) + b"\n")


def _replace(path: Path, data: bytes) -> None:
    """Replace a file that the page reads, in one step. It is in memory: nothing to sync."""
    new = path.with_suffix(".new")
    new.write_bytes(data)
    new.replace(path)


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
