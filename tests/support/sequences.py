"""A service by chance: five kits, twenty families, their store and its base, and what happens to
them in an order that a seed chooses.

The code of recorder, page, sender and base is the real one, over a folder. Whatever a kit or base
does may be killed in its midst; the store may lose objects or come back from a copy of before; a
second base works at it, and one with an old copy of the service's keys. What a service does
seldom is in `tests.support.upkeep`; what must hold after each step and in the end, in
`tests.support.judging`.
"""

import atexit
import contextlib
import functools
import io
import os
import random
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

from appliance.age.recipients import parse_recipient
from appliance.age.sealing import seal
from appliance.base import people as staff
from appliance.base.custody.anew import sign_anew
from appliance.base.custody.keys import check_first, put_cards
from appliance.base.custody.keys import held as held_keys
from appliance.base.desk import Desk
from appliance.base.keeping.auditing import Auditor, sign_audit
from appliance.base.ledger import Ledger, Standing
from appliance.base.orders import make_new
from appliance.base.voices import Voices
from appliance.base.watch.lease import InTurn, Turn
from appliance.casework import copies, shares
from appliance.casework.clips import shelf
from appliance.casework.closing import finish_withdrawal, withdraw
from appliance.casework.consent import Hold
from appliance.casework.course import course_of
from appliance.casework.withdrawal import (
    finish_everything,
    hear_service,
    lift_hold,
    place_hold,
    withdraw_film,
)
from appliance.errors import BadFile, BadInput, CaseWithdrawn, NoMatch
from appliance.film.manifest import read_manifest
from appliance.protocol.cards import Card
from appliance.protocol.case_record import (
    CaseRecord,
    film_order,
    films_withdrawn,
    held,
    is_withdrawn,
    withdrawal_note,
)
from appliance.protocol.enrolment import Enrolled, read_revocation
from appliance.protocol.objects import order_object
from appliance.protocol.orders import Withdrawal
from appliance.protocol.permits import Permit
from appliance.records.audit import Log
from appliance.records.clock import Clock
from appliance.records.files import ID, Home, from_json, load_fact, new_id, paths_in, save, to_json
from appliance.records.signing import Verifier, sign_fact
from appliance.stores.folder import FolderStore
from appliance.stores.store import ServiceStore
from appliance.sync.sender import Sender
from appliance.vault.cases import Cases, Details, OpenCase, strangers
from appliance.vault.keys import HalfKeys, PrivateKeys
from firmware.books import KitBooks
from firmware.removing import Removals
from tests.support import films
from tests.support.chance import chance_of
from tests.support.clocks import FakeClock
from tests.support.consents import consent, person
from tests.support.homes import SendingKit
from tests.support.moments import keep_clip

KITS, CASES, PEOPLE, STEPS = 5, 20, 6, 40
MOST_CARDS = 4
"""Of the service."""
MEMORY = Path("/dev/shm")
"""Where there is one: a sequence writes thousands of small files and waits for each."""
DAY = timedelta(days=1)
CARD = "service/card.json"
Act = Callable[[], object]


def names_below(folder: Path) -> set[str]:
    """Every file below a folder, by its path inside; none that is being written."""
    found = set()
    for where, _folders, names in os.walk(folder):
        inside = os.path.relpath(where, folder)
        found.update(os.path.normpath(f"{inside}/{name}") for name in names if name[0] != ".")
    return found


@functools.cache
def service() -> PrivateKeys:
    return PrivateKeys.generate("service", x25519=True)


@functools.cache
def people() -> list[PrivateKeys]:
    """Everybody who works there, and at the end who supervises."""
    return [PrivateKeys.generate("practitioner", x25519=True) for _ in range(PEOPLE + 1)]


def people_at(kit: int) -> list[PrivateKeys]:
    """Who works with a kit, by its number."""
    return [people()[kit], people()[(kit + 1) % PEOPLE]]


@functools.cache
def later_keys(number: int) -> tuple[HalfKeys, HalfKeys, HalfKeys]:
    """What signs and what opens, daily and in escrow, by the service's card of this number, from 2
    on."""
    daily, escrow = (HalfKeys.generate("opening", x25519=True) for _ in range(2))
    return HalfKeys.generate("signing"), daily, escrow


class Shelf(FolderStore):
    """A folder that says the same of where it lies wherever it was copied to."""

    @property
    def url(self) -> str:
        return "file:///the/services/store"


@dataclass
class Kit(SendingKit):
    """A kit of the service: its recorder, its page and its sender, when there is a use for them."""

    heard: datetime | None = None
    """When it was in contact last, to the end."""
    before: list[Verifier] = field(default_factory=list)
    """Who it was before it was set back."""

    def __post_init__(self) -> None:
        self.home = Home(self.root / "home", self.root / "run")
        self.start()

    def start(self) -> None:
        """Be who its card says that it is."""
        books = KitBooks(self.home)
        self.id, self.signer = books.kit, books.signer
        self.cases = Cases(self.home)

    def sealed(self, case: str, dice: random.Random, size: int) -> bytes:
        record = load_fact(self.home.case(case).record, CaseRecord)
        assert record is not None
        return seal(dice.randbytes(size), [parse_recipient(record.recipient)])

    @property
    def enrolled(self) -> Enrolled:
        found = load_fact(self.home.enrolled, Enrolled)
        assert found is not None
        return found

    def films(self) -> dict[str, str]:
        """Every film that is here whole, and whose it is."""
        found = {}
        for path in paths_in(self.home.recordings, ID):
            with suppress(BadFile):
                manifest = read_manifest(path)
                if manifest.ended is not None:
                    found[path.name] = manifest.started.case
        return found

    def opened(self, case: str) -> OpenCase | None:
        """The case as somebody has it who is obeyed here and works in it, if anybody is."""
        whose = self.enrolled
        known = [card.verifying_key() for card in (*whose.practitioners, *whose.former)]
        for keys in people():
            if keys.card() in whose.practitioners:
                with suppress(NoMatch, CaseWithdrawn):
                    return self.cases.open(case, keys, known)
        return None

    def open_cases(self) -> list[OpenCase]:
        found = [self.opened(folder.name) for folder in self.home.case_folders()]
        return [case for case in found if case is not None]

    def make_film(self, case: OpenCase, clock: Clock) -> str:
        """One film of a family, under a permit that one of its people signed."""
        now = clock.read()
        permit = Permit(
            id=new_id(),
            kit=self.id,
            case=case.id,
            recipient=case.record.recipient,
            consent="0" * 64,
            kind="visit",
            limit=300,
            sound=True,
            films=1,
            boot=now.boot,
            not_before=now.wall,
            not_after=now.wall + DAY,
            people=tuple(card.verifier for card in case.team),
        )
        KitBooks(self.home).count_film(permit, case.keys.signer.verifier)
        return self.film(case.id, segments=1, size=300)

    def contact(self, clock: Clock, compare: bool = False) -> None:
        """It is switched on at base, and somebody unlocks it."""
        home = self.home
        home.prepare(home.cases, home.receipts, home.inbox, home.recordings)
        self.carry_out(clock)
        all_sent = self.send(clock, compare)
        self.carry_out(clock)
        if all_sent:
            self.heard = clock.read().wall

    def send(self, clock: Clock, compare: bool = False) -> bool:
        """What the sender does of itself, as long as it is at base; True if nothing was left."""
        log = Log(self.home.log("sync"), clock)
        sender = Sender(self.home, lambda: Shelf(self.store), clock, log, self.shown.append)
        return sender.run(compare).state == "sent"

    def carry_out(self, clock: Clock) -> None:
        """What recorder and page do of themselves."""
        now = clock.read().wall
        books = KitBooks(self.home)
        books.follow()
        books.revoke()
        removals = Removals(
            self.home, books, Log(self.home.log("recorder"), clock), lambda: now, False
        )
        removals.finish()
        if (failed := hear_service(self.home).failed) is not None:
            raise failed
        assert not finish_everything(self.home)
        for folder in self.home.case_folders():
            shares.remove_what_is_over(folder, now)
        if (enrolled := self.enrolled).former:
            for case in self.open_cases():
                shares.end_what_they_see(case, enrolled.former, now)
                if strangers(case.team, enrolled):
                    self.cases.renew(case, enrolled)
        removals.look()

    def lift(self, case: str, clock: Clock) -> None:
        """Lift a hold, as the page does it."""
        directory, now = self.home.case(case), clock.read().wall
        found = withdrawal_note(directory)
        if found is not None:
            keys = self._somebody()
            lift_hold(directory, keys.signer, now)
            withdraw(directory, keys, found[0].kit, found[0].at)
        elif (opened := self.opened(case)) is not None:
            lift_hold(directory, opened.keys.signer, now)
            for film in films_withdrawn(directory):
                known = film_order(directory, film)
                assert known is not None
                withdraw_film(opened, film, known.kit, known.at)
        else:
            lift_hold(directory, self._somebody().signer, now)
            if is_withdrawn(directory):
                finish_withdrawal(directory)

    def may_lift(self, case: str) -> bool:
        directory = self.home.case(case)
        if not directory.hold.exists():
            return False
        return self.opened(case) is not None or (
            is_withdrawn(directory) and bool(self.enrolled.practitioners)
        )

    def _somebody(self) -> PrivateKeys:
        whose = self.enrolled.practitioners
        return next(keys for keys in people() if keys.card() in whose)


@dataclass
class Base:
    """The service's side: its folder of keys, and programs that work with it in turn."""

    folder: Path
    store: Path
    clock: Clock
    _ledgers: dict[tuple[int, int], Ledger] = field(default_factory=dict)

    @property
    def keys(self) -> PrivateKeys:
        """What lies in its folder; of one card, or of several."""
        found = sorted(self.folder.glob("*.key"))
        later = [key for path in found for key in later_keys(int(path.stem))]
        return held_keys(self.folder, [service(), *later], self.clock)[0]

    def ledger(self, which: int = 0, keys: PrivateKeys | None = None) -> Ledger:
        """The ledger, as one of two programs has it."""
        keys = keys or self.keys
        key = which, keys.chain.number
        if key not in self._ledgers:
            self._ledgers[key] = Ledger(self.folder, keys.signer, self.clock, service=keys.chain)
        return self._ledgers[key]

    @contextlib.contextmanager
    def seen(self) -> Iterator[tuple[Desk, Ledger]]:
        """Where it stands, and nothing done."""
        keys = self.keys
        ledger = self.ledger(0, keys)
        with closing(Shelf(self.store)) as store, ledger.at_work():
            yield self._desk(store, keys, ledger), ledger

    def _desk(self, store: ServiceStore, keys: PrivateKeys, ledger: Ledger) -> Desk:
        here, left = self._cards("practitioners"), self._cards("revoked")
        return Desk(store, keys, Voices(store, keys, here, left, ledger), ledger, self.clock)

    @contextlib.contextmanager
    def at_work(self, which: int = 0) -> Iterator[tuple[ServiceStore, Desk, Ledger]]:
        """As a verb of base does it. Raises AnotherBase."""
        keys = self.keys
        ledger, turn = self.ledger(which, keys), self.turn(keys)
        with closing(Shelf(self.store)) as shelf, ledger.at_work():
            check_first(shelf, keys)
            turn.take(shelf)
            try:
                store = InTurn(shelf, turn)
                put_cards(store, self.folder, keys)
                sign_anew(ledger, keys)
                desk = self._desk(store, keys, ledger)
                desk.mend()
                yield store, desk, ledger
                desk.tell_how_far()
            finally:
                turn.leave(shelf)

    def turn(self, keys: PrivateKeys) -> Turn:
        return Turn(self.folder, keys, self.clock)

    def revoke(self, name: str) -> None:
        with self.at_work() as (store, _desk, ledger):
            staff.revoke(store, self.keys, name, self.folder, self.clock, ledger)

    def _cards(self, folder: str) -> list[Card]:
        paths = sorted((self.folder / folder).glob("*.pub"))
        return [from_json(path.read_bytes(), Card) for path in paths]


@functools.cache
def beginning() -> tuple[Path, list[str]]:
    """What every sequence begins with, made once and then copied: the folder with kits, keys and
    store, and the families' cases. It goes with the process that made it."""
    root = Path(tempfile.mkdtemp(dir=MEMORY if MEMORY.is_dir() else None))
    atexit.register(shutil.rmtree, root, ignore_errors=True)
    clock, film, cases = FakeClock(), films.film(60), list[str]()
    with chance_of("the beginning"):
        for number in range(2, MOST_CARDS + 1):
            later_keys(number)
        for name in ("practitioners", "revoked"):
            (root / "keys" / name).mkdir(parents=True)
        for keys in people()[:PEOPLE]:
            path = root / "keys" / "practitioners" / f"{keys.card().name}.pub"
            save(path, to_json(keys.card()))
        (root / "store").mkdir()
        with closing(Shelf(root / "store")) as store:
            make_new(store, service())
        for number in range(KITS):
            kit = Kit(root / f"kit{number}", root / "store")
            here = people_at(number)
            for keys in here:
                KitBooks(kit.home).enrol(service().card(), keys.card())
            for _ in range(CASES // KITS):
                cases.append(_family(kit, here, film, clock, together=len(cases) % 2 > 0))
    return root, cases


def _family(kit: Kit, here: list[PrivateKeys], film: bytes, clock: Clock, together: bool) -> str:
    """A case with a film and a clip, of one practitioner or of two together."""
    now = clock.read().wall
    details = Details(label="a family", check_word="harbour")
    verifiers = [keys.signer.verifier for keys in here]
    case = kit.cases.create(details, here[0], service().chain, verifiers)
    if together:
        case = kit.cases.admit(case, here[1].card(), kit.enrolled)
    agreed = (person("Alex", "filming", "supervisor"),)
    case.write(consent(agreed, now, valid_until=now + 300 * DAY))
    keep_clip(case, kit.make_film(case, clock), film, now)
    return case.id


class World:
    """A service, its kits and its store, and what is done there."""

    def __init__(self, root: Path, dice: random.Random) -> None:
        before, self.cases = beginning()
        shutil.copytree(before, root, dirs_exist_ok=True)
        self.root, self.dice = root, dice
        self.clock = FakeClock()
        self.store = root / "store"
        self.kits = [Kit(root / f"kit{number}", self.store) for number in range(KITS)]
        self.base = Base(root / "keys", self.store, self.clock)

    @property
    def left(self) -> dict[str, datetime]:
        """Who was revoked, and when."""
        with self.base.seen() as (_desk, ledger):
            notes = [line.ids["note"] for line in ledger.of("revoked").values()]
        gone = [read_revocation(note, self.base.keys.chain) for note in notes]
        return {one.practitioner: one.at for one in gone}

    # --- On a kit -----------------------------------------------------------------------------

    def film(self) -> Act | None:
        kit, case = self._open_case()
        if case is None or course_of(case).ended is not None:
            return None
        return lambda: kit.make_film(case, self.clock)

    def contact(self) -> Act | None:
        kit, compare = self.dice.choice(self.kits), self.dice.random() < 0.4
        return lambda: kit.contact(self.clock, compare)

    def withdraw(self) -> Act | None:
        kit, case = self._open_case()
        if case is None:
            return None

        def act() -> None:
            out = (*copies.out_of_reach(case), *shares.out_of_reach(case))
            withdraw(case.directory, case.keys, kit.id, self.clock.read().wall, out)
            kit.carry_out(self.clock)

        return act

    def withdraw_film(self) -> Act | None:
        kit, case = self._open_case()
        here = [film for film, whose in kit.films().items() if case and whose == case.id]
        if case is None or not here:
            return None
        film = self.dice.choice(here)

        def act() -> None:
            withdraw_film(case, film, kit.id, self.clock.read().wall)
            kit.carry_out(self.clock)

        return act

    def hold(self) -> Act | None:
        kit, case = self._open_case()
        if case is None or held(case.directory):
            return None
        now = self.clock.read().wall
        fact = Hold(role="the court", reason="It was asked for.", review=now + 30 * DAY, at=now)
        return lambda: place_hold(case, fact, kit.enrolled.chain)

    def lift(self) -> Act | None:
        may = [(kit, case) for kit in self.kits for case in self.cases if kit.may_lift(case)]
        if not may:
            return None
        kit, case = self.dice.choice(may)
        return lambda: kit.lift(case, self.clock)

    def share(self) -> Act | None:
        _kit, case = self._open_case()
        kept = shelf(case).every if case else ()
        if case is None or not kept:
            return None
        now, days = self.clock.read().wall, self.dice.randint(1, 20)
        until, to = now + days * DAY, people()[-1].card()
        return lambda: shares.share(case, kept, to, "who supervises", "supervisor", now, until)

    def end_share(self) -> Act | None:
        _kit, case = self._open_case()
        now = self.clock.read().wall
        found = [one for one in shares.shares_of(case) if case] if case else []
        found = [one for one in found if case and not shares.is_over(case.directory, one, now)]
        if case is None or not found:
            return None
        one = self.dice.choice(found)
        return lambda: shares.end(case, one, now)

    def second_home(self) -> Act | None:
        """Two kits for one family: the case is brought to another that one of its people uses."""
        kit, case = self._open_case()
        others = [other for other in self.kits if other is not kit]
        other = self.dice.choice(others)
        there = other.home.case(case.id) if case else None
        if case is None or there is None or there.exists():
            return None
        if not set(case.team) <= set(other.enrolled.practitioners):
            return None
        return lambda: shutil.copytree(case.directory, there)

    def _open_case(self) -> tuple[Kit, OpenCase | None]:
        kit = self.dice.choice(self.kits)
        folders = kit.home.case_folders()
        folders = sorted(folders, key=lambda folder: self.cases.index(folder.name))
        return kit, kit.opened(self.dice.choice(folders).name) if folders else None

    # --- At base ------------------------------------------------------------------------------

    def round(self) -> Act | None:
        which = self.dice.randrange(2)

        def act() -> None:
            with self.base.at_work(which) as (_store, desk, _ledger):
                desk.work()

        return act

    def base_hold(self) -> Act | None:
        case, film = self._case_or_film()
        which = self.dice.randrange(2)

        def act() -> None:
            now = self.clock.read().wall
            with self.base.at_work(which) as (_store, desk, _ledger):
                desk.holds.hear()
                desk.holds.place(self.base.keys.signer, case, film, now, now + 30 * DAY)

        return act

    def base_lift(self) -> Act | None:
        with self.base.seen() as (desk, _ledger):
            every = sorted(desk.holds.all())
        if not every:
            return None
        hold = self.dice.choice(every)

        def act() -> None:
            with self.base.at_work(1) as (_store, desk, _ledger):
                desk.holds.lift(self.base.keys.signer, hold, self.clock.read().wall)

        return act

    def base_withdraw(self) -> Act | None:
        case, film = self._case_or_film()
        kits = [kit for kit in self.kits if film in kit.films()]
        if film and not kits:
            return None

        def act() -> None:
            with self.base.at_work() as (_store, desk, _ledger), suppress(BadInput):
                desk.withdraw_film(kits[0].id, case, film) if film else desk.withdraw_case(case)
                desk.work()

        return act

    def revoke(self) -> Act | None:
        cards = sorted((self.base.folder / "practitioners").glob("*.pub"))
        if len(cards) < PEOPLE - 1:
            return None
        name = self.dice.choice(cards).stem
        return lambda: self.base.revoke(name)

    def stranger(self) -> Act | None:
        """Somebody of the service orders the withdrawal of a family that they never met."""
        case, _film = self._case_or_film()
        kit = next((kit for kit in self.kits if kit.home.case(case).exists()), None)
        if kit is None:
            return None
        others = [
            keys for keys in people()[:PEOPLE] if keys.card() not in kit.enrolled.practitioners
        ]
        keys = self.dice.choice(others)
        order = Withdrawal(id=new_id(), case=case, kit=kit.id, at=self.clock.read().wall)

        def act() -> None:
            note = sign_fact(keys.signer, order)
            with closing(Shelf(self.store)) as store:
                store.create(order_object(order.id), io.BytesIO(note.encode()))

        return act

    def stale_base(self) -> Act | None:
        """A program with an old copy of the service's keys, while the store was told of more."""
        old = self.root / "old-keys"
        if not (old / "ledger" / "head").exists():
            return None
        base = Base(old, self.store, self.clock)
        ours, theirs = self.base.ledger(), base.ledger()
        with closing(Shelf(self.store)) as store, ours.at_work():
            told = ours.standing(store) is Standing.SAME
        with theirs.at_work():
            behind = theirs.length < ours.length
        if not (told and behind):
            return None

        def act() -> None:
            try:
                with base.at_work() as (_store, desk, _ledger):
                    desk.work()
            except BadInput:
                return
            raise AssertionError("A base that knows less than the store was told of has worked.")

        return act

    def audit(self) -> Act | None:
        def act() -> None:
            with self.base.at_work(1) as (store, _desk, ledger):
                auditor = self.auditor(store, ledger)
                found = auditor.and_read(store, auditor.listed())
                sign_audit(store, self.base.keys, found, 0, self.clock.read().wall)

        return act

    def auditor(self, store: ServiceStore, ledger: Ledger) -> Auditor:
        """Who reads every tenth file of the films."""
        signers = [
            *(keys.signer.verifier for keys in people()),
            *(key for kit in self.kits for key in (kit.signer.verifier, *kit.before)),
        ]
        return Auditor(store, self.base.keys.identities, signers, ledger, 0.1)

    def _case_or_film(self) -> tuple[str, str]:
        case = self.dice.choice(self.cases)
        every = sorted(film for kit in self.kits for film, of in kit.films().items() if of == case)
        return case, self.dice.choice(every) if every and self.dice.random() < 0.5 else ""

    # --- With the store -----------------------------------------------------------------------

    def back_up(self) -> Act | None:
        names = ("store", "keys")

        def act() -> None:
            for name in names:
                old = self.root / f"old-{name}"
                shutil.rmtree(old, ignore_errors=True)
                shutil.copytree(self.root / name, old)

        return act

    def restore(self) -> Act | None:
        old = self.root / "old-store"
        if not old.exists():
            return None

        def act() -> None:
            shutil.rmtree(self.store)
            shutil.copytree(old, self.store)

        return act

    def lose(self) -> Act | None:
        every = sorted(names_below(self.store) - {CARD})
        gone = self.dice.sample(every, min(len(every), self.dice.randint(1, 6)))

        def act() -> None:
            for name in gone:
                (self.store / name).unlink()

        return act
