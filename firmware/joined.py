"""What stands between the button and the card, joined and run: everything that films, judges and
signs, which is most of what a recorder loads."""

import signal
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from queue import SimpleQueue
from typing import NoReturn

from gpiozero.pins import Factory
from gpiozero.pins.mock import MockFactory

from appliance.config import Config
from appliance.errors import KitError, LightFailed, NotPossible
from appliance.factory_reset import begun, finish, former, others_left, start_anew
from appliance.film.manifest import EndReason
from appliance.notify import notify
from appliance.program import die
from appliance.protocol.status import Pattern, RecorderStatus
from appliance.records.audit import Log
from appliance.records.clock import Clock, SystemClock
from appliance.records.files import Home, to_json
from firmware.board import Equipment, PiBoard
from firmware.books import KitBooks
from firmware.camera import Camera, Seen
from firmware.cameras.late import LateCamera
from firmware.capture import Capture
from firmware.debounce import Debounce
from firmware.filming import Film
from firmware.free_space import FreeSpace
from firmware.gate import Gate
from firmware.inbox import Inbox, watch
from firmware.light import Light
from firmware.logs.checkpoints import Checkpoints
from firmware.logs.outbox import Outbox
from firmware.pins.button import Button
from firmware.pins.lamp import PinLamp
from firmware.recorder import Broke, Recorder
from firmware.removing import Removals
from firmware.runner import Noticed, Parts, Posted, Quit, Runner
from firmware.timekeeper import Timekeeper, machine_sources
from firmware.writer import FilmParts, recover


@dataclass(frozen=True)
class Hands:
    """What answers before anything can be filmed: button, lamp and pins, and a camera that is not
    loaded yet. `queue` has what the button said meanwhile."""

    camera: Camera
    factory: Factory
    lamp: PinLamp
    button: Button
    queue: "SimpleQueue[Posted]"


def record(config: Config, clock: Clock, hands: Hands) -> int:
    """Run until told to end; returns the exit status. Raises KitError for a home with which nothing
    can be filmed."""
    home, queue, button = config.places, hands.queue, hands.button
    books = KitBooks(home)
    log = Log(home.log("recorder"), clock)
    before = former(home)
    if before is not None and not log.begun:
        log.write("set-back", kit=before.kit)
    recovered = recover(home, books.signer)
    for name in recovered:
        log.write("film-recovered", recording=name)
    light = Light(
        hands.lamp, clock, lambda: queue.put(Broke(clock.monotonic(), EndReason.LIGHT_FAILED))
    )
    checkpoints, ended = Checkpoints(home, books.signer, clock), threading.Event()
    outbox = Outbox(home, books.signer)
    threads: list[Callable[[], None]] = [
        light.play,
        partial(watch, home, lambda: queue.put(Noticed())),
        partial(checkpoints.keep_watch, ended),
        partial(outbox.keep_watch, ended),
    ]
    virtual = isinstance(hands.factory, MockFactory)
    if virtual:
        from firmware.pins.virtual import VirtualButton

        threads.append(VirtualButton(home, hands.factory, config.button_pin).listen)
    recorder = Recorder(recovered=bool(recovered))
    parts = _joined(config, recorder, books, log, light, hands.camera, virtual, queue)
    parts.removals.finish()
    _show(home, None)
    runner = Runner(parts, queue, Debounce(button.down), partial(_tell, home.status("recorder")))
    for target in threads:
        threading.Thread(target=target, daemon=True).start()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: queue.put(Quit()))
    log.write("started", kit=books.kit)
    try:
        # The thread that hears the button waits for nothing, not even systemd.
        runner.run(alive=lambda: notify("WATCHDOG=1", wait=False))
    except BaseException as error:
        # No clean end: only the end of the process is sure to close the camera.
        die(error)
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
        from firmware.pins.virtual import virtual_card

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


def reset(config: Config, clock: Clock, find_pins: Callable[[], Factory]) -> NoReturn:
    """Finish a factory reset, under a light that quickens. Nothing films and the button does
    nothing. The recorder waits until the other processes have removed what is theirs."""
    home = config.places
    with suppress(NotPossible):
        # A kit without its pins is reset like any other.
        lamp = PinLamp(config.light_pin, config.read_back_pin, find_pins())
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
