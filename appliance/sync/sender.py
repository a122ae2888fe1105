"""Carrying out the plan: send, read back, compare, and only then write a receipt.

A cut at any moment loses nothing: an object without a receipt is sent again, finds itself there
already, and is compared.
"""

import contextlib
import io
import re
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from queue import SimpleQueue
from typing import IO, Literal

from appliance.age.sealing import VERSION_LINE
from appliance.errors import (
    BadFile,
    BadInput,
    BadSignature,
    KitError,
    NotAFile,
    SendFailed,
    SendInterrupted,
    SendRefused,
    TooLarge,
)
from appliance.factory_reset import note_compared, ordered, was_compared
from appliance.film.manifest import Mended, parse_manifest
from appliance.protocol.cards import Card, CardChain, KitCard
from appliance.protocol.case_record import CaseRecord, is_withdrawn, withdrawal_note
from appliance.protocol.emptying import is_emptied
from appliance.protocol.enrolment import Enrolled
from appliance.protocol.kit_logs import PART_NAME
from appliance.protocol.names import beside, numbered
from appliance.protocol.objects import (
    SERVICE_CARD,
    Part,
    case_files,
    case_object,
    film_object,
    heads_object,
    kit_object,
    logs_object,
    order_object,
    tombstone_object,
)
from appliance.protocol.orders import Tombstone, Withdrawal
from appliance.protocol.receipts import Receipt, receipt_of, receipt_path
from appliance.protocol.retention import KEEP_NAME, Keep
from appliance.protocol.status import EndsSoon, Fault, Problem, SyncState, SyncStatus, Why
from appliance.protocol.teams import CaseTeam
from appliance.records.audit import HEADS_NAME, MOST_HEADS, Heads, Log
from appliance.records.clock import Clock
from appliance.records.files import (
    ID,
    Home,
    checked_id,
    from_json,
    is_there,
    load_fact,
    paths_in,
    read_plain,
    read_text,
    save,
    save_fact,
    sync_directory,
)
from appliance.records.signing import Verifier, fact_in, open_fact
from appliance.stores.endings import soon
from appliance.stores.store import SLOWEST, Content, Measured, Put, Store, measure, read_small
from appliance.sync.cards import follow
from appliance.sync.emptied import bring_films_read, emptied_here, look_again
from appliance.sync.orders import (
    an_order,
    asked_back,
    bring_in,
    cases_here,
    clear_keys,
    film_orders,
    hear_revocations,
    hold_notices,
    is_answered,
    offer_again,
    offer_if_lost,
    read_there,
    sized,
    taken_back,
)
from appliance.sync.plan import Pace, Rank, Reads, Sealed, confirmed, plan
from appliance.sync.refusals import hear_refusals
from appliance.sync.roster import follow_roster

_RANKS: dict[Part, Rank] = {
    "case-key": Rank.CASE_KEY,
    "people": Rank.TEAM,
    "team": Rank.TEAM,
    "keep": Rank.KEEP,
    "document": Rank.DOCUMENT,
    "clip": Rank.CLIP,
    "manifest": Rank.MANIFEST,
    "film": Rank.FILM,
}

_PATIENCE = 120.0
"""Seconds in which every store has answered, but for the time that the bytes take."""
_FACTS: Mapping[str, Reads] = {
    ".mended": lambda text: fact_in(text, Mended),
    "": parse_manifest,
}
"""What a file of a case is by the end of its name, where it is not sealed."""


@dataclass(frozen=True)
class Found:
    """What lies on this kit that the service should have."""

    here: tuple[Sealed, ...]
    cases: frozenset[str]
    """Every case that something here belongs to."""
    orders: dict[str, str]
    """Cases withdrawn here, with the id of the order ('' if that cannot be read)."""
    problems: tuple[Problem, ...]


def look(home: Home, kit: KitCard, wanted: Callable[[Sealed], bool] = lambda sealed: True) -> Found:
    """Go through the home and keep what is `wanted`: there may be a hundred thousand files.

    Films count once their manifest is finished and signed by this kit.
    """
    verifier = kit.verifying_key()
    problems: dict[str, Problem] = {}

    def unreadable(name: str) -> None:
        problems[name] = Problem(object=name, code="unreadable")

    def ids(folder: str) -> list[str]:
        try:
            return [path.name for path in paths_in(home.root / folder, ID)]
        except (BadFile, OSError):
            unreadable(folder)
            return []

    here = [sealed for sealed in _of_kit(home, kit, verifier, unreadable) if wanted(sealed)]
    cases: set[str] = set()
    orders: dict[str, str] = {}
    for name in ids("cases"):
        cases.add(name)
        here += filter(wanted, _case(home, name, orders, unreadable))
    asked = asked_back(home)
    for name in ids("recordings"):
        if name in asked:
            continue  # It came with this contact, and the page has not carried it out yet.
        try:
            film = _film(home, name, verifier)
        except (BadInput, OSError):
            unreadable(f"recordings/{name}")
            continue
        cases.update(sealed.case for sealed in film)
        if is_emptied(home, name):
            film = [sealed for sealed in film if sealed.rank is Rank.MANIFEST]
        here += (s for s in film if wanted(s) and not taken_back(home, s))
    return Found(tuple(here), frozenset(cases), orders, tuple(problems.values()))


def _of_kit(
    home: Home, kit: KitCard, verifier: Verifier, unreadable: Callable[[str], object]
) -> Iterator[Sealed]:
    def is_card(text: str) -> object:
        return from_json(text, KitCard)

    def are_heads(text: str) -> object:
        return open_fact(text, [verifier], Heads)

    card = home.kit_card
    yield from sized(home, kit_object(kit.id), card, Rank.KIT, "", is_card, unreadable)
    numbered: list[tuple[Path, re.Pattern[str], Callable[[str, str], str], Reads | None]] = [
        (home.heads, HEADS_NAME, heads_object, are_heads),
        (home.outbox, PART_NAME, logs_object, None),
    ]
    for folder, wanted, named, fact in numbered:
        try:
            paths = paths_in(folder, wanted, MOST_HEADS)
        except (BadFile, OSError):
            unreadable(f"kit/{folder.name}")
            continue
        for path in paths:
            name = named(kit.id, path.name)
            yield from sized(home, name, path, Rank.KIT, "", fact, unreadable)


def _case(
    home: Home, name: str, orders: dict[str, str], unreadable: Callable[[str], object]
) -> Iterator[Sealed]:
    """What can be told of a case goes, whatever else lies there: one file must not keep another."""
    directory = home.case(name)
    yield from hold_notices(home, name, unreadable)
    if is_there(directory.withdrawal):
        # Noted before it is read: whatever it says, nothing else of this case goes.
        orders[name] = ""
        try:
            found = withdrawal_note(directory)
            if found is None or found[0].case != name:
                raise BadFile("The order of withdrawal is not this case's.")
            orders[name] = checked_id(found[0].id)
        except (BadFile, OSError):
            unreadable(f"cases/{name}")
            return
        yield from an_order(home, directory.withdrawal, name, Withdrawal, found[0].id, unreadable)
        return
    try:
        record = load_fact(directory.record, CaseRecord)
    except (BadFile, OSError):
        unreadable(f"cases/{name}")
        record = None
    if record is not None and record.state == "withdrawn":
        orders[name] = ""
        return
    yield from film_orders(home, name, unreadable)
    if record is None:
        return
    for part, path in case_files(
        directory, lambda folder: unreadable(folder.relative_to(home.root).as_posix())
    ):
        file = path.relative_to(directory).as_posix()
        yield from sized(
            home,
            case_object(name, file),
            path,
            _RANKS[part],
            name,
            _fact_of(part, name) or _FACTS.get(path.suffix),
            unreadable,
        )


def _keep_of(case: str) -> Reads:
    def read(text: str) -> None:
        if fact_in(text, Keep).case != case:
            raise BadFile("This says of another case until when it is kept.")

    return read


def _fact_of(part: Part, case: str) -> Reads | None:
    """What reads a part of a case that is told by its name and not by how that ends."""
    if part == "keep":
        return _keep_of(case)
    return _is_team if part == "people" else None


def _is_team(text: str) -> object:
    return fact_in(text, CaseTeam)


def _film(home: Home, name: str, verifier: Verifier) -> list[Sealed]:
    try:
        text = read_text(home.recording(name) / "manifest")
    except FileNotFoundError:
        return []
    manifest = parse_manifest(text, [verifier])
    started = manifest.started
    if started.recording != name:
        raise BadFile("This manifest belongs to another film.")
    if manifest.ended is None or manifest.signed_by is None:
        return []
    case = checked_id(started.case)
    # The oldest film first, its parts in the order of their names: index, then segment.
    since = started.started.astimezone(UTC).isoformat()
    folder = f"recordings/{name}"
    manifest_object = film_object(case, name, "manifest")
    return [
        Sealed(
            manifest_object,
            f"{folder}/manifest",
            len(text.encode()),
            Rank.MANIFEST,
            case,
            fact=lambda text: parse_manifest(text, [verifier]),
        ),
        *(
            Sealed(
                film_object(case, name, file),
                f"{folder}/{file}",
                size,
                Rank.FILM,
                case,
                sha256,
                f"{since}/{name}/{file}",
            )
            for file, size, sha256 in manifest.files
        ),
    ]


@dataclass(frozen=True)
class Carried:
    """What a store was shown to hold."""

    name: str
    """Of the object: the file's own name there, or one beside another's."""
    content: Content
    how: Literal["read-back", "verified"]


@dataclass(frozen=True)
class _Sent:
    """What a file held, and what the store said of it."""

    here: Content
    put: Put


@dataclass(frozen=True)
class Manner:
    """How a sender goes about it."""

    in_flight: int = 1
    """Files on their way at once, at most."""
    pace: Pace = field(default_factory=lambda: Pace(0))
    rest: Callable[[float], object] = time.sleep
    still: Callable[[], bool] = lambda: True
    """Asked before each file: is this yet the place to send?"""
    emptying: bool = False
    """Films may leave this card, so the service's word on which it read is fetched."""
    alive: Callable[..., object] = lambda quiet=0.0: None
    """Called in any thread whenever something got further; before a store takes a whole file, with
    the seconds that this may last at most."""


class Sender:
    """One kit and one store. Files are carried by up to `in_flight` threads; all that is written
    here, receipts and log, is written by the one that calls, and durable step by step."""

    def __init__(
        self,
        home: Home,
        open_store: Callable[[], Store],
        clock: Clock,
        log: Log,
        show: Callable[[SyncStatus], None],
        manner: Manner = Manner(),
        last: datetime | None = None,
    ) -> None:
        """`last` is when the run before had something confirmed."""
        self._home = home
        self._open_store = open_store
        self._clock = clock
        self._log = log
        self._show = show
        self._manner = manner
        self._alive = manner.alive
        self._slots = threading.Semaphore(manner.in_flight)
        self._waiting = self._waiting_bytes = 0
        self._counted = False
        self._sent = self._sent_bytes = 0
        self._began = clock.monotonic()
        self._problems: dict[str, Problem] = {}
        self._heard: set[str] = set()
        self._closed: set[str] = set()
        self._elsewhere: set[str] = set()
        self._last = last
        self._ends: tuple[EndsSoon, ...] = ()

    def run(self, compare: bool = False) -> SyncStatus:
        """Send until nothing new is left; each file is tried once. With `compare`, receipts are
        first held against what the store lists.

        Raises SendInterrupted, SendRefused, BadInput (what is set wrongly), NotPossible (this
        kit's own card).
        """
        kit, enrolled = self._whose()
        clear_keys(self._home, kit, enrolled)
        with contextlib.closing(self._open_store()) as store:
            self._ends = tuple(
                EndsSoon(what=ending.what, at=ending.at)
                for ending in soon(store.ends, self._clock.read().wall)
            )
            self._check_store(store, enrolled.service)
            enrolled, problems = follow(self._home, store, enrolled, self._log)
            service = enrolled.chain
            problems += hear_revocations(self._home, store, enrolled, self._log)
            problems += follow_roster(self._home, store, enrolled, self._log)
            for problem in [*problems, *bring_in(self._home, store, kit, enrolled, self._log)]:
                self._problems[problem.object] = problem
            if self._manner.emptying:
                bring_films_read(self._home, store, kit, service)
            for case in cases_here(self._home):
                hear_refusals(self._home, store, case, service, self._log)
            # Before everything here goes, it is seen once more that the store has it.
            said = ordered(self._home)
            if compare or (said and not was_compared(self._home, said)):
                self._compare(store, kit, service, said)
            self._began = self._clock.monotonic()
            tried: set[str] = set()
            while sends := self._next(store, kit, service, tried):
                tried.update(sealed.object for sealed in sends)
                self._send(store, [sealed for sealed in sends if sealed.rank <= Rank.KEEP])
                rest = [sealed for sealed in sends if sealed.rank > Rank.KEEP]
                if any(KEEP_NAME.fullmatch(name.rpartition("/")[2]) for name in self._problems):
                    # Otherwise base would take this kit to have said nothing else of the days.
                    rest = [sealed for sealed in rest if "/heads/" not in sealed.object]
                self._send(store, rest)
            self._look_after_emptied(store, kit)
        return self._tell("incomplete" if self._problems else "sent")

    def _compare(self, store: Store, kit: KitCard, service: CardChain, said: str) -> None:
        """Forget the receipt of whatever the store has lost, so that it goes once more. What a
        store lists may disprove a receipt, and never makes one. `said` is the order to set this kit
        back: once all is compared, that is written down, and nothing else is."""
        cases = [case_object(case, "") for case in cases_here(self._home)]
        there = set()
        try:
            for place in (f"kits/{kit.id}/", *cases):
                for entry in store.list(place):
                    self._alive()
                    there.add((entry.name, entry.size))
        except SendRefused:
            return  # What a kit may not list disproves nothing.
        asked_for = asked_back(self._home)
        # Where the service sealed a case's key anew, it took away what old keys open.
        anew: dict[str, int] = {}
        for _, case, *_, file in (name.split("/") for name, _ in there):
            key = numbered(file)
            if key is not None and (key.stem, key.home) == ("identity", service.slug):
                anew[case] = max(key.number, anew.get(case, 0))

        def lost(sealed: Sealed) -> bool:
            # A share ends at the service on its day, and a film on its order.
            parts = set(sealed.object.split("/"))
            if sealed.rank is Rank.ORDER or parts & {"shares", *asked_for}:
                return False
            key = numbered(sealed.object.rpartition("/")[2])
            if sealed.rank is Rank.CASE_KEY and key and key.number <= anew.get(sealed.case, 0):
                return False
            receipt = self._receipt(sealed.object)
            if receipt is None or not confirmed(sealed, receipt, store.url):
                return False
            return (receipt.object, sealed.size) not in there

        for sealed in [*look(self._home, kit, lost).here, *filter(lost, self._emptied(kit))]:
            path = receipt_path(self._home, sealed.object)
            path.unlink(missing_ok=True)
            sync_directory(path.parent)
            self._log.write("lost-there", object=sealed.object)
        note_compared(self._home, said)

    def _emptied(self, kit: KitCard) -> Iterator[Sealed]:
        """What the service alone has of films that have left this card, and nobody took back."""
        asked, verifier = asked_back(self._home), kit.verifying_key()
        for name in emptied_here(self._home):
            # `look` tells of a manifest that cannot be read.
            with contextlib.suppress(BadInput, OSError):
                for sealed in _film(self._home, name, verifier) if name not in asked else ():
                    if sealed.rank is Rank.FILM and not self._gone(sealed):
                        yield sealed

    def _look_after_emptied(self, store: Store, kit: KitCard) -> None:
        """See that what left this card is still at the store, wherever no receipt says so."""

        def confirm(name: str, there: Content) -> None:
            self._confirm(store, name, Carried(name, there, "read-back"))

        doubtful = filter(self._unconfirmed(store.url), self._emptied(kit))
        for problem in look_again(store, doubtful, confirm, self._alive):
            self._problems[problem.object] = problem

    def waits(self, store: str, why: Why) -> SyncStatus:
        """Show what waits for `store` while nothing may be sent. Reaches for no network."""
        kit, enrolled = self._whose()
        clear_keys(self._home, kit, enrolled)
        self._count(kit, store)
        return self._tell("waiting", why)

    def ended(self, error: KitError, store: str) -> SyncStatus:
        """Show that a run was ended by `error`, and what waits for `store`."""
        if not self._counted:
            # The store did not let it in, so that nobody has looked what waits.
            with contextlib.suppress(KitError, OSError):
                self._count(self._whose()[0], store)
        interrupted = isinstance(error, SendInterrupted)
        return self._tell("interrupted" if interrupted else "refused", error.code)

    def _count(self, kit: KitCard, store: str) -> None:
        found = look(self._home, kit, self._unconfirmed(store))
        sends = plan(found.here, self._receipt, store, found.orders)
        self._waiting, self._waiting_bytes = len(sends), sum(sealed.size for sealed in sends)

    def _whose(self) -> tuple[KitCard, Enrolled]:
        kit = load_fact(self._home.kit_card, KitCard)
        enrolled = load_fact(self._home.enrolled, Enrolled)
        if kit is None or enrolled is None:
            raise SendRefused(
                "This kit is not set up yet, so it belongs to no service.",
                "Open its page and set it up; then it sends.",
            )
        return kit, enrolled

    def _next(
        self, store: Store, kit: KitCard, service: CardChain, tried: set[str]
    ) -> list[Sealed]:
        """What is to be sent and was not tried yet. Asked until there is nothing: a withdrawal, or
        a film that ended, may have come while the rest was on its way."""
        found = look(self._home, kit, self._unconfirmed(store.url))
        for problem in found.problems:
            self._problems[problem.object] = problem
        if self._hear(store, found, service):
            found = look(self._home, kit, self._unconfirmed(store.url))
        self._closed.update(found.orders)
        sends = [
            sealed
            for sealed in plan(found.here, self._receipt, store.url, self._closed)
            if sealed.object not in tried
        ]
        self._counted = True
        self._waiting += len(sends)
        self._waiting_bytes += sum(sealed.size for sealed in sends)
        self._tell("sending")
        return sends

    def _check_store(self, store: Store, service: Card) -> None:
        """Send nothing to a folder that merely has the right name, such as an unmounted share."""
        data = read_small(store, SERVICE_CARD)
        if data is None:
            raise SendRefused(
                f"{store.url} is not the store of a service: its card is not there.",
                "Is the share mounted? If this is a new store, the service makes it ready once "
                "with: attune base STORE -i KEYS init",
            )
        try:
            known = from_json(data, Card) == service
        except BadInput:
            known = False
        if not known:
            raise SendRefused(
                f"{store.url} belongs to another service than this kit does.",
                "Correct `store` in the kit's settings, or set the kit up for that service.",
            )

    def _hear(self, store: Store, found: Found, service: CardChain) -> bool:
        """Bring in what the service says of the cases here, before anything of them is sent. True
        if an order goes once more: it or its answer was there, and is at the store no more."""
        offered = False
        for case in sorted(found.cases - self._heard):
            self._alive()
            self._heard.add(case)
            order = found.orders.get(case)
            note = read_there(store, tombstone_object(case))
            if note is None and order and is_there(self._home.inbox / order):
                offer_again(self._home, order)
                offered = True
            answered_before = order and is_answered(self._home, order, service)
            if order and not answered_before:
                offered |= offer_if_lost(self._home, store, order_object(order), self._log)
            if note is None or answered_before:
                continue
            try:
                tombstone = service.word(note, Tombstone)
                answered = checked_id(tombstone.order)
                if tombstone.case != case or not tombstone.whole:
                    raise BadSignature("This note is about something else.")
            except BadInput:
                # Perhaps a true one that was damaged: in doubt, nothing of this case goes.
                self._closed.add(case)
                self._fault(tombstone_object(case), "false-tombstone")
                continue
            answer = self._home.inbox / (order or answered)
            if case in found.orders and is_there(answer) and read_plain(answer) == note:
                continue  # It is here, and waits for the end of a hold.
            save(answer, note)
            self._log.write("tombstone-received", case=case, order=answered)
            if case not in found.orders:
                self._closed.add(case)
                self._elsewhere.add(case)
        return offered

    def _send(self, store: Store, sends: Sequence[Sealed]) -> None:
        if self._manner.in_flight == 1:
            for sealed in sends:
                self._make_room(sealed)
                self._arrived(store, sealed, self._carry(store, sealed))
        elif sends:
            self._send_several(store, sends)

    def _send_several(self, store: Store, sends: Sequence[Sealed]) -> None:
        """Carry several at once, each thread the next as soon as its last is there, while this one
        writes receipts: a card takes a while to make them durable. The first failure ends it; what
        was on its way by then still counts if it arrives."""
        waiting = deque(sends)
        turn = threading.Lock()
        ended: SimpleQueue[tuple[Sealed, Carried | Fault | None] | BaseException | None]
        ended = SimpleQueue()

        def next_one() -> Sealed | None:
            with turn:
                if not waiting:
                    return None
                self._make_room(waiting[0])
                return waiting.popleft()

        def carry() -> None:
            try:
                while sealed := next_one():
                    ended.put((sealed, self._carry(store, sealed)))
            except BaseException as error:
                waiting.clear()
                ended.put(error)
            ended.put(None)

        # One more than may be on their way: the next is read meanwhile.
        carriers = min(self._manner.in_flight + 1, len(sends))
        for _ in range(carriers):
            threading.Thread(target=carry, name="sending", daemon=True).start()
        failure: BaseException | None = None
        try:
            while carriers:
                found = ended.get()
                if found is None:
                    carriers -= 1
                elif isinstance(found, BaseException):
                    failure = failure or found
                else:
                    self._arrived(store, *found)
        finally:
            waiting.clear()
        if failure is not None:
            raise failure

    def _make_room(self, sealed: Sealed) -> None:
        if seconds := self._manner.pace.wait(sealed.size, self._clock.monotonic()):
            self._manner.rest(seconds)
        if not self._manner.still():
            raise SendInterrupted(
                "The kit is not any more in a network in which it may send.",
                "Nothing is lost; what is left goes at base.",
            )

    def _carry(self, store: Store, sealed: Sealed) -> Carried | Fault | None:
        """Send one file, and see that it is there; None if its family has withdrawn by now. Where
        another home has taken its name, it goes beside that.

        Any thread. Raises SendInterrupted, SendRefused.
        """
        name = sealed.object
        while True:
            sent = self._put(store, sealed, name)
            if not isinstance(sent, _Sent):
                return sent
            if sent.put is Put.VERIFIED:
                return Carried(name, sent.here, "verified")
            with contextlib.suppress(NotAFile), self._slots:
                if _read_back(store, name, self._alive) == sent.here:
                    return Carried(name, sent.here, "read-back")
            # What was put there just now and reads otherwise was damaged on its way.
            taken = sent.put is Put.ALREADY_THERE and sealed.may_lie_beside
            if not taken or name != sealed.object:
                return "other-content"
            name = beside(name, self._whose()[0].id, sent.here.sha256)

    def _put(self, store: Store, sealed: Sealed, name: str) -> "_Sent | Fault | None":
        try:
            with _to_send(self._home, sealed, self._alive) as (source, here):
                if self._gone(sealed):
                    return None
                if sealed.sha256 and sealed.sha256 != here.sha256:
                    return "damaged-here"
                with self._slots:
                    self._alive(_PATIENCE + 2 * here.size / SLOWEST)
                    try:
                        return _Sent(here, store.create(name, source))
                    except NotAFile:
                        return _Sent(here, Put.ALREADY_THERE)
        except TooLarge:
            return "too-large"
        except SendFailed:
            raise
        except BadInput:
            if self._gone(sealed):
                return None
            return "damaged-here" if sealed.sha256 else "unreadable"
        except OSError:
            return None if self._gone(sealed) else "damaged-here"

    def _arrived(self, store: Store, sealed: Sealed, carried: Carried | Fault | None) -> None:
        if isinstance(carried, Carried):
            self._confirm(store, sealed.object, carried)
        elif carried is not None:
            self._fault(sealed.object, carried)
        if sealed.object not in self._problems:
            self._waiting -= 1
            self._waiting_bytes -= sealed.size
        self._tell("sending")

    def _confirm(self, store: Store, name: str, carried: Carried) -> None:
        now = self._clock.read().wall
        receipt = Receipt(
            object=carried.name,
            size=carried.content.size,
            sha256=carried.content.sha256,
            store=store.url,
            at=now,
            how=carried.how,
        )
        self._log.write("confirmed", object=carried.name, sha256=carried.content.sha256)
        path = receipt_path(self._home, name)
        path.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
        save_fact(path, receipt)
        self._sent += 1
        self._sent_bytes += carried.content.size
        self._last = now

    def _unconfirmed(self, store: str) -> Callable[[Sealed], bool]:
        return lambda sealed: not confirmed(sealed, self._receipt(sealed.object), store)

    def _receipt(self, name: str) -> Receipt | None:
        # One that cannot be read confirms nothing: the object is compared once more.
        with contextlib.suppress(BadFile):
            return receipt_of(self._home, name)
        return None

    def _gone(self, sealed: Sealed) -> bool:
        """True if the family has withdrawn by now, whatever the plan still says."""
        if sealed.rank is Rank.ORDER or not sealed.case:
            return False
        directory = self._home.case(sealed.case)
        return is_withdrawn(directory) or taken_back(self._home, sealed)

    def _fault(self, name: str, code: Fault) -> None:
        self._problems[name] = Problem(object=name, code=code)
        self._log.write(code, object=name)

    def _tell(self, state: SyncState, error: str = "") -> SyncStatus:
        self._alive()
        now = self._clock.read()
        status = SyncStatus(
            state=state,
            waiting=self._waiting,
            waiting_bytes=self._waiting_bytes,
            sent=self._sent,
            sent_bytes=self._sent_bytes,
            error=error,
            problems=tuple(self._problems[name] for name in sorted(self._problems)),
            withdrawn_elsewhere=tuple(sorted(self._elsewhere)),
            ends=self._ends,
            last_confirmed=self._last,
            bytes_per_second=self._sent_bytes / max(self._clock.monotonic() - self._began, 0.1),
            boot=now.boot,
            boottime=now.boottime,
        )
        self._show(status)
        return status


@contextlib.contextmanager
def _to_send(
    home: Home, sealed: Sealed, alive: Callable[[], object]
) -> Iterator[tuple[IO[bytes], Content]]:
    """What is sent of a file and what it holds: it begins as every sealed file does, or is the fact
    that it should be and nothing besides. Whatever was put under its name goes nowhere: not a film
    in clear, nor what a link leads to. Raises BadInput, OSError."""
    path = home.root / sealed.path
    if sealed.fact is None:
        # The power may have cut a film within its first line, and the kit has signed that.
        begins = VERSION_LINE[: sealed.size] if sealed.sha256 else VERSION_LINE
        with Measured(path, begins, alive) as source:
            yield source, source.content
    else:
        text = read_text(path)
        sealed.fact(text)
        data = text.encode()
        yield io.BytesIO(data), measure(io.BytesIO(data))


def _read_back(store: Store, name: str, alive: Callable[[], object]) -> Content:
    there = store.open(name)
    if there is None:
        raise SendInterrupted(
            f"{name} was sent and is not at the service.", "It is sent again with the next try."
        )
    with there:
        return measure(there, alive)
