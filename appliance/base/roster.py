"""The service's roster at base: made once, then renewed by itself (`protocol.roster`).

    KEYS/roster/names.json      what people and kits are called, and their roles
    KEYS/roster/000001          each that was signed

Who is in it are the cards in practitioners/ and kits/; who left, those in revoked/.
"""

import hashlib
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path

import msgspec

from appliance.base.ledger import Kind, Ledger
from appliance.base.orders import put_note
from appliance.errors import BadInput, NotAFile
from appliance.protocol.cards import Card, KitCard
from appliance.protocol.enrolment import read_revocation
from appliance.protocol.roster import (
    LARGEST,
    PLACE,
    Left,
    Person,
    Role,
    Roster,
    RosterKit,
    read_roster,
    roster_object,
)
from appliance.records.files import Fact, Timestamp, load_fact, read_plain, save, save_fact
from appliance.records.signing import Signer, sign_fact
from appliance.stores.store import ServiceStore, read_small
from appliance.vault.keys import PrivateKeys

LASTS = timedelta(days=90)
"""How long a kit films that hears nothing."""
_RENEWED_AFTER = timedelta(days=7)


class NamedPerson(Fact, frozen=True, kw_only=True, tag="named-person/v1"):
    name: str = ""
    role: Role = "practitioner"


class NamedKit(Fact, frozen=True, kw_only=True, tag="named-kit/v1"):
    name: str = ""
    lost: Timestamp | None = None


class Names(Fact, frozen=True, kw_only=True, tag="names/v1"):
    """What the service calls its people, by the names on their cards, and its kits, by their
    ids."""

    people: dict[str, NamedPerson] = msgspec.field(default_factory=dict)
    kits: dict[str, NamedKit] = msgspec.field(default_factory=dict)

    def person(self, card: str) -> str:
        """How somebody is called, with what stands on their card."""
        called = self.people.get(card, NamedPerson()).name
        return f"{called} ({card})" if called else card

    def kit(self, kit: str) -> str:
        called = self.kits.get(kit, NamedKit()).name
        return f"{called} ({kit})" if called else kit


def load_names(folder: Path) -> Names:
    """What is written down in this folder of keys. Raises BadFile."""
    return load_fact(folder / "roster" / "names.json", Names) or Names()


def save_names(folder: Path, names: Names) -> None:
    place = folder / "roster"
    place.mkdir(mode=0o700, exist_ok=True)
    save_fact(place / "names.json", names, 0o600)


class Rosters:
    """Every roster that a service has signed. The ledger is held by whoever calls."""

    def __init__(self, folder: Path, keys: PrivateKeys, ledger: Ledger) -> None:
        self._folder = folder
        self._keys = keys
        self._signer: Signer = keys.signer
        self._ledger = ledger

    def newest(self) -> Roster | None:
        """The one in force; None where none was ever made."""
        for number in range(self._last, 0, -1):
            with suppress(BadInput, OSError):
                return self._read(number)[0]
        return None

    def publish(
        self,
        store: ServiceStore,
        people: Sequence[Card],
        former: Sequence[Card],
        kits: Sequence[KitCard],
        now: datetime,
    ) -> Roster:
        """Sign the next, and put it where kits look. Raises SendInterrupted, SendRefused,
        NotPossible."""
        self._adopt(store)
        roster = self._now(self._last + 1, people, former, kits, now)
        put_note(store, roster_object(roster.number), self._sign(roster))
        return roster

    def renew(
        self,
        store: ServiceStore,
        people: Sequence[Card],
        former: Sequence[Card],
        kits: Sequence[KitCard],
        now: datetime,
    ) -> None:
        """See that kits find each up to the newest, and nothing else under their names; sign
        another where somebody came or left, or a week has gone. Does nothing where there is none.
        Raises SendInterrupted, SendRefused, NotPossible."""
        self._adopt(store)
        last = self._last
        if not last:
            return
        # Whatever else lies there is nobody's: a kit looks for the next number. It goes first, for
        # what has a name that begins like ours takes ours along.
        ours = {roster_object(number) for number in range(1, last + 1)}
        for name in {entry.name for entry in store.list(PLACE)} - ours:
            store.purge(name)
        # Again, for those that went along.
        there = {entry.name: entry.size for entry in store.list(PLACE)}
        for number in range(1, last + 1):
            where, path = roster_object(number), self._path(number)
            try:
                if path.stat().st_size == there.get(where):
                    continue
                note = self._read(number)[1]
            except (BadInput, OSError):
                # No kit goes past a number under which nothing lies.
                note = self._sign(self._now(number, people, former, kits, now))
            put_note(store, where, note)
        newest = self.newest()
        if newest is not None and newest.number == last:
            wanted = self._now(newest.number, people, former, kits, now)
            same = msgspec.structs.replace(wanted, at=newest.at, ends=newest.ends) == newest
            recent = timedelta(0) <= now - newest.at < _RENEWED_AFTER
            if same and recent and self._counts_now(newest.number):
                return
        self.publish(store, people, former, kits, now)

    def _now(
        self,
        number: int,
        people: Sequence[Card],
        former: Sequence[Card],
        kits: Sequence[KitCard],
        now: datetime,
    ) -> Roster:
        names = load_names(self._folder)
        left = {card.name for card in former} - {card.name for card in people}
        persons = {
            card.name: Person(card=card, name=named.name, role=named.role)
            for card in people
            for named in [names.people.get(card.name, NamedPerson())]
        }
        here = {
            card.id: RosterKit(card=card, name=named.name, lost=named.lost)
            for card in kits
            for named in [names.kits.get(card.id, NamedKit())]
        }
        return Roster(
            number=number,
            at=now,
            ends=now + LASTS,
            people=tuple(persons[name] for name in sorted(persons)),
            kits=tuple(here[kit] for kit in sorted(here)),
            left=tuple(Left(practitioner=name, since=self._since(name)) for name in sorted(left)),
        )

    def _since(self, name: str) -> datetime | None:
        line = self._ledger.of("revoked").get(name)
        with suppress(BadInput):
            return read_revocation(line.ids["note"], self._keys.chain).at if line else None
        return None

    def _sign(self, roster: Roster) -> bytes:
        note = sign_fact(self._signer, roster).encode()
        # The file first: a number in the ledger is one that can be put at the store again.
        self._keep(roster.number, note)
        sha256 = hashlib.sha256(note).hexdigest()
        self._ledger.write("roster", f"{roster.number:06}", sha256=sha256)
        return note

    def _keep(self, number: int, note: bytes) -> None:
        if self._ledger.keeps:
            path = self._path(number)
            path.parent.mkdir(mode=0o700, exist_ok=True)
            save(path, note, 0o600)

    @property
    def _last(self) -> int:
        """The highest number that was ever signed; 0 for none."""
        return max(map(int, self._ledger.of("roster")), default=0)

    def _adopt(self, store: ServiceStore) -> None:
        """Where no copy of the ledger was left, go on from what this service signed before: kits
        follow that all the same."""
        if self._last:
            return
        lines: list[tuple[Kind, dict[str, str]]] = []
        for entry in store.list(PLACE):
            with suppress(BadInput, NotAFile):
                note = read_small(store, entry.name, LARGEST) or b""
                number = read_roster(note, self._keys.chain).number
                if entry.name == roster_object(number):
                    self._keep(number, note)
                    sha256 = hashlib.sha256(note).hexdigest()
                    lines.append(("roster", {"name": f"{number:06}", "sha256": sha256}))
        # As one: half of them were a roster too low.
        self._ledger.write_all(lines)

    def _read(self, number: int) -> tuple[Roster, bytes]:
        note = read_plain(self._path(number), LARGEST)
        return read_roster(note, self._keys.chain, before=True), note

    def _counts_now(self, number: int) -> bool:
        """False for one that was signed with a key which is the service's no more."""
        with suppress(BadInput, OSError):
            read_roster(self._read(number)[1], self._keys.chain)
            return True
        return False

    def _path(self, number: int) -> Path:
        return self._folder / "roster" / f"{number:06}"
