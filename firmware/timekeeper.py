"""What time it is on this kit, and who says so.

A practitioner's signed word counts before a machine's, and the newer word before the older. Each
note comes from another process and is believed only once it has been checked here.
"""

from collections.abc import Callable
from datetime import datetime

from appliance.protocol.requests import FRESH_SECONDS
from appliance.protocol.status import is_at_base
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
    judge,
    read_sources,
)
from appliance.records.files import Home
from firmware.books import KitBooks


class Timekeeper:
    """The recorder's idea of the time. One thread only."""

    def __init__(
        self, books: KitBooks, clock: Clock, log: Log, sources: Callable[[], Sources] = Sources
    ) -> None:
        """`sources`: what this machine has besides its boot clock, until somebody vouches."""
        self.clock = clock
        self._books = books
        self._log = log
        self._sources = sources
        self._vouch: Vouch | None = None
        self._reckoned: Vouch | None = None
        """What a machine said when it was first believed; the boot clock counts on from it."""
        self.disagrees: datetime | None = None
        """What the machine's clock said when somebody vouched for another time."""

    @property
    def now(self) -> datetime | None:
        """The time, where it is trusted."""
        return self.read().now

    def read(self) -> Judgement:
        """What time it is, as far as that can be believed."""
        reading, known = self.clock.read(), self._vouch or self._reckoned
        if known is not None:
            return judge(reading, known, self._books.mark)
        sources = self._sources()
        judged = judge(reading, None, self._books.mark, sources, self._books.kept)
        if judged.now is not None:
            self._reckoned = Vouch(
                kit=self._books.kit,
                time=judged.now,
                boot=reading.boot,
                boottime=reading.boottime,
            )
            self._log.write("time-by-machine", network=str(sources.from_network))
        return judged

    def keep(self, judged: Judgement) -> None:
        """Remember this time for later boots."""
        if self._books.note_time(judged):
            self._books.keep_chip(judged, self._sources().chip)

    def other_time(self) -> datetime | None:
        """What a machine's clock says, where that is not the time that is trusted."""
        told = by_machine(self.clock.read(), self._sources(), self._books.kept)
        return told if disagrees(self.read(), told) else None

    def vouch(self, note: str) -> bool:
        """Take an unlocked practitioner's word for the time. False if it cannot be believed.

        A word older than the one that counts is refused: it would undo what was said since.
        """
        said = self._books.word(note, Vouch)
        if said is None:
            return False
        vouch, _ = said
        judged = judge(self.clock.read(), vouch, self._books.mark)
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

    def correction(self, note: str) -> tuple[Vouch, str] | None:
        """What a `Correction` says and who signed it; None if it is not to be believed."""
        said, reading = self._books.word(note, Correction), self.clock.read()
        if said is None:
            return None
        told, by = said
        vouch = Vouch(kit=told.kit, time=told.time, boot=told.boot, boottime=told.boottime)
        # It waits for a press, but not until another day.
        fresh = reading.boottime - vouch.boottime <= 2 * FRESH_SECONDS
        right = judge(reading, vouch, None).trust is Trust.TRUSTED
        return (vouch, by) if fresh and right else None

    def correct(self, vouch: Vouch, signed_by: str) -> None:
        """Put the time right, however sure this kit was: somebody pressed. Raises NotPossible."""
        self._log.write("clock-corrected", practitioner=signed_by)
        judged = judge(self.clock.read(), vouch, None)
        self._books.correct_time(judged)
        self._books.keep_chip(judged, self._sources().chip)
        self._vouch = vouch
        self.disagrees = self.other_time()


def machine_sources(home: Home, clock: Clock) -> Sources:
    """What this machine has besides its boot clock. The network's time counts only while a
    practitioner says that the kit is at base: a home's network could say anything."""
    return read_sources(is_at_base(home, clock.read()))
