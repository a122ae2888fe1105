"""Stand-ins that do what they are told and no more; real where it counts."""

import functools
import threading
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from queue import SimpleQueue
from typing import Any, Literal

import av
import msgspec
from gpiozero.pins.mock import MockFactory

from appliance.age.identities import generate_identity
from appliance.config import Config
from appliance.errors import CameraFailed, LightFailed, SoundFailed
from appliance.film.manifest import EndReason, FilmedWith, Manifest, read_manifest
from appliance.film.segment import Create, create
from appliance.protocol.case_record import CaseRecord
from appliance.protocol.permits import Permit, PressRefusal
from appliance.protocol.requests import Framing, Preview, Request, place_request
from appliance.protocol.status import RecorderStatus, State
from appliance.records.audit import Log, check_chain
from appliance.records.clock import Vouch
from appliance.records.files import Home, new_id, save, save_fact, to_json
from appliance.records.signing import Signer
from appliance.vault.keys import PrivateKeys
from firmware.board import Equipment
from firmware.books import KitBooks
from firmware.camera import SAMPLE_RATE, OnEnd, See, Seen, Sink
from firmware.cameras.scene import Scene, SceneCamera, sound_frame
from firmware.cameras.testcard import TestCard
from firmware.capture import Capture
from firmware.debounce import SETTLE, Debounce
from firmware.filming import Film, OnClosed
from firmware.free_space import FreeSpace
from firmware.gate import Gate
from firmware.inbox import Inbox
from firmware.light import Light
from firmware.muxer import Muxer
from firmware.pins.button import Button
from firmware.recorder import PRESENCE_COUNTS_AFTER, Broke, Recorder
from firmware.removing import Removals
from firmware.runner import Noticed, Parts, Posted, Quit, Runner
from firmware.timekeeper import Timekeeper
from firmware.writer import FilmParts, recover
from tests.support.clocks import FakeClock, HurriedClock

SERVICE = PrivateKeys.generate("service", x25519=True)
PRACTITIONER = PrivateKeys.generate("practitioner", x25519=True)
CASE = generate_identity(x25519=True)


class Diary(list[str]):
    """What happened, in order, and when."""

    def __init__(self, clock: FakeClock) -> None:
        super().__init__()
        self._clock = clock
        self.times: list[float] = []

    def append(self, what: str) -> None:
        super().append(what)
        self.times.append(self._clock.monotonic())


class FakeLamp:
    """A lamp whose state is read back; while it is `stuck` it does not follow."""

    def __init__(self, happened: list[str] | None = None) -> None:
        self._happened = [] if happened is None else happened
        self.lit = False
        self.stuck = False
        self.proven = True
        self.slowest = 0.0
        self._set_to = False

    def set(self, lit: bool) -> None:
        self._set_to = lit
        if not self.stuck:
            if lit is not self.lit:
                self._happened.append("light on" if lit else "light off")
            self.lit = lit
        self.check()

    def check(self) -> None:
        if self.lit is not self._set_to:
            raise LightFailed("The light does not follow.")

    def dark(self) -> None:
        """It goes out by itself and stays out."""
        if self.lit:
            self._happened.append("light off")
        self.lit, self.stuck = False, True

    def close(self) -> None:
        pass


class Reel:
    """A sink that keeps what it is given, and is full after so many pictures."""

    with_sound = True
    busy = False

    def __init__(self, enough: int = 0, target: Sink | None = None) -> None:
        """`target`: where everything goes on to, up to `enough` pictures."""
        self.pictures: list[tuple[bytes, int, int, bool]] = []
        self.samples = bytearray()
        self.full = threading.Event()
        self._enough = enough
        self._target = target

    def picture(self, data: bytes, time: int, duration: int, key: bool) -> None:
        if self.full.is_set():
            return
        self.pictures.append((data, time, duration, key))
        if self._target is not None:
            self._target.picture(data, time, duration, key)
        if len(self.pictures) == self._enough:
            self.full.set()

    def sound(self, frame: av.AudioFrame) -> None:
        if self.full.is_set():
            return
        assert frame.pts == len(self.samples) // 2, "the sound has a gap"
        self.samples += bytes(frame.planes[0])[: 2 * frame.samples]
        if self._target is not None:
            self._target.sound(frame)


def look_at(scene: Scene, reel: Reel, bit_rate: int = 1_000_000) -> None:
    """Film a scene as fast as this machine can, until the reel is full."""
    failures: list[EndReason] = []
    camera = SceneCamera(scene, bit_rate, HurriedClock())
    camera.start(reel, failures.append)
    assert reel.full.wait(60), f"the camera gave {len(reel.pictures)} pictures and {failures}"
    camera.stop()
    assert not failures


def muxed(
    scene: Scene, pictures: int, bit_rate: int = 1_000_000, sound: bool = True
) -> list[bytes]:
    """The muxer's pieces for a film of a scene."""
    pieces: list[bytes] = []
    muxer = Muxer(pieces.append, sound)
    look_at(scene, Reel(pictures, muxer), bit_rate)
    muxer.close()
    return pieces


@functools.cache
def _second_of_pictures() -> Reel:
    reel = Reel(30)
    look_at(TestCard(160, 96, 30), reel)
    return reel


FILMED_WITH = FilmedWith(
    camera="fake", size=(160, 96), frame_rate=30, encoder="libx264", bit_rate=1_000_000
)


class FakeCamera:
    """Gives real coded pictures at the pace of a clock, and fails where it is told to."""

    name = "fake camera"

    def __init__(self, clock: FakeClock, happened: list[str]) -> None:
        self.has_sound = True
        self._clock, self._happened = clock, happened
        self._reel = _second_of_pictures()
        self.sink: Sink | None = None
        self.show: See | None = None
        self.hear: Callable[[av.AudioFrame], None] | None = None
        self.on_failure: Callable[[EndReason], None] = lambda why: None
        self.is_present = True
        self.loading = False
        self.stalled = self.fails_to_start = self.fails_to_stop = False
        self.mute = self.fails_to_hear = self.closely = False
        self.light = 0.5
        self.takes = 0.0
        """Seconds to start."""
        self.before_picture: Callable[[], None] = lambda: None
        """Called before each picture of a film."""
        self._began, self._given = 0.0, 0

    @property
    def open(self) -> bool:
        return self.sink is not None or self.show is not None

    def present(self) -> bool:
        return self.is_present

    def start(self, sink: Sink, on_failure: Callable[[EndReason], None]) -> FilmedWith:
        self._happened.append("camera on")
        self.sink, self.on_failure = sink, on_failure
        self._began, self._given = self._clock.monotonic(), 0
        if self.fails_to_hear:
            raise SoundFailed("The microphone does not answer.")
        self._clock.advance(self.takes)
        if self.fails_to_start:
            raise CameraFailed("The camera does not start.")
        self.roll()
        return FILMED_WITH

    def preview(
        self,
        show: See,
        hear: Callable[[av.AudioFrame], None] | None,
        on_failure: Callable[[EndReason], None],
    ) -> FilmedWith:
        self._happened.append("camera on")
        self.show, self.hear, self.on_failure = show, hear, on_failure
        if self.fails_to_start:
            raise CameraFailed("The camera does not start.")
        self.roll()
        return FILMED_WITH

    def look_closely(self) -> None:
        self.closely = True

    def stop(self) -> None:
        if self.fails_to_stop:
            raise CameraFailed("The camera does not stop.")
        if self.open:
            self._happened.append("camera off")
        self.sink = self.show = self.hear = None

    def roll(self) -> None:
        """Give the pictures that are due by now."""
        if self.show is not None and not self.stalled:
            self.show(Seen(b"JPEG of second %d" % self._clock.monotonic(), self.light))
            if self.closely:
                self.closely = False
                self.show(Seen(b"whole JPEG", self.light, whole=True))
        if self.hear is not None and not self.mute:
            self.hear(sound_frame(bytes(2 * SAMPLE_RATE // 4), 0))
        while (
            self.sink is not None
            and not self.stalled
            and self._began + self._given / 30 <= self._clock.monotonic()
        ):
            self.before_picture()
            data, _, duration, key = self._reel.pictures[self._given % 30]
            self.sink.picture(data, self._given * 3000, duration, key)
            if not self.mute:
                self.sink.sound(sound_frame(bytes(3200), self._given * 1600))
            self._given += 1


class FakeBoard:
    """A board with enough power and no heat, unless a test says otherwise."""

    def __init__(self) -> None:
        self.has: PressRefusal | None = None

    def trouble(self) -> PressRefusal | None:
        return self.has


class Stage:
    """A whole recorder but for its camera and its lamp, on a clock that moves when told.

    Set up, the time vouched for, with one case; not armed.
    """

    def __init__(
        self,
        root: Path,
        *,
        recovered: bool = False,
        set_up: bool = True,
        bit_rate: int = 1_000_000,
        clock: FakeClock | None = None,
        emptying: bool = False,
    ) -> None:
        self.home = Home(root / "home", root / "run")
        self.clock = clock or FakeClock()
        self.happened = Diary(self.clock)
        self.told: list[RecorderStatus] = []
        self.config = Config(segment_seconds=2, bit_rate=bit_rate)
        self.books = KitBooks(self.home)
        recover(self.home, self.books.signer)
        self.home.prepare(self.home.permits, self.home.web_requests, self.home.cases)
        if set_up:
            self.books.enrol(SERVICE.card(), PRACTITIONER.card())
        self.log = Log(self.home.log("recorder"), self.clock)
        self.queue: SimpleQueue[Posted] = SimpleQueue()
        self.camera = FakeCamera(self.clock, self.happened)
        self.lamp = FakeLamp(self.happened)
        self.light = Light(
            self.lamp,
            self.clock,
            lambda: self.queue.put(Broke(self.clock.monotonic(), EndReason.LIGHT_FAILED)),
        )
        factory = MockFactory()
        self._button = Button(17, factory, self.clock, self.queue.put)
        self.pin = factory.pin(17)
        self.camera.before_picture = self._wait_for_card
        self.new_file: Create = create
        """What makes the files of a film."""
        self.film_type: type[Film] = Film
        self.film: Film | None = None
        """The last one."""
        self._grown = threading.Event()
        self.space = FreeSpace(self.home.kit / "room", self.config.bits_a_second)
        self.board = FakeBoard()
        self.removals = Removals(self.home, self.books, self.log, lambda: self.time.now, emptying)
        self.removals.finish()
        self.seen: bytes | None = None
        self.close_look: bytes | None = None
        """What the page is shown for framing."""
        self.no_memory = False
        self.time = Timekeeper(self.books, self.clock, self.log)
        equipment = Equipment(
            self.light, self.camera, self.board, True, lambda: self.camera.loading
        )
        self.gate = Gate(self.home, self.books, self.log, self.time, self.space, equipment.trouble)
        self.recorder = Recorder(recovered)
        self.capture = Capture(self.camera, self._film, self.clock, self.queue.put, self._show)
        self.inbox = self.new_inbox()
        self.parts = Parts(
            recorder=self.recorder,
            light=self.light,
            capture=self.capture,
            gate=self.gate,
            inbox=self.inbox,
            books=self.books,
            space=self.space,
            removals=self.removals,
            log=self.log,
            virtual=False,
        )
        self.runner = Runner(self.parts, self.queue, Debounce(), self.told.append)
        self.case = self.make_case()
        if set_up:
            self.vouch()
        self.runner.start()
        self.work()

    def new_inbox(self) -> Inbox:
        """As a recorder has one that starts now."""
        return Inbox(
            self.home,
            self.recorder,
            self.capture,
            self.gate,
            self.books,
            self.removals,
            self.log,
        )

    def _film(self, permit: Permit, sound: bool, on_end: OnEnd, on_closed: OnClosed) -> Film:
        parts = FilmParts(
            self.home,
            self.config,
            self.books.signer,
            self.clock,
            lambda: self.time.now,
            self._grow,
            lambda: lambda path: self.new_file(path),
        )
        self.film = self.film_type(parts, permit, sound, on_end, on_closed)
        return self.film

    def _grow(self, size: int) -> None:
        self.space.taken(size)
        self._grown.set()

    def _wait_for_card(self) -> None:
        """Film no faster than the writer's thread, which has a time of its own."""
        while self.film is not None and self.film.writer.busy:
            self._grown.wait(0.1)
            self._grown.clear()

    def _show(self, seen: Seen | None) -> None:
        if seen is not None and self.no_memory:
            raise OSError("no memory")
        if seen is None:
            self.seen = self.close_look = None
        elif seen.whole:
            self.close_look = seen.picture
        else:
            self.seen = seen.picture

    def close(self) -> None:
        """End what is under way, as the end of the process would; what died stays as it is."""
        self._button.close()
        if self.state is State.STOPPING:
            return
        self.queue.put(Quit())
        self.work()
        self.settle()

    # --- what people do -------------------------------------------------------------------------

    def make_case(self) -> str:
        name = new_id()
        self.home.case(name).mkdir()
        self.write_case(name, "open")
        return name

    def write_case(self, name: str, state: Literal["open", "closed", "withdrawn"]) -> None:
        record = CaseRecord(id=name, recipient=str(CASE.recipient), state=state)
        save_fact(self.home.case(name) / "case.json", record)

    def vouch(self, **changes: Any) -> bool:
        return self.time.vouch(self.vouch_note(**changes))

    def vouch_note(self, signer: Signer = PRACTITIONER.signer, **changes: Any) -> str:
        reading = self.clock.read()
        vouch = Vouch(
            kit=self.books.kit, time=reading.wall, boot=reading.boot, boottime=reading.boottime
        )
        return signer.sign(to_json(msgspec.structs.replace(vouch, **changes)).decode() + "\n")

    def permit(self, **changes: Any) -> Permit:
        now = self.clock.read()
        permit = Permit(
            id=new_id(),
            kit=self.books.kit,
            case=self.case,
            recipient=str(CASE.recipient),
            consent="0" * 64,
            kind="visit",
            limit=10,
            sound=True,
            films=3,
            boot=now.boot,
            not_before=now.wall,
            not_after=now.wall + timedelta(hours=2),
        )
        return msgspec.structs.replace(permit, **changes)

    def arm(self, signer: Signer = PRACTITIONER.signer, **changes: Any) -> Permit:
        permit = self.permit(**changes)
        self.place(signer.sign(to_json(permit).decode() + "\n"))
        return permit

    def place(self, note: str) -> None:
        """Put this at `permits/current`, as the page does, and let the recorder notice."""
        save(self.home.permits / "current", note.encode())
        self.notice()

    def disarm(self) -> None:
        (self.home.permits / "current").unlink()
        self.notice()

    def ask(self, request: Request) -> str:
        """Place a request; returns what became of it so far."""
        place_request(self.home, request)
        self.notice()
        return self.inbox.answers.get(request.id, "")

    def preview(
        self, open_it: bool = True, signer: Signer = PRACTITIONER.signer, **changes: Any
    ) -> Preview:
        """Ask for the preview with a practitioner's signature, or end it."""
        now = self.clock.read()
        said = Framing(kit=self.books.kit, boot=now.boot, boottime=now.boottime)
        note = signer.sign(to_json(msgspec.structs.replace(said, **changes)).decode() + "\n")
        return Preview(
            id=new_id(),
            boot=now.boot,
            boottime=now.boottime,
            open=open_it,
            note=note if open_it else "",
        )

    def notice(self) -> None:
        self.queue.put(Noticed())
        self.work()

    def down(self) -> None:
        self.pin.drive_low()
        self.work()

    def up(self) -> None:
        self.pin.drive_high()
        self.advance(SETTLE)

    def press(self, held: float = 0.2) -> None:
        self.down()
        self.advance(held)
        self.up()

    def press_when_asked(self, held: float = 0.2) -> None:
        """Press as somebody does who watches the light, after it has blinked twice."""
        self.advance(PRESENCE_COUNTS_AFTER)
        self.press(held)

    # --- time -----------------------------------------------------------------------------------

    def work(self) -> float:
        return self.runner.work()

    def advance(self, seconds: float) -> None:
        """Let time pass: pictures come, the light plays, the recorder does what is due.

        While a film is being closed it stands still: the writer's thread has a time of its own.
        """
        end = self.clock.monotonic() + seconds
        while True:
            wait = min(self.work(), self.light.step())
            self.settle()
            left = end - self.clock.monotonic()
            if left <= 1e-9:
                return
            longest = left if self.camera.sink is None else 1 / 30
            self.clock.advance(min(max(wait, 0.001), longest, left))
            self.camera.roll()

    def settle(self) -> None:
        """Wait until the film is closed; the writer has a thread of its own."""
        while self.recorder.state is State.STOPPING:
            self.queue.put(self.queue.get(timeout=30))
            self.work()

    # --- what there is to see -------------------------------------------------------------------

    @property
    def state(self) -> State:
        return self.recorder.state

    @property
    def status(self) -> RecorderStatus:
        return self.parts.status()

    def films(self) -> list[Path]:
        return sorted(self.home.recordings.iterdir())

    def manifest(self) -> Manifest:
        """Of the only film."""
        (film,) = self.films()
        return read_manifest(film, [self.books.signer.verifier])

    def events(self) -> list[str]:
        """What the log says happened."""
        return [e.event for e in check_chain((self.home.log("recorder") / "log").read_bytes())]
