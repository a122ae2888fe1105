"""The gate in front of the camera: it reads what another process wrote and believes none of it.

`appliance.protocol.permits.judge` holds the rules of a permit; added here is what only this kit
knows: withdrawn cases, free space, whether light and camera work.
"""

from collections.abc import Callable
from contextlib import suppress

from appliance.errors import BadFile, BadInput
from appliance.protocol.case_record import CaseRecord, is_withdrawn
from appliance.protocol.permits import Permit, PressRefusal, judge
from appliance.protocol.requests import FRESH_SECONDS, Framing
from appliance.records.audit import Log
from appliance.records.files import Home, checked_id, load_fact, read_plain
from appliance.records.signing import Verifier, fact_in, open_fact
from firmware.books import KitBooks
from firmware.free_space import FreeSpace
from firmware.timekeeper import Timekeeper

_LARGEST_PERMIT = 64 * 1024


class Gate:
    """Answers whether a press may film now. One thread only."""

    def __init__(
        self,
        home: Home,
        books: KitBooks,
        log: Log,
        time: Timekeeper,
        space: FreeSpace,
        trouble: Callable[[bool], PressRefusal | None],
    ) -> None:
        """`trouble`: why what a film needs would not work now, with sound or without."""
        self.time = time
        self._home = home
        self._books = books
        self._log = log
        self._space = space
        self._trouble = trouble
        self._armed = ""
        """The permit that was last found in force."""

    def answer(self, reserve: bool = False) -> Permit | PressRefusal:
        """The permit in force, or why there is none. Anything in doubt is a refusal.

        `reserve`: with a permit, space for its whole film is held. Raises OSError where the card
        refuses more than that.
        """
        note = self._permit_note()
        now = self.time.read()
        self.time.keep(now)
        answer = judge(
            note,
            kit=self._books.kit,
            enrolled=self._books.enrolled,
            books=self._books.books,
            boot=self.time.clock.read().boot,
            clock=now,
        )
        self._note_disarmed(note, answer)
        if isinstance(answer, PressRefusal):
            return answer
        if (away := self._books.away(self.time.now)) is not None:
            return away
        if self.withdrawn(answer.case):
            return PressRefusal.WITHDRAWN
        if answer.case in self._books.books.closed:
            return PressRefusal.CASE_CLOSED
        if self._space.seconds() < answer.limit:
            return PressRefusal.CARD_FULL
        if (trouble := self._trouble(answer.sound)) is not None:
            return trouble
        if reserve and not self._space.reserve(answer.limit):
            return PressRefusal.CARD_FULL
        return answer

    def may_frame(self, note: str) -> bool:
        """True if a practitioner who is unlocked asks to see what the camera sees."""
        said = self._books.word(note, Framing)
        return said is not None and self.time.clock.read().is_within(FRESH_SECONDS, said[0])

    def correct(self, note: str) -> bool:
        """Put the time right, as somebody pressed for; False if the note is not to be believed.

        What was armed under the other time must be armed anew. Raises NotPossible.
        """
        correction = self.time.correction(note)
        if correction is None:
            return False
        self._disarm()
        self.time.correct(*correction)
        return True

    def count(self, permit: Permit) -> None:
        """A film begins under this permit."""
        self._books.count_film(permit, self.signer(permit))

    def signer(self, permit: Permit) -> Verifier | None:
        """Whose order to film this is; None if it does not lie there any more."""
        try:
            found, by = open_fact(self._permit_note() or "", self._books.verifiers, Permit)
        except BadInput:
            return None
        return by if found == permit else None

    def left(self, answer: Permit | PressRefusal) -> float:
        """Seconds until what was agreed to ends, by the time that is trusted now."""
        return answer.left(self.time.now) if isinstance(answer, Permit) else 0.0

    def take_away(self) -> None:
        """Whatever lies there as a permit never counts again."""
        with suppress(BadFile):
            self._books.disarm(checked_id(self._lying_there().id))

    def armed(self, permit: Permit) -> bool:
        """False once this permit was taken away, or another lies there, or one that says less."""
        try:
            return self._lying_there() == permit
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

    def _lying_there(self) -> Permit:
        """The permit in its place, whoever signed it. Raises BadFile if there is none."""
        return fact_in(self._permit_note() or "", Permit)

    def _permit_note(self) -> str | None:
        try:
            data = read_plain(self._home.permit, _LARGEST_PERMIT)
        except FileNotFoundError:
            return None
        except BadFile:
            return ""
        # What is not text is not a note: the judge says so.
        return data.decode(errors="replace")

    def _note_disarmed(self, note: str | None, answer: Permit | PressRefusal) -> None:
        """A permit that was in force and is gone, or has made way for another, is used up."""
        if isinstance(answer, Permit):
            now_armed = answer.id
        elif note is None:
            now_armed = ""
        else:
            return
        if self._armed == now_armed:
            return
        self._disarm()
        if now_armed:
            self._log.write("armed", permit=now_armed)
        self._armed = now_armed

    def _disarm(self) -> None:
        """The permit that is in force, if there is one, counts no more."""
        if self._armed:
            self._books.disarm(self._armed)
            self._log.write("disarmed", permit=self._armed)
            self._armed = ""
