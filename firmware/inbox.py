"""What the page and the service wrote for the recorder, and what becomes of it.

Each request is read once, believed as far as it proves itself, and answered in the live status.
"""

from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from inotify_simple import INotify, flags

from appliance import factory_reset
from appliance.errors import BadFile
from appliance.film.manifest import EndReason
from appliance.protocol.orders import Reset
from appliance.protocol.permits import PressRefusal
from appliance.protocol.requests import (
    FRESH_SECONDS,
    CorrectTime,
    Enrol,
    FactoryReset,
    LetIn,
    NeedsPress,
    Preview,
    Remove,
    Renew,
    Request,
    SetTime,
    Stop,
    read_request,
)
from appliance.protocol.status import Answer, State
from appliance.records import audit
from appliance.records.audit import Log
from appliance.records.files import Home, checked_id, some_of
from firmware.books import KitBooks
from firmware.capture import Capture
from firmware.gate import Gate
from firmware.recorder import Event, Judged, PresenceAsked, PreviewAsked, Recorder, StopAsked
from firmware.removing import Removals

_REMEMBERED = 100
"""Requests whose answers are told."""
_MOST_LYING = 1000
"""Requests that are seen: the page clears them away after two minutes, and no button waits."""
_AT_ONCE = 10
"""Requests that are read at one look, for the same reason: the others wait for the next."""
_MOST_WATCHED = 5000
"""Cases in which a change is noticed at once; in more than that, within a second."""

Handle = Callable[[Event], None]
"""Gives an event to the state machine and carries out what follows."""


class Inbox:
    """Requests and revocations, and the answers to requests. The runner's thread."""

    def __init__(
        self,
        home: Home,
        recorder: Recorder,
        capture: Capture,
        gate: Gate,
        books: KitBooks,
        removals: Removals,
        log: Log,
    ) -> None:
        self._home = home
        self._recorder = recorder
        self._capture = capture
        self._gate = gate
        self._time = gate.time
        self._clock = gate.time.clock
        self._books = books
        self._removals = removals
        self._log = log
        self._since = self._clock.read().boottime
        self.answers: dict[str, Answer] = {}
        self._read: set[str] = set()
        """Names of those that lie there and were answered, or cannot be: none is done twice."""
        self._waiting: dict[str, NeedsPress] = {}
        self._refused: set[tuple[str, ...]] = set()
        """What was refused and is in the log."""
        self._handlers: Mapping[type[Request], Callable[[Any, Handle], None]] = {
            Stop: self._stop,
            Preview: self._frame,
            Remove: self._remove,
            LetIn: self._let_in,
            SetTime: self._set_time,
            Enrol: self._ask_for_press,
            Renew: self._ask_for_press,
            CorrectTime: self._ask_for_press,
            FactoryReset: self._ask_for_press,
        }

    def look(self, handle: Handle) -> bool:
        """Carry out what came since; returns whether there was a request. Raises KitError or
        OSError if that cannot be done."""
        for number in self._books.follow():
            self._log.write("service-card", number=f"{number:04}")
        self._books.take_roster()
        for name in self._books.revoke():
            self._log.write("revoked", practitioner=name)
            # A permit may lie there for a case whose key they have kept.
            self._gate.take_away()
        requests = self.new()
        for request in requests:
            self._handlers[type(request)](request, handle)
        return bool(requests)

    def new(self) -> list[Request]:
        """Requests that came since, oldest first, each of this boot and not too old.

        What was asked of a recorder that ended meanwhile was meant for that one; only the time,
        which proves itself, still holds.
        """
        now = self._clock.read()
        found: list[Request] = []
        lie_there = some_of(self._home.web_requests, _MOST_LYING)
        self._read &= {path.name for path in lie_there}
        unread = [p for p in lie_there if p.suffix == ".json" and p.name not in self._read]
        for path in unread[:_AT_ONCE]:
            try:
                checked_id(path.stem)
                request = read_request(path)
            except BadFile:
                self._read.add(path.name)
                continue
            meant = request.boottime >= self._since or isinstance(request, SetTime)
            if meant and now.is_within(FRESH_SECONDS, request):
                found.append(request)
            else:
                self.answer(request.id, "refused")
        return sorted(found, key=lambda request: request.boottime)

    def answer(self, request: str, answer: Answer) -> None:
        """Say what became of a request."""
        if answer != "waiting":
            self._waiting.pop(request, None)
        self.answers[request] = answer
        self._read.add(f"{request}.json")
        for name in list(self.answers)[:-_REMEMBERED]:
            del self.answers[name]

    def confirm(self, request: str) -> NeedsPress | None:
        """Do what waited for a press; returns it, or None if it was not done."""
        # None if it was asked twice, and so declined meanwhile.
        asked = self._waiting.pop(request, None)
        # Until it is on the card.
        self.answer(request, "refused")
        if asked is None or not self._confirmed(asked):
            return None
        self.answer(request, "done")
        return asked

    def _say(self, request: Request, done: bool) -> None:
        self.answer(request.id, "done" if done else "refused")

    def _stop(self, request: Stop, handle: Handle) -> None:
        self._say(request, True)
        handle(StopAsked(self._clock.monotonic(), EndReason.PAGE))

    def _frame(self, request: Preview, handle: Handle) -> None:
        """Open or close the camera for framing; while the camera is being loaded, that waits."""
        now = self._clock.monotonic()
        if request.closely:
            looks = self._recorder.state is State.PREVIEW and self._gate.may_frame(request.note)
            if looks:
                self._capture.look_closely()
            self._say(request, looks)
            return
        if request.open and self._gate.may_frame(request.note):
            answer = self._gate.answer()
            if answer is PressRefusal.CAMERA_LOADING:
                return
            handle(PreviewAsked(now, answer, self._gate.left(answer)))
        elif not request.open and self._recorder.state is State.PREVIEW:
            handle(StopAsked(now, EndReason.PAGE))
        self._say(request, (self._recorder.state is State.PREVIEW) is request.open)

    def _remove(self, request: Remove, handle: Handle) -> None:
        self._say(request, self._capture.closed and self._removals.ordered(request.note))

    def _let_in(self, request: LetIn, handle: Handle) -> None:
        self._say(request, bool(self._books.let_in(request.note)))

    def _set_time(self, request: SetTime, handle: Handle) -> None:
        believed = self._time.vouch(request.note)
        self._say(request, believed)
        if not believed:
            self._log_once("time-not-believed")

    def _ask_for_press(self, request: NeedsPress, handle: Handle) -> None:
        if not self._may_be_pressed_for(request):
            self._say(request, False)
            return
        now = self._clock.monotonic()
        if self._recorder.state is State.READY:
            # The page may have taken the permit away to ask this: look before asking.
            handle(Judged(now, self._gate.answer(), pressed=False))
        self._waiting[request.id] = request
        self.answer(request.id, "waiting")
        handle(PresenceAsked(now, request.id))

    def _may_be_pressed_for(self, asked: NeedsPress) -> bool:
        """True if a press would do it."""
        match asked:
            case Enrol():
                return self._books.may_enrol(asked.service, asked.ceilings, asked.cards)
            case Renew():
                return self._books.read_renewed(asked.note) is not None
            case CorrectTime():
                believed = self._time.correction(asked.note) is not None
                if not believed:
                    self._log_once("time-not-believed")
                return believed
            case FactoryReset():
                return self._reset_order(asked) is not None

    def _confirmed(self, asked: NeedsPress) -> bool:
        """Do what waited for a press. False if it does not count any more: in this minute somebody
        was revoked, or a film made."""
        match asked:
            case Enrol():
                self._books.enrol(asked.service, asked.practitioner, asked.ceilings, asked.cards)
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
                order = self._reset_order(asked)
                if order is None:
                    return False
                self._log.write("reset-begun", order=f"{order.number:06}")
                # Nothing can undo it; the recorder ends, and goes on with it when it starts.
                now = self._clock.read().wall
                factory_reset.begin(self._home, asked.note, self._books.signer, now)
        return True

    def _reset_order(self, asked: FactoryReset) -> Reset | None:
        """The order, if it counts. While a film is made it does not: checking that everything was
        sent takes long, and the button must not wait."""
        if not self._capture.closed:
            self._log_once("reset-refused", reason="filming")
            return None
        enrolled = self._books.enrolled
        service = enrolled.chain if enrolled else None
        order = factory_reset.judge(
            asked.note, self._books.kit, service, self._home, self._time.now
        )
        if isinstance(order, Reset):
            return order
        self._log_once("reset-refused", reason=order.value)
        return None

    def _log_once(self, event: audit.Event, **ids: str) -> None:
        """Log once in this process what a locked page could ask for until the card is full."""
        if (event, *ids.values()) not in self._refused:
            self._refused.add((event, *ids.values()))
            self._log.write(event, **ids)


def watch(home: Home, notice: Callable[[], None]) -> None:
    """Call `notice` whenever something was written for the recorder, for ever; for a thread of its
    own.

    Directories that are not there yet are looked for again each second.
    """
    wanted = flags.CREATE | flags.MOVED_TO | flags.MOVED_FROM | flags.DELETE
    with INotify() as changes:
        while True:
            places = home.permits, home.web_requests, home.inbox, home.cases
            for directory in (*places, *some_of(home.cases, _MOST_WATCHED)):
                # Watching again what is watched changes nothing. What is gone, or no directory, or
                # one too many of them, is looked at each second like the rest.
                with suppress(OSError):
                    changes.add_watch(directory, wanted | flags.ONLYDIR)
            if changes.read(timeout=1000):
                notice()
