"""The gate in front of the camera, and the desk where the page's requests lie.

Both read what another process wrote and believe none of it. `appliance.protocol.permits.judge`
holds the rules of a permit; what is added here is what only the machine knows: withdrawn cases,
room on the card, whether light and camera work.
"""

from collections.abc import Callable
from contextlib import suppress
from datetime import datetime

from inotify_simple import INotify, flags

from appliance.errors import BadFile, BadInput
from appliance.protocol.case_record import CaseRecord, is_withdrawn
from appliance.protocol.permits import Permit, PressRefusal, judge
from appliance.protocol.requests import (
    FRESH_SECONDS,
    Framing,
    NeedsPress,
    Request,
    SetTime,
    read_request,
)
from appliance.protocol.status import AT_BASE_SECONDS, Answer, AtBase
from appliance.records.audit import Log
from appliance.records.clock import (
    Clock,
    Correction,
    Judgement,
    Sources,
    Trust,
    Vouch,
    by_machine,
    disagrees,
    read_sources,
)
from appliance.records.clock import judge as judge_clock
from appliance.records.files import Home, checked_id, from_json, load_fact, read_plain, some_of
from appliance.records.signing import Verifier, open_fact
from firmware.board import Board
from firmware.books import KitBooks
from firmware.room import Room

_LARGEST_PERMIT = 64 * 1024
_REMEMBERED = 100
"""Requests whose answers are told."""
_MOST_LYING = 1000
"""Requests that may lie there: the page clears them away after two minutes. What is more is not
seen, for the button must not wait for it."""
_AT_ONCE = 10
"""Requests that are read at one look, for the same reason: the others wait for the next."""
_MOST_WATCHED = 5000
"""Cases in which a change is noticed at once; in more than that, within a second."""


class Gate:
    """Answers whether a press may film now. One thread only."""

    def __init__(
        self,
        home: Home,
        books: KitBooks,
        clock: Clock,
        log: Log,
        room: Room,
        board: Board,
        light_works: Callable[[], bool],
        camera_present: Callable[[], bool],
        hears: Callable[[], bool],
        sources: Callable[[], Sources] = Sources,
        camera_loading: Callable[[], bool] = lambda: False,
    ) -> None:
        """`sources`: what this machine has besides its boot clock, for a while nobody vouched.
        `camera_loading`: asked as soon as a permit is in force; while it is, nothing is asked of
        the camera."""
        self._home = home
        self._books = books
        self._clock = clock
        self._log = log
        self._room = room
        self._board = board
        self._light_works = light_works
        self._camera_present = camera_present
        self._hears = hears
        self._sources = sources
        self._camera_loading = camera_loading
        self._vouch: Vouch | None = None
        self._reckoned: Vouch | None = None
        """What a machine said when it was first believed; the boot clock goes on from it."""
        self.disagrees: datetime | None = None
        """What the machine's clock said when somebody vouched for another time."""
        self._armed = ""
        """The permit that was last found in force."""

    def time(self) -> Judgement:
        """What time it is, as far as that can be believed."""
        reading, known = self._clock.read(), self._vouch or self._reckoned
        if known is not None:
            return judge_clock(reading, known, self._books.mark)
        sources = self._sources()
        judged = judge_clock(reading, None, self._books.mark, sources, self._books.kept)
        if judged.now is not None:
            self._reckoned = Vouch(
                kit=self._books.kit,
                time=judged.now,
                boot=reading.boot,
                boottime=reading.boottime,
            )
            self._log.write("time-by-machine", network=str(sources.from_network))
        return judged

    def other_time(self) -> datetime | None:
        """What a machine's clock says, where that is not the time that is trusted."""
        told = by_machine(self._clock.read(), self._sources(), self._books.kept)
        return told if disagrees(self.time(), told) else None

    def vouch(self, note: str) -> bool:
        """Take an unlocked practitioner's word for the time. False if it cannot be believed.

        One that is older than the word that counts does not: whoever kept it would undo what was
        said since.
        """
        said = self._books.word(note, Vouch)
        if said is None:
            return False
        vouch, _ = said
        judged = judge_clock(self._clock.read(), vouch, self._books.mark)
        if judged.trust is not Trust.TRUSTED:
            return False
        known = self._vouch
        if known == vouch:
            return True
        if known and known.boot == vouch.boot and vouch.boottime < known.boottime:
            return False
        self._log.write("time-vouched")
        self._vouch = vouch
        self._books.note_time(judged)
        self.disagrees = self.other_time()
        # From now on the chip counts on from a person's word.
        self._books.keep_chip(judged, self._sources().chip)
        return True

    def may_correct(self, note: str) -> bool:
        """True if a press may put the time right as this note says."""
        return self._correction(note) is not None

    def correct(self, note: str) -> bool:
        """Put the time right, whatever this kit was sure of before: somebody has pressed for it.

        False if the note is not to be believed. Whatever was armed under the other time must be
        armed anew. Raises NotPossible.
        """
        found = self._correction(note)
        if found is None:
            return False
        vouch, signed_by = found
        if self._armed:
            self._disarm()
        self._log.write("clock-corrected", practitioner=signed_by)
        judged = judge_clock(self._clock.read(), vouch, None)
        self._books.correct_time(judged)
        self._books.keep_chip(judged, self._sources().chip)
        self._vouch = vouch
        self.disagrees = self.other_time()
        return True

    def may_frame(self, note: str) -> bool:
        """True if a practitioner who is unlocked asks to see what the camera sees."""
        said, reading = self._books.word(note, Framing), self._clock.read()
        if said is None:
            return False
        framing, _ = said
        age = reading.boottime - framing.boottime
        return framing.boot == reading.boot and 0 <= age <= FRESH_SECONDS

    def _correction(self, note: str) -> tuple[Vouch, str] | None:
        """What a note says, and whose word it is; None if it is not to be believed."""
        said, reading = self._books.word(note, Correction), self._clock.read()
        if said is None:
            return None
        told, by = said
        vouch = Vouch(kit=told.kit, time=told.time, boot=told.boot, boottime=told.boottime)
        # It waits for a press, but is kept for no other day.
        fresh = reading.boottime - vouch.boottime <= 2 * FRESH_SECONDS
        right = judge_clock(reading, vouch, None).trust is Trust.TRUSTED
        return (vouch, by) if fresh and right else None

    def answer(self, reserve: bool = False) -> Permit | PressRefusal:
        """The permit in force, or why there is none. Anything in doubt is a refusal.

        `reserve`: with a permit, room for its whole film is held. Raises OSError where the card
        refuses more than that.
        """
        note = self._permit_note()
        now = self.time()
        if self._books.note_time(now):
            self._books.keep_chip(now, self._sources().chip)
        answer = judge(
            note,
            kit=self._books.kit,
            enrolled=self._books.enrolled,
            books=self._books.books,
            boot=self._clock.read().boot,
            clock=now,
        )
        self._note_disarmed(note, answer)
        if isinstance(answer, PressRefusal):
            return answer
        if self.withdrawn(answer.case):
            return PressRefusal.WITHDRAWN
        if answer.case in self._books.books.closed:
            return PressRefusal.CASE_CLOSED
        if self._room.seconds() < answer.limit:
            return PressRefusal.CARD_FULL
        if not self._light_works():
            return PressRefusal.LIGHT_BROKEN
        if self._camera_loading():
            return PressRefusal.CAMERA_LOADING
        if not self._camera_present():
            return PressRefusal.CAMERA_MISSING
        if answer.sound and not self._hears():
            return PressRefusal.NO_MICROPHONE
        if (trouble := self._board.trouble()) is not None:
            return trouble
        if reserve and not self._room.reserve(answer.limit):
            return PressRefusal.CARD_FULL
        return answer

    def signer(self, permit: Permit) -> Verifier | None:
        """Whose order to film this is; None if it does not lie there any more."""
        enrolled = self._books.enrolled
        try:
            found, by = open_fact(
                self._permit_note() or "",
                [card.verifying_key() for card in enrolled.practitioners] if enrolled else [],
                Permit,
            )
            return by if found == permit else None
        except BadInput:
            return None

    def left(self, answer: Permit | PressRefusal) -> float:
        """Seconds until what was agreed to ends, by the time that is trusted now."""
        return answer.left(self.time().now) if isinstance(answer, Permit) else 0.0

    def take_away(self) -> None:
        """Whatever lies there as a permit never counts again."""
        text, _, _ = (self._permit_note() or "").partition("\n\n")
        with suppress(BadFile):
            self._books.disarm(checked_id(from_json(text, Permit).id))

    def armed(self, permit: Permit) -> bool:
        """False once this permit was taken away, or another lies there, or one that says less."""
        text, _, _ = (self._permit_note() or "").partition("\n\n")
        try:
            return from_json(text, Permit) == permit
        except BadFile:
            return False

    def withdrawn(self, case: str) -> bool:
        """True if the case is closed for good, or does not say that it is not."""
        try:
            directory = self._home.case(case)
            record = load_fact(directory.record, CaseRecord)
            withdrawn = is_withdrawn(directory)
        except (BadFile, OSError):
            return True
        # Another family's record in its place says nothing of this one.
        open_still = record is not None and record.id == case and record.state != "withdrawn"
        return withdrawn or not open_still

    def _permit_note(self) -> str | None:
        try:
            data = read_plain(self._home.permit, _LARGEST_PERMIT)
        except FileNotFoundError:
            return None
        except BadFile:
            return ""
        # What is not text is no note: the judge says so.
        return data.decode(errors="replace")

    def _note_disarmed(self, note: str | None, answer: Permit | PressRefusal) -> None:
        """A permit that was in force and is gone, or has made way for another, is used up."""
        if isinstance(answer, Permit):
            now_armed = answer.id
        elif note is None:
            now_armed = ""
        else:
            return
        if self._armed and self._armed != now_armed:
            self._disarm()
        if now_armed and self._armed != now_armed:
            self._log.write("armed", permit=now_armed)
        self._armed = now_armed

    def _disarm(self) -> None:
        self._books.disarm(self._armed)
        self._log.write("disarmed", permit=self._armed)
        self._armed = ""


def machine_sources(home: Home, clock: Clock) -> Sources:
    """What this machine has besides its boot clock. The network's time counts only while a
    practitioner has said that the kit is at base: a home's network could say anything."""
    now, said = clock.read(), None
    with suppress(BadFile, OSError):
        said = load_fact(home.at_base, AtBase)
    at_base = (
        said is not None
        and said.boot == now.boot
        and 0 <= now.boottime - said.boottime <= AT_BASE_SECONDS
    )
    return read_sources(at_base)


class Desk:
    """The page's requests, each read once, and what became of them. One thread only."""

    def __init__(self, home: Home, clock: Clock) -> None:
        self._directory = home.web_requests
        self._clock = clock
        self._since = clock.read().boottime
        self.answers: dict[str, Answer] = {}
        self._read: set[str] = set()
        """Names of those that lie there and were answered, or cannot be: none is done twice."""
        self._waiting: dict[str, NeedsPress] = {}

    def new(self) -> list[Request]:
        """Requests that came since, oldest first, each of this boot and not too old.

        What was asked of a recorder that ended meanwhile was meant for that one; only the time,
        which proves itself, still holds.
        """
        now = self._clock.read()
        found: list[Request] = []
        lie_there = some_of(self._directory, _MOST_LYING)
        self._read &= {path.name for path in lie_there}
        unread = [p for p in lie_there if p.suffix == ".json" and p.name not in self._read]
        for path in unread[:_AT_ONCE]:
            try:
                checked_id(path.stem)
                request = read_request(path)
            except BadFile:
                self._read.add(path.name)
                continue
            age = now.boottime - request.boottime
            meant = request.boottime >= self._since or isinstance(request, SetTime)
            if meant and request.boot == now.boot and 0 <= age <= FRESH_SECONDS:
                found.append(request)
            else:
                self.answer(request.id, "refused")
        return sorted(found, key=lambda request: request.boottime)

    def wait(self, request: NeedsPress) -> None:
        """Keep a request until somebody presses."""
        self._waiting[request.id] = request
        self.answer(request.id, "waiting")

    def take(self, request: str) -> NeedsPress | None:
        """The request that was waiting under this id; None if it was asked twice, and so declined
        meanwhile."""
        return self._waiting.pop(request, None)

    def answer(self, request: str, answer: Answer) -> None:
        """Say what became of a request."""
        if answer != "waiting":
            self._waiting.pop(request, None)
        self.answers[request] = answer
        self._read.add(f"{request}.json")
        for name in list(self.answers)[:-_REMEMBERED]:
            del self.answers[name]


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
