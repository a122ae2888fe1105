"""What every verb is given: which store, whose keys, and what lies beside them.

The service's folder of keys has its *.key, practitioners/ (cards of those whose orders count),
revoked/ (cards of those who left) and kits/.
"""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from pathlib import Path

import click

from appliance.base.custody.anew import sign_anew
from appliance.base.custody.keys import check_first, held, put_cards
from appliance.base.desk import Desk
from appliance.base.ledger import Ledger
from appliance.base.orders import choose_keys
from appliance.base.rehearsal import Rehearsal
from appliance.base.roster import Rosters
from appliance.base.status import last_heard
from appliance.base.voices import Voices
from appliance.base.watch.clock import check, confirm, confirmed
from appliance.base.watch.glance import Glance
from appliance.base.watch.lease import InTurn, Turn
from appliance.errors import BadFile, BadInput, SendFailed
from appliance.protocol.cards import Card, KitCard
from appliance.records.clock import Clock, SystemClock
from appliance.records.files import load_fact
from appliance.stores import open_store
from appliance.stores.access import load_access
from appliance.stores.store import ServiceStore
from appliance.vault.keys import HalfKeys, PrivateKeys, read_keys

CLOCK_EVERY_SECONDS = 3600.0
"""Between two times that the clock here is held against what kits sign."""


@dataclass(frozen=True)
class Work:
    """What a verb works with."""

    store: ServiceStore
    keys: PrivateKeys
    ledger: Ledger
    voices: Voices
    desk: Desk
    rosters: Rosters


@dataclass
class Service:
    """A service at its store. Keys are read, and a passphrase is asked for, once."""

    store: str
    keys: Path | None
    access: Path | None = None
    passphrase_file: Path | None = None
    clock_is_right: bool = False
    """Somebody has looked at the clock here: what kits sign is not held against it."""
    stays: bool = False
    """The lease is kept between two times at work, for whoever goes round after round."""
    clock: Clock = field(default_factory=SystemClock)
    _checked: float = float("-inf")
    _turns: dict[str, Turn] = field(default_factory=dict)
    _ledgers: dict[str, Ledger] = field(default_factory=dict)

    @property
    def folder(self) -> Path:
        """The folder of keys."""
        return self._keys if self._keys.is_dir() else self._keys.parent

    @cached_property
    def own(self) -> list[PrivateKeys]:
        """Every key of the service that was given. Raises BadInput, BadFile, WrongPassphrase."""
        paths = sorted(self._keys.glob("*.key")) if self._keys.is_dir() else [self._keys]
        if not paths:
            raise BadInput(
                f"There is no key file (*.key) in {self._keys}.",
                "Make the service's keys with: attune keygen --role service -o service.key",
            )
        return held(self.folder, [self._read(path) for path in paths], SystemClock())

    @property
    def only(self) -> PrivateKeys:
        """The key, where it must not be in doubt which is meant. Raises BadInput."""
        if len(self.own) > 1:
            raise BadInput(
                f"There are {len(self.own)} key files in {self._keys}.",
                "Name the one that it is done with.",
            )
        return self.own[0]

    def practitioners(self) -> list[Card]:
        """The cards of those who work here now. Raises BadFile."""
        return self._cards("practitioners")

    def former(self) -> list[Card]:
        """The cards of those who were revoked. Raises BadFile."""
        return self._cards("revoked")

    def kits(self) -> list[KitCard]:
        """The cards of the service's kits. Raises BadFile."""
        cards = [load_fact(path, KitCard) for path in sorted((self.folder / "kits").glob("*.pub"))]
        return [card for card in cards if card is not None]

    @contextlib.contextmanager
    def opened(self, rehearse: bool = False) -> Iterator[ServiceStore]:
        """The store; with `rehearse`, one at which nothing is changed."""
        with contextlib.closing(open_store(self.store, load_access(self.access))) as store:
            yield Rehearsal(store) if rehearse else store

    @contextlib.contextmanager
    def at_store(self, rehearse: bool = False) -> Iterator[tuple[ServiceStore, PrivateKeys]]:
        """The store, and the key that it belongs to. Raises SendInterrupted, SendRefused, and
        BadInput for a folder of keys from before the service's second card."""
        own = self.own
        with self.opened(rehearse) as store:
            store = Glance(store)
            keys = choose_keys(store, own)
            check_first(store, keys)
            yield store, keys

    @contextlib.contextmanager
    def at_work(self, rehearse: bool = False, anew: bool = False) -> Iterator["Work"]:
        """The same with the ledger, which no other program of this service has meanwhile, here or
        elsewhere; the store is mended by it first. With `anew`, one that cannot be believed is put
        aside. Raises AnotherBase, ClockInDoubt, and as `at_store`."""
        with self.at_store(rehearse) as (store, keys):
            name = keys.signer.verifier.name
            ledger = None if rehearse else self._ledgers.get(name)
            if ledger is None:
                ledger = Ledger(
                    self.folder, keys.signer, self.clock, keep=not rehearse, service=keys.chain
                )
            if not rehearse:
                # That of a rehearsal writes nothing: whoever works next must not be given it.
                self._ledgers[name] = ledger
            if anew:
                _put_aside_if_broken(ledger)
            with ledger.at_work(), self._turn(store, keys, rehearse) as store:
                if not rehearse:
                    put_cards(store, self.folder, keys)
                sign_anew(ledger, keys)
                voices = Voices(store, keys, self.practitioners(), self.former(), ledger)
                desk = Desk(store, keys, voices, ledger, self.clock)
                if not anew:
                    desk.mend()
                rosters = Rosters(self.folder, keys, ledger)
                yield Work(store, keys, ledger, voices, desk, rosters)
                desk.tell_how_far()

    @contextlib.contextmanager
    def _turn(
        self, store: ServiceStore, keys: PrivateKeys, rehearse: bool
    ) -> Iterator[ServiceStore]:
        if rehearse:
            yield store
            return
        now = self.clock.monotonic()
        if now - self._checked > CLOCK_EVERY_SECONDS:
            if self.clock_is_right:
                confirm(self.folder, self.clock.read().wall)
            else:
                heard = last_heard(store, self.kits())
                check(heard, self.clock.read().wall, confirmed(self.folder))
            self._checked = now
        name = keys.signer.verifier.name
        turn = self._turns.setdefault(name, Turn(self.folder, keys, self.clock))
        turn.take(store)
        try:
            yield InTurn(store, turn)
        finally:
            if not self.stays:
                # One that is not given back ends by itself.
                with contextlib.suppress(SendFailed):
                    turn.leave(store)

    def publish_roster(self, work: Work, now: datetime) -> None:
        """Sign the next roster. Raises BadFile, SendInterrupted, SendRefused."""
        work.rosters.publish(work.store, *self._people(work.ledger), self.kits(), now)

    def renew_roster(self, work: Work, now: datetime) -> None:
        """Sign another where one was ever made and it is time. Raises likewise."""
        work.rosters.renew(work.store, *self._people(work.ledger), self.kits(), now)

    def _people(self, ledger: Ledger) -> tuple[list[Card], list[Card]]:
        """Who works here and who left, those among them whose card a run that was cut left in
        place."""
        cards, left = self.practitioners(), ledger.of("revoked")
        here = [card for card in cards if card.name not in left]
        return here, [*self.former(), *(card for card in cards if card.name in left)]

    @property
    def _keys(self) -> Path:
        if self.keys is None:
            raise click.UsageError("Say where the service's keys are: -i KEYS, before the verb.")
        return self.keys

    def _read(self, path: Path) -> PrivateKeys | HalfKeys:
        try:
            data = path.read_bytes()
        except OSError as error:
            raise BadInput(f"{path} could not be read: {error.strerror}.") from error
        own = read_keys(data, lambda: self._passphrase)
        if own.card().role == "practitioner":
            raise BadInput(
                f"{path} holds a practitioner's keys.", "Give the keys of the service itself."
            )
        return own

    @cached_property
    def _passphrase(self) -> str:
        file = self.passphrase_file
        if file is None:
            return str(click.prompt("Passphrase of the service's keys", hide_input=True, err=True))
        try:
            return file.read_text().partition("\n")[0].rstrip("\r")
        except (OSError, UnicodeDecodeError) as error:
            raise BadInput(f"The passphrase could not be read from {file}.") from error

    def _cards(self, folder: str) -> list[Card]:
        cards = []
        for path in sorted((self.folder / folder).glob("*.pub")):
            try:
                card = load_fact(path, Card)
            except BadInput:
                card = None
            if card is None or card.role != "practitioner":
                raise BadFile(
                    f"{path} is not the card of a practitioner.",
                    "Put the .pub file there that `attune keygen` made for them.",
                )
            cards.append(card)
        return cards


def _put_aside_if_broken(ledger: Ledger) -> None:
    try:
        with ledger.at_work():
            return
    except BadInput as error:
        click.echo(f"{error.sentence} It lies now in {ledger.set_aside()}.", err=True)
