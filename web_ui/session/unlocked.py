"""Whoever is unlocked: their keys, and what they have open."""

import threading
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

from appliance.casework.consent_draft import ConsentDraft
from appliance.casework.shares import Received, received
from appliance.errors import CaseWithdrawn, NoMatch, NotOpened
from appliance.protocol.cards import Card
from appliance.protocol.case_record import CaseRecord, is_withdrawn
from appliance.protocol.enrolment import Enrolled
from appliance.protocol.readmission import ReadmissionRefusal
from appliance.records.clock import Clock, Vouch
from appliance.records.files import Home
from appliance.records.signing import Verifier
from appliance.vault.cases import Cases, Details, OpenCase
from appliance.vault.keys import PrivateKeys
from web_ui.player.open_films import Viewing
from web_ui.session.copying import Copying
from web_ui.session.jobs import Work


class Practitioner:
    """Whoever is unlocked: their keys, and what they have open. Any thread."""

    def __init__(
        self,
        keys: PrivateKeys,
        card: Card,
        enrolled: Enrolled,
        vouch: Vouch,
        kit: Sequence[Verifier],
        home: Home,
        clock: Clock,
        settle: Callable[["Practitioner", OpenCase], OpenCase],
    ) -> None:
        """`kit`: the verifying key of this kit's recorder. `settle` prepares every case before it
        is used."""
        self.kit = tuple(kit)
        self.keys = keys
        self.card = card
        self.service = enrolled.chain
        self.verifiers = tuple(
            p.verifying_key() for p in (*enrolled.practitioners, *enrolled.former)
        )
        self.vouch = vouch
        self.viewing = Viewing(home, kit, self.verifiers, lambda: self.now(clock))
        self.work = Work()
        self.copying = Copying()
        self.word_said: set[str] = set()
        """The case whose family said its check word last since the unlock. It alone may be filmed
        and shown."""
        self.letting_in = threading.Lock()
        """Held by whoever takes in what the service sent for them (`housekeeping.let_in`)."""
        self.let_in: set[str] = set()
        """The cases that the service has let them into again since the unlock."""
        self.not_let_in: dict[int, ReadmissionRefusal] = {}
        """The service's orders to let them in that were refused since, by number."""
        self.here: dict[str, str] = {}
        """The consent of those who are here today, by case, as they said since the unlock."""
        self.refused: dict[str, tuple[object, ConsentDraft]] = {}
        """By case, a step of a consent and what was last refused there: in memory only, to be shown
        with what is wrong."""
        self._home = home
        self._cases = Cases(home, lambda: self.now(clock))
        self._settle = settle
        self._open: dict[str, OpenCase] = {}
        self._details: dict[str, Details] = {}
        self._lock = threading.RLock()
        self._gone = False

    def now(self, clock: Clock) -> datetime:
        """The time as vouched for at the unlock, reckoned on by the boot clock."""
        return self.vouch.time + timedelta(seconds=clock.read().boottime - self.vouch.boottime)

    def knows(self, name: str) -> bool:
        """True if there is such a case on this kit, whoever's it is."""
        return self._home.case(name).record.exists()

    def case(self, name: str) -> OpenCase:
        """A case with its key. Raises CaseWithdrawn, NoMatch or BadFile."""
        with self._lock:
            if self._gone:
                raise NotOpened("The page locked.")
            # The order counts as soon as it is on the card, whatever is still in memory.
            if is_withdrawn(self._home.case(name)):
                self.forget(name)
                raise CaseWithdrawn(
                    "The family has withdrawn consent. Nothing of theirs can be opened any more."
                )
            if name not in self._open:
                opened = self._cases.open(name, self.keys, self.verifiers)
                self._open[name] = self._settle(self, opened)
            return self._open[name]

    def settle(self) -> None:
        """Prepare what is open again: the service has revoked somebody since."""
        with self._lock:
            for name, opened in self._open.items():
                self._open[name] = self._settle(self, opened)

    def case_to_close(self, name: str) -> OpenCase:
        """A case with a damaged record, opened only to be taken back. It is not kept open."""
        with self._lock:
            if self._gone:
                raise NotOpened("The page locked.")
            return self._cases.open_to_close(name, self.keys, self.verifiers)

    def details(self, record: CaseRecord) -> Details | None:
        """The practitioner's name for a case; None if it is not theirs or is withdrawn."""
        with self._lock:
            try:
                if record.id not in self._details:
                    found = self.case(record.id).read(Details)
                    if found is None:
                        return None
                    self._details[record.id] = found
                return self._details[record.id]
            except (NoMatch, NotOpened):
                return None

    def received(self, case: str, share: str, clock: Clock) -> Received:
        """What is shared with them in a case that need not be theirs. Raises NotOpened once the
        page is locked, NoMatch if there is nothing, or no more, for them."""
        if self._gone:
            raise NotOpened("The page locked.")
        return received(self._home, case, share, self.keys.identities, self.now(clock))

    def forget(self, name: str) -> None:
        """Drop a case's key and close what it opened."""
        with self._lock:
            self._open.pop(name, None)
            self._details.pop(name, None)
            self.refused.pop(name, None)
        self.viewing.close(name)

    def close(self) -> None:
        """Drop everything. Whatever still uses this object gets no further."""
        with self._lock:
            self._gone = True
            self._open.clear()
            self._details.clear()
            self.refused.clear()
        self.work.close()
        self.copying.close()
        self.viewing.close()
