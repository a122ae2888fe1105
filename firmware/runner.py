"""One queue, one thread: what happens becomes an event, every effect is carried out here.

Other threads only put into the queue. An effect that fails goes back into the machine as an event.
Any other error ends the process, and the camera with it.
"""

import logging
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import Any

from msgspec.structs import replace

from appliance.errors import KitError, LightFailed, SoundFailed
from appliance.film.manifest import EndReason
from appliance.protocol.permits import PressRefusal
from appliance.protocol.requests import FactoryReset
from appliance.protocol.status import Pattern, RecorderStatus, State
from appliance.records import audit
from appliance.records.audit import Log
from firmware.books import KitBooks
from firmware.capture import Capture
from firmware.debounce import Debounce
from firmware.filming import Film
from firmware.free_space import FreeSpace
from firmware.gate import Gate
from firmware.inbox import Inbox
from firmware.light import Light
from firmware.pins.button import Edge
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
    Recorder,
    Refuse,
    RemoveFilm,
    Show,
    StopAsked,
    Ticked,
)
from firmware.removing import Removals

_errors = logging.getLogger(__name__)

LOOK_EVERY = 1.0
"""Seconds between two looks at permit, requests and cases, if nothing is noticed before."""
ANSWERED_WITHIN = 1.0
"""Seconds after which a press no longer starts a film: the person who pressed may have turned away,
and somebody else have come in."""
_JUDGED = (State.IDLE, State.ASKED, State.PRESENCE, State.READY, State.PREVIEW)
"""States in which it matters whether a permit is in force."""
TELL_EVERY = 0.25
"""Seconds between two live statuses while a film is made or framed."""
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


@dataclass(frozen=True, kw_only=True)
class Parts:
    """The recorder's parts. One thread only, but where a part says otherwise."""

    recorder: Recorder
    light: Light
    capture: Capture
    gate: Gate
    inbox: Inbox
    books: KitBooks
    space: FreeSpace
    removals: Removals
    log: Log
    virtual: bool
    """True where button and light are on the page because there is no hardware."""

    def status(self) -> RecorderStatus:
        """What the page is told."""
        clock, time = self.gate.time.clock, self.gate.time.read()
        reading, now = clock.read(), clock.monotonic()
        recorder, capture, film = self.recorder, self.capture, self.capture.film
        filming = recorder.state is State.FILMING
        permit = film.permit if film and not capture.closed else recorder.permit
        writer, ear = film.writer if film else None, capture.ear
        lamp = self.light.lamp
        last, until = recorder.removable, recorder.removable_until
        removable = last and until > now and self.removals.may_remove(last)
        return RecorderStatus(
            kit=self.books.kit,
            verifier=str(self.books.signer.verifier),
            boot=reading.boot,
            boottime=reading.boottime,
            state=recorder.state,
            light=self.light.pattern,
            lit=self.light.lit,
            lamp_proven=lamp.proven,
            lamp_follows_ms=1000 * lamp.slowest if lamp.proven else None,
            clock=time.trust,
            now=time.now,
            other_time=self.gate.time.disagrees,
            reason=recorder.reason,
            case=permit.case if permit else "",
            permit=permit.id if permit else "",
            recording=film.recording if film else "",
            limit=recorder.lasts if film else 0.0,
            remaining=max(recorder.deadline - now, 0.0) if filming else 0.0,
            filmed_with=capture.filmed_with,
            brightness=capture.light,
            looks=capture.looks,
            frames_in=film.sink.pictures if film else 0,
            frames_missed=film.sink.missed if film else 0,
            frames_out=writer.frames if writer else 0,
            segments=writer.segments if writer else 0,
            bytes_sealed=writer.bytes if writer else 0,
            removable=until - now if removable else 0.0,
            ended=writer.ended if writer and capture.closed else None,
            sound=ear.level if ear else None,
            with_sound=ear is not None,
            minutes_free=self.space.seconds() / 60,
            camera=capture.camera.name,
            virtual=self.virtual,
            timings_ms=capture.timings,
            answers=dict(self.inbox.answers),
        )


class Runner:
    """Carries out what the machine says, in one thread; any thread may put into its queue."""

    def __init__(
        self,
        parts: Parts,
        queue: "SimpleQueue[Posted]",
        debounce: Debounce,
        tell: Callable[[RecorderStatus], None],
    ) -> None:
        """`tell` gets the live status; it may raise OSError."""
        self._parts = parts
        self._recorder = parts.recorder
        self._capture, self._gate, self._inbox = parts.capture, parts.gate, parts.inbox
        self._log = parts.log
        self._clock = parts.gate.time.clock
        self._queue = queue
        self._debounce = debounce
        self._tell = tell
        self._at = self._clock.monotonic()
        """When what is being carried out happened."""
        self._next_look = self._next_tell = float("-inf")
        self._quitting = False
        self._do: Mapping[type[Effect], Callable[[Any], None]] = {
            Show: self._show,
            Judge: self._judge,
            Refuse: lambda effect: self._log.write("refused", reason=effect.reason.value),
            BeginFilm: self._begin,
            OpenCamera: lambda effect: self._capture.start(),
            OpenPreview: lambda effect: self._capture.frame(effect.sound),
            CloseCamera: lambda effect: self._capture.stop(self._at),
            FinishFilm: self._finish,
            RemoveFilm: lambda effect: self._parts.removals.by_button(effect.recording),
            Confirm: self._confirm,
            Decline: self._decline,
            Die: self._die,
        }

    def run(self, alive: Callable[[], None]) -> None:
        """Work until asked to quit. `alive` is called after every round, at least each second.

        Raises CameraFailed if the process must end because the camera cannot be closed otherwise.
        """
        self.start()
        while not (self._quitting and self._recorder.state not in (State.FILMING, State.STOPPING)):
            wait = self.work()
            alive()
            try:
                self._take(self._queue.get(timeout=wait))
            except Empty:
                continue
        with suppress(LightFailed):
            self._parts.light.show(Pattern.OFF)

    def start(self) -> None:
        """Do what comes before the first event."""
        self._carry_out(self._recorder.start())

    def work(self) -> float:
        """Do everything that has come in or is due; returns the seconds until more is due."""
        while not self._queue.empty():
            self._take(self._queue.get())
        now = self._clock.monotonic()
        for told in self._debounce.settle(now):
            self._handle(told)
        if self._recorder.due is not None and now >= self._recorder.due:
            self._handle(Ticked(now))
        if now >= self._next_look:
            self._next_look = now + LOOK_EVERY
            self._look(now)
        if (why := self._capture.stalled(now, self._recorder.state)) is not None:
            self._handle(Broke(now, why))
        if now >= self._next_tell:
            seen = not self._capture.closed or self._recorder.state is State.PREVIEW
            self._next_tell = now + (TELL_EVERY if seen else LOOK_EVERY)
            self._tell(self._parts.status())
        due = [self._next_look, self._next_tell, self._recorder.due, self._debounce.due]
        return max(min(t for t in due if t is not None) - self._clock.monotonic(), 0.0)

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
            if not self._capture.closed and self._capture.film is not None:
                event = self._note_end(event, self._capture.film)
        if isinstance(event, Broke | Failed):
            self._write_log("broke", fault=event.fault.value)
        self._carry_out(self._recorder.handle(event))

    def _carry_out(self, effects: list[Effect]) -> None:
        for effect in effects:
            try:
                self._do[type(effect)](effect)
            except Died:
                raise
            except (KitError, OSError) as error:
                _errors.exception("%s could not be done", type(effect).__name__)
                fault = FAULTS.get(type(effect), EndReason.FAULT)
                if isinstance(error, SoundFailed):
                    fault = EndReason.SOUND_FAILED
                self._handle(Failed(self._clock.monotonic(), effect, fault))
                return

    def _show(self, effect: Show) -> None:
        self._parts.light.show(effect.pattern)
        if effect.pattern is Pattern.FILMING:
            self._capture.lit(self._at)

    def _judge(self, effect: Judge) -> None:
        now = self._clock.monotonic()
        if effect.pressed and now - self._at > ANSWERED_WITHIN:
            # This thread hung meanwhile, on the card perhaps.
            self._handle(Judged(now, PressRefusal.TOO_LATE, effect.pressed))
            return
        answer = self._gate.answer(reserve=effect.pressed)
        self._handle(Judged(self._at, answer, effect.pressed, self._gate.left(answer)))
        if effect.pressed and self._recorder.state not in (State.FILMING, State.STOPPING):
            self._give_back()

    def _begin(self, effect: BeginFilm) -> None:
        permit = effect.permit
        # Counted before anything is seen: a film that fails was one of those agreed, too.
        self._gate.count(permit)
        film = self._capture.begin(permit)
        self._log.write("film-begun", recording=film.recording, case=permit.case, permit=permit.id)

    def _finish(self, effect: FinishFilm) -> None:
        if effect.why is EndReason.DISK_FAILED:
            # The film's own end needs space, too.
            self._give_back()
        self._capture.finish(effect.why)

    def _confirm(self, effect: Confirm) -> None:
        if isinstance(self._inbox.confirm(effect.request), FactoryReset):
            self._quitting = True

    def _decline(self, effect: Decline) -> None:
        self._inbox.answer(effect.request, "timed-out" if effect.timed_out else "refused")

    def _die(self, effect: Die) -> None:
        self._write_log("died", fault=effect.fault.value)
        self._tell(self._parts.status())
        raise Died("The camera or the card does not let go; the recorder starts anew.")

    def _note_end(self, event: FilmClosed, film: Film) -> FilmClosed:
        self._capture.closed = True
        ended = film.writer.ended or event.fault or EndReason.FAULT
        self._write_log("film-ended", recording=film.recording, why=ended.value)
        removable = self._parts.removals.may_remove(film.recording)
        return replace(event, film=film.recording if removable else "")

    def _give_back(self) -> None:
        """Free what the film did not need; if the card refuses, the next start does it."""
        try:
            self._parts.space.release()
        except OSError:
            _errors.exception("the space that was held could not be given back")

    def _look(self, now: float) -> None:
        """See what the page and the service have written, and whether the permit still stands."""
        try:
            if self._inbox.look(self._handle):
                self._next_tell = float("-inf")
            if self._recorder.state is State.FILMING and self._capture.film is not None:
                permit = self._capture.film.permit
                if self._gate.withdrawn(permit.case):
                    self._handle(StopAsked(now, EndReason.WITHDRAWN))
                elif not self._gate.armed(permit):
                    self._handle(StopAsked(now, EndReason.PAGE))
            elif self._recorder.state in _JUDGED:
                before, told = (self._recorder.state, self._recorder.reason), self._next_tell
                self._handle(Judged(now, self._gate.answer(), pressed=False))
                if before == (self._recorder.state, self._recorder.reason):
                    self._next_tell = told
            if self._capture.closed:
                self._parts.removals.look()
        except Died:
            raise
        except (KitError, OSError):
            _errors.exception("what the page wrote could not be taken in")
            self._handle(Broke(now, EndReason.DISK_FAILED))

    def _write_log(self, event: audit.Event, **ids: str) -> None:
        """Log where a card that refuses must not keep anything from being done."""
        try:
            self._log.write(event, **ids)
        except KitError:
            _errors.exception("the log could not be written")


class Died(KitError):
    """The process must end at once."""

    code = "died"
