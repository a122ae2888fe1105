"""One queue, one thread: what happens becomes an event, every effect is carried out here.

Other threads only put into the inbox. An effect that fails goes back into the machine as an event;
what no effect accounts for ends the process, and with it the camera.
"""

import logging
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from queue import Empty, SimpleQueue

from appliance.errors import CameraFailed, KitError, LightFailed, SoundFailed
from appliance.film.manifest import EndReason
from appliance.protocol.orders import Reset
from appliance.protocol.permits import Permit, PressRefusal
from appliance.protocol.requests import (
    CorrectTime,
    Enrol,
    FactoryReset,
    LetIn,
    NeedsPress,
    Preview,
    Remove,
    Renew,
    SetTime,
    Stop,
)
from appliance.protocol.status import RecorderStatus
from appliance.records import audit
from appliance.records.audit import Log
from appliance.records.clock import Clock
from firmware.books import KitBooks
from firmware.button import Debounce, Edge
from firmware.camera import Camera, Meter
from firmware.filming import Film, OnClosed, OnEnd
from firmware.gate import Desk, Gate
from firmware.light import Light
from firmware.recorder import (
    BeginFilm,
    Broke,
    CloseCamera,
    Confirm,
    Decline,
    Die,
    Effect,
    Event,
    Failed,
    FilmClosed,
    FinishFilm,
    Judge,
    Judged,
    OpenCamera,
    OpenPreview,
    Pattern,
    PresenceAsked,
    PreviewAsked,
    Recorder,
    Refuse,
    RemoveFilm,
    Show,
    State,
    StopAsked,
    Ticked,
)
from firmware.removing import Removals
from firmware.room import Room

_errors = logging.getLogger(__name__)

LOOK_EVERY = 1.0
"""Seconds between two looks at permit, requests and cases, if nothing is noticed before."""
ANSWERED_WITHIN = 1.0
"""Seconds after which a press films nothing any more: whoever pressed may have turned away, and
another have come in."""
_JUDGED = (State.IDLE, State.ASKED, State.PRESENCE, State.READY, State.PREVIEW)
"""In which it matters whether a permit is in force."""
TELL_EVERY = 0.25
"""Seconds between two live statuses while a film is made or framed."""
LONGEST_WITHOUT_PICTURE = 2.0
LONGEST_WITHOUT_SOUND = 5.0

FAULTS: Mapping[type[Effect], EndReason] = {
    Show: EndReason.LIGHT_FAILED,
    OpenCamera: EndReason.CAMERA_FAILED,
    OpenPreview: EndReason.CAMERA_FAILED,
    CloseCamera: EndReason.CAMERA_FAILED,
    Judge: EndReason.DISK_FAILED,
    BeginFilm: EndReason.DISK_FAILED,
    FinishFilm: EndReason.DISK_FAILED,
    RemoveFilm: EndReason.DISK_FAILED,
    Confirm: EndReason.DISK_FAILED,
    Refuse: EndReason.DISK_FAILED,
}
"""What it means when an effect cannot be carried out."""


@dataclass(frozen=True)
class Noticed:
    """The page has written something."""


@dataclass(frozen=True)
class Quit:
    """The process is asked to end."""


Posted = Event | Edge | Noticed | Quit
FilmMaker = Callable[[Permit, OnEnd, OnClosed], Film]


class Runner:
    """Carries out what the machine says, in one thread; any thread may put into its inbox."""

    def __init__(
        self,
        recorder: Recorder,
        inbox: "SimpleQueue[Posted]",
        *,
        debounce: Debounce,
        light: Light,
        lamp_proven: bool,
        camera: Camera,
        gate: Gate,
        desk: Desk,
        books: KitBooks,
        room: Room,
        removals: Removals,
        make_film: FilmMaker,
        log: Log,
        clock: Clock,
        tell: Callable[[RecorderStatus], None],
        show: Callable[[bytes | None], None],
        virtual: bool,
    ) -> None:
        """`tell` gets the live status. `show` gets what is seen for framing, from the camera's
        thread, and None when there is no more to see; either may raise OSError."""
        self._recorder = recorder
        self._debounce = debounce
        self._light = light
        self._lamp_proven = lamp_proven
        self._camera = camera
        self._gate = gate
        self._desk = desk
        self._books = books
        self._room = room
        self._removals = removals
        self._make_film = make_film
        self._log = log
        self._clock = clock
        self._tell = tell
        self._show = show
        self._seen_at = 0.0
        """When the last picture for framing came, or the camera opened for it."""
        self._meter: Meter | None = None
        """How loud it is while framing with sound."""
        self._virtual = virtual
        self._inbox = inbox
        self._film: Film | None = None
        self._closed = True
        """The film is closed, or there is none."""
        self._at = clock.monotonic()
        """When what is being carried out happened."""
        self._started_at = 0.0
        """When the press that started the film was let go."""
        self._timings: dict[str, float] = {}
        self._next_look = self._next_tell = float("-inf")
        self._quitting = False
        self._refused: set[tuple[str, ...]] = set()
        """What of the page was refused and is in the log."""

    def run(self, alive: Callable[[], None]) -> None:
        """Work until asked to quit. `alive` is called after every round, at least each second.

        Raises CameraFailed if the process must end because the camera cannot be closed otherwise.
        """
        self.start()
        while not (self._quitting and self._recorder.state not in (State.FILMING, State.STOPPING)):
            wait = self.work()
            alive()
            try:
                self._take(self._inbox.get(timeout=wait))
            except Empty:
                continue
        with suppress(LightFailed):
            self._light.show(Pattern.OFF)

    def start(self) -> None:
        """Do what comes before the first event."""
        self._carry_out(self._recorder.start())

    def work(self) -> float:
        """Do everything that has come in or is due; returns the seconds until more is due."""
        while not self._inbox.empty():
            self._take(self._inbox.get())
        now = self._clock.monotonic()
        for told in self._debounce.settle(now):
            self._handle(told)
        if self._recorder.due is not None and now >= self._recorder.due:
            self._handle(Ticked(now))
        if now >= self._next_look:
            self._next_look = now + LOOK_EVERY
            self._look(now)
        if self._recorder.state is State.PREVIEW:
            if now - self._seen_at > LONGEST_WITHOUT_PICTURE:
                self._handle(Broke(now, EndReason.FRAMES_STOPPED))
        elif self._filming and self._film is not None:
            sink = self._film.sink
            if now - sink.last_picture > LONGEST_WITHOUT_PICTURE:
                self._handle(Broke(now, EndReason.FRAMES_STOPPED))
            elif sink.with_sound and now - sink.last_sound > LONGEST_WITHOUT_SOUND:
                self._handle(Broke(now, EndReason.SOUND_FAILED))
        if now >= self._next_tell:
            seen = not self._closed or self._recorder.state is State.PREVIEW
            self._next_tell = now + (TELL_EVERY if seen else LOOK_EVERY)
            self._tell(self.status())
        due = [self._next_look, self._next_tell, self._recorder.due, self._debounce.due]
        return max(min(t for t in due if t is not None) - self._clock.monotonic(), 0.0)

    def status(self) -> RecorderStatus:
        """What the page is told."""
        reading, time = self._clock.read(), self._gate.time()
        recorder, film = self._recorder, self._film
        left = recorder.deadline - self._clock.monotonic() if self._filming else 0.0
        permit = film.permit if film and not self._closed else recorder.permit
        writer = film.writer if film else None
        heard = film.sink if film and not self._closed and film.sink.with_sound else None
        ear = self._meter or heard
        return RecorderStatus(
            kit=self._books.kit,
            verifier=str(self._books.signer.verifier),
            boot=reading.boot,
            boottime=reading.boottime,
            state=recorder.state.value,
            light=self._light.pattern.value,
            lit=self._light.lit,
            lamp_proven=self._lamp_proven,
            clock=time.trust.value,
            now=time.now,
            other_time=self._gate.disagrees,
            reason=recorder.reason,
            case=permit.case if permit else "",
            permit=permit.id if permit else "",
            recording=film.recording if film else "",
            limit=recorder.lasts if film else 0.0,
            remaining=max(left, 0.0),
            frames_in=film.sink.pictures if film else 0,
            frames_missed=film.sink.missed if film else 0,
            frames_out=writer.frames if writer else 0,
            segments=writer.segments if writer else 0,
            bytes_sealed=writer.bytes if writer else 0,
            removable=self._removable(),
            ended=writer.ended.value if writer and writer.ended and self._closed else "",
            sound=ear.level if ear else None,
            with_sound=ear is not None,
            minutes_free=self._room.seconds() / 60,
            camera=self._camera.name,
            virtual=self._virtual,
            timings_ms=self._timings | self._first_sealed(),
            answers=dict(self._desk.answers),
        )

    @property
    def _filming(self) -> bool:
        return self._recorder.state is State.FILMING

    def _removable(self) -> float:
        film, until = self._recorder.removable, self._recorder.removable_until
        left = until - self._clock.monotonic() if film else 0.0
        return left if left > 0 and self._removals.may_remove(film) else 0.0

    def _take(self, posted: Posted) -> None:
        match posted:
            case Edge():
                for told in self._debounce.edge(posted):
                    self._handle(told)
            case Noticed():
                self._next_look = float("-inf")
            case Quit():
                self._quitting = True
                self._handle(StopAsked(self._clock.monotonic(), EndReason.SHUTDOWN))
            case _:
                self._handle(posted)

    def _handle(self, event: Event) -> None:
        self._at = event.at
        self._next_tell = float("-inf")
        if isinstance(event, FilmClosed):
            self._give_back()
            if not self._closed and self._film is not None:
                event = self._note_end(event, self._film)
        if isinstance(event, Broke | Failed):
            self._write_log("broke", fault=event.fault.value)
        self._carry_out(self._recorder.handle(event))

    def _carry_out(self, effects: list[Effect]) -> None:
        for effect in effects:
            try:
                self._do(effect)
            except Died:
                raise
            except (KitError, OSError) as error:
                _errors.exception("%s could not be done", type(effect).__name__)
                fault = FAULTS.get(type(effect), EndReason.FAULT)
                if isinstance(error, SoundFailed):
                    fault = EndReason.SOUND_FAILED
                self._handle(Failed(self._clock.monotonic(), effect, fault))
                return

    def _do(self, effect: Effect) -> None:
        match effect:
            case Show(pattern):
                self._light.show(pattern)
                if pattern is Pattern.FILMING:
                    self._started_at = self._at
                    self._timings = {"release_to_light": self._since(self._at)}
            case Judge(pressed):
                now = self._clock.monotonic()
                if pressed and now - self._at > ANSWERED_WITHIN:
                    # This thread hung meanwhile, on the card perhaps.
                    self._handle(Judged(now, PressRefusal.TOO_LATE, pressed))
                    return
                answer = self._gate.answer(reserve=pressed)
                self._handle(Judged(self._at, answer, pressed, self._gate.left(answer)))
                if pressed and self._recorder.state not in (State.FILMING, State.STOPPING):
                    self._give_back()
            case Refuse(reason):
                self._log.write("refused", reason=reason.value)
            case BeginFilm(permit):
                self._begin(permit)
            case OpenCamera():
                self._open()
            case OpenPreview(sound):
                self._seen_at = self._clock.monotonic()
                self._meter = Meter(self._clock) if sound and self._camera.has_sound else None
                hear = self._meter.take if self._meter else None
                self._camera.preview(self._see, hear, self._on_end)
            case CloseCamera():
                self._camera.stop()
                self._show(None)
                self._meter = None
                if self._film is not None:
                    self._timings["stop_to_closed"] = self._since(self._at)
            case FinishFilm(why):
                if why is EndReason.DISK_FAILED:
                    # The film's own end needs room, too.
                    self._give_back()
                if self._closed or self._film is None:
                    self._inbox.put(FilmClosed(self._clock.monotonic()))
                else:
                    self._film.finish(why)
            case RemoveFilm(recording):
                self._removals.by_button(recording)
            case Confirm(request):
                asked = self._desk.take(request)
                # Until it is on the card.
                self._desk.answer(request, "refused")
                if asked is not None and self._confirmed(asked):
                    self._desk.answer(request, "done")
            case Decline(request, timed_out):
                self._desk.answer(request, "timed-out" if timed_out else "refused")
            case Die(fault):
                self._write_log("died", fault=fault.value)
                self._tell(self.status())
                raise Died("The camera or the card does not let go; the recorder starts anew.")

    def _begin(self, permit: Permit) -> None:
        def closed(fault: EndReason | None) -> None:
            self._inbox.put(FilmClosed(self._clock.monotonic(), fault))

        # Counted before anything is seen: a film that fails was one of those agreed, too.
        self._books.count_film(permit, self._gate.signer(permit))
        film = self._make_film(permit, self._on_end, closed)
        film.begin()
        self._film, self._closed = film, False
        self._log.write("film-begun", recording=film.recording, case=permit.case, permit=permit.id)

    def _open(self) -> None:
        if self._film is None:
            raise CameraFailed("There is no film for the camera.")
        self._camera.start(self._film.sink, self._on_end)
        # To open it may take longer than pictures may stay away.
        self._film.sink.expect()
        self._timings["release_to_camera"] = self._since(self._started_at)

    def _note_end(self, event: FilmClosed, film: Film) -> FilmClosed:
        self._closed = True
        ended = film.writer.ended or event.fault or EndReason.FAULT
        self._write_log("film-ended", recording=film.recording, why=ended.value)
        removable = self._removals.may_remove(film.recording)
        return replace(event, film=film.recording if removable else "")

    def _frame(self, request: Preview) -> None:
        """Open or close the camera for framing, and answer; what is asked of a camera that is
        being loaded waits until it is."""
        now = self._clock.monotonic()
        if request.open and self._gate.may_frame(request.note):
            answer = self._gate.answer()
            if answer is PressRefusal.CAMERA_LOADING:
                return
            self._handle(PreviewAsked(now, answer, self._gate.left(answer)))
        elif not request.open and self._recorder.state is State.PREVIEW:
            self._handle(StopAsked(now, EndReason.PAGE))
        as_asked = (self._recorder.state is State.PREVIEW) is request.open
        self._desk.answer(request.id, "done" if as_asked else "refused")

    def _see(self, picture: bytes) -> None:
        """A picture for framing; the camera's thread, where nothing may be raised."""
        self._seen_at = self._clock.monotonic()
        try:
            self._show(picture)
        except OSError:
            self._on_end(EndReason.FAULT)

    def _confirmed(self, asked: NeedsPress) -> bool:
        """Do what waited for a press. False if it does not count any more: in this minute somebody
        was revoked, or a film made."""
        match asked:
            case Enrol():
                self._books.enrol(asked.service, asked.practitioner, asked.ceilings)
                ids = {"service": asked.service.name, "practitioner": asked.practitioner.name}
                self._log.write("enrolled", **ids)
            case Renew():
                renewed = self._books.read_renewed(asked.note)
                if renewed is None:
                    return False
                self._books.renew(renewed)
                self._log.write("case-renewed", case=renewed.case)
            case CorrectTime():
                return self._gate.correct(asked.note)
            case FactoryReset():
                order = self._may_be_set_back(asked)
                if order is None:
                    return False
                self._log.write("reset-begun", order=f"{order.number:06}")
                self._books.begin_setting_back(asked.note, self._clock.read().wall)
                self._quitting = True
        return True

    def _may_be_set_back(self, asked: FactoryReset) -> Reset | None:
        """The order, if it counts. That is not looked into while a film is made: to see whether
        everything was sent takes long, and the button must not wait."""
        order = self._books.may_be_set_back(asked.note) if self._closed else None
        if isinstance(order, Reset):
            return order
        self._log_once("reset-refused", reason=order.value if order else "filming")
        return None

    def _give_back(self) -> None:
        """The room that the film did not need; where the card refuses, the next start has it."""
        try:
            self._room.release()
        except OSError:
            _errors.exception("the room that was held could not be given back")

    def _on_end(self, why: EndReason) -> None:
        """A camera, a sink or a writer can go no further; any thread."""
        now = self._clock.monotonic()
        self._inbox.put(StopAsked(now, why) if why is EndReason.LIMIT else Broke(now, why))

    def _look(self, now: float) -> None:
        """See what the page has written, and whom the service has revoked."""
        try:
            for name in self._books.revoke():
                self._log.write("revoked", practitioner=name)
                # It may be armed for a case whose key they have kept.
                self._gate.take_away()
            for request in self._desk.new():
                self._next_tell = float("-inf")
                match request:
                    case Stop():
                        self._desk.answer(request.id, "done")
                        self._handle(StopAsked(self._clock.monotonic(), EndReason.PAGE))
                    case Preview():
                        self._frame(request)
                    case Remove():
                        removed = self._closed and self._removals.ordered(request.note)
                        self._desk.answer(request.id, "done" if removed else "refused")
                    case LetIn():
                        case = self._books.let_in(request.note)
                        self._desk.answer(request.id, "done" if case else "refused")
                    case SetTime():
                        believed = self._gate.vouch(request.note)
                        self._desk.answer(request.id, "done" if believed else "refused")
                        if not believed:
                            self._log_once("time-not-believed")
                    case _ if self._may_be_pressed_for(request):
                        if self._recorder.state is State.READY:
                            # Whoever took the order to film away for this is asked at once.
                            self._judge(now)
                        self._desk.wait(request)
                        self._handle(PresenceAsked(now, request.id))
                    case _:
                        self._desk.answer(request.id, "refused")
            if self._filming and self._film is not None:
                if self._gate.withdrawn(self._film.permit.case):
                    self._handle(StopAsked(now, EndReason.WITHDRAWN))
                elif not self._gate.armed(self._film.permit):
                    self._handle(StopAsked(now, EndReason.PAGE))
            elif self._recorder.state in _JUDGED:
                before = self._recorder.state, self._recorder.reason
                told = self._next_tell
                self._judge(now)
                if before == (self._recorder.state, self._recorder.reason):
                    self._next_tell = told
            if self._closed:
                self._removals.look()
        except Died:
            raise
        except (KitError, OSError):
            _errors.exception("what the page wrote could not be taken in")
            self._handle(Broke(now, EndReason.DISK_FAILED))

    def _judge(self, now: float) -> None:
        """Tell the machine what the gate says without a press."""
        self._handle(Judged(now, self._gate.answer(), pressed=False))

    def _may_be_pressed_for(self, asked: NeedsPress) -> bool:
        """True if a press would do it."""
        match asked:
            case Enrol():
                return self._books.may_enrol(asked.service, asked.ceilings)
            case Renew():
                return self._books.read_renewed(asked.note) is not None
            case CorrectTime():
                believed = self._gate.may_correct(asked.note)
                if not believed:
                    self._log_once("time-not-believed")
                return believed
            case FactoryReset():
                return self._may_be_set_back(asked) is not None

    def _first_sealed(self) -> dict[str, float]:
        sealed = self._film.writer.first_sealed if self._film else None
        return {} if sealed is None else {"release_to_sealed": 1000 * (sealed - self._started_at)}

    def _since(self, moment: float) -> float:
        """Milliseconds."""
        return 1000 * (self._clock.monotonic() - moment)

    def _log_once(self, event: audit.Event, **ids: str) -> None:
        """Log what a page that is locked could ask for without end: once, until this process ends.
        A log that grows is a card that fills."""
        if (event, *ids.values()) not in self._refused:
            self._refused.add((event, *ids.values()))
            self._log.write(event, **ids)

    def _write_log(self, event: audit.Event, **ids: str) -> None:
        """Log where a card that refuses must not keep anything from being done."""
        try:
            self._log.write(event, **ids)
        except KitError:
            _errors.exception("the log could not be written")


class Died(KitError):
    """The process must end at once."""

    code = "died"
