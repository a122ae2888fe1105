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

from appliance.base.ledger import Ledger
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
        for number in sorted(self._numbers(), reverse=True):
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
        """Sign the next, and put it where kits look. Raises SendInterrupted, SendRefused."""
        number = max([0, *self._numbers(), *self._numbers_at(store)]) + 1
        roster = self._now(number, people, former, kits, now)
        note = sign_fact(self._signer, roster).encode()
        self._ledger.write("roster", f"{number:06}", sha256=hashlib.sha256(note).hexdigest())
        if self._ledger.keeps:
            path = self._path(number)
            path.parent.mkdir(mode=0o700, exist_ok=True)
            save(path, note, 0o600)
        put_note(store, roster_object(number), note)
        return roster

    def renew(
        self,
        store: ServiceStore,
        people: Sequence[Card],
        former: Sequence[Card],
        kits: Sequence[KitCard],
        now: datetime,
    ) -> None:
        """See that kits find the newest, and nothing else under its name; sign another where
        somebody came or left, or a week has gone. Does nothing where there is none. Raises
        SendInterrupted, SendRefused."""
        there = {entry.name: entry.size for entry in store.list(PLACE)}
        numbers = self._numbers()
        if not numbers:
            # Where no copy of the ledger was left, kits follow one all the same.
            if there and self._numbers_at(store):
                self.publish(store, people, former, kits, now)
            return
        for number in sorted(numbers):
            where, path = roster_object(number), self._path(number)
            with suppress(BadInput, OSError):
                if path.stat().st_size != there.get(where):
                    put_note(store, where, self._read(number)[1])
        # Whatever else lies there is nobody's: a kit looks for the next number.
        for name in there.keys() - {roster_object(number) for number in numbers}:
            store.purge(name)
        newest = self.newest()
        if newest is not None and newest.number == max(numbers):
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

    def _numbers(self) -> set[int]:
        return {int(name) for name in self._ledger.of("roster")}

    def _numbers_at(self, store: ServiceStore) -> list[int]:
        """What this service has signed before, where no copy of the ledger was left."""
        numbers = []
        for entry in store.list(PLACE):
            with suppress(BadInput, NotAFile):
                note = read_small(store, entry.name, LARGEST) or b""
                numbers.append(read_roster(note, self._keys.chain, before=True).number)
        return numbers

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
