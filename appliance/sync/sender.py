"""Carrying out the plan: send, read back, compare, and only then write a receipt.

A cut at any moment loses nothing: an object without a receipt is sent again, finds itself there
already, and is compared.
"""

import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from appliance.audit import HEADS_NAME, Log
from appliance.cases import CaseRecord, is_withdrawn, withdrawal_note
from appliance.clock import Clock
from appliance.consent import Tombstone
from appliance.errors import (
    BadFile,
    BadInput,
    BadSignature,
    KitError,
    SendFailed,
    SendInterrupted,
    SendRefused,
)
from appliance.files import ID, Home, checked_id, from_json, load_fact, save, save_fact
from appliance.film import parse_manifest
from appliance.keys import Card
from appliance.permits import Enrolled
from appliance.receipts import (
    SERVICE_CARD,
    Fault,
    KitCard,
    Problem,
    Receipt,
    State,
    SyncStatus,
    case_object,
    film_object,
    heads_object,
    kit_object,
    order_object,
    receipt_of,
    receipt_path,
    tombstone_object,
)
from appliance.signing import Verifier, open_note
from appliance.stores import Store, measure, read_small
from appliance.sync.orders import bring_in, film_orders, taken_back
from appliance.sync.plan import Rank, Sealed, plan


@dataclass(frozen=True)
class Found:
    """What lies on this kit that the service should have."""

    here: tuple[Sealed, ...]
    cases: frozenset[str]
    """Every case that something here belongs to."""
    orders: dict[str, str]
    """Cases withdrawn here, with the id of the order ('' if that cannot be read)."""
    problems: tuple[Problem, ...]


def look(home: Home, kit: KitCard) -> Found:
    """Go through the home. Films count once their manifest is finished and signed by this kit."""
    verifier = kit.verifying_key()
    card = home.kit / "kit.json"
    here = [Sealed(kit_object(kit.id), "kit/kit.json", card.stat().st_size, Rank.KIT)]
    here += [
        Sealed(
            heads_object(kit.id, path.name), f"kit/heads/{path.name}", path.stat().st_size, Rank.KIT
        )
        for path in home.kit.glob("heads/*")
        if HEADS_NAME.fullmatch(path.name)
    ]
    problems: list[Problem] = []
    cases: set[str] = set()
    orders: dict[str, str] = {}
    for name in _ids(home, "cases"):
        cases.add(name)
        try:
            here += _case(home, name, orders)
            here += film_orders(home, name)
        except BadFile:
            problems.append(Problem(object=f"cases/{name}", code="unreadable"))
    for name in _ids(home, "recordings"):
        try:
            film = _film(home, name, verifier)
        except (BadInput, UnicodeDecodeError):
            problems.append(Problem(object=f"recordings/{name}", code="unreadable"))
            continue
        cases.update(sealed.case for sealed in film)
        here += (s for s in film if not taken_back(home, s))
    return Found(tuple(here), frozenset(cases), orders, tuple(problems))


def _ids(home: Home, folder: str) -> list[str]:
    with contextlib.suppress(FileNotFoundError):
        return sorted(p.name for p in (home.root / folder).iterdir() if ID.fullmatch(p.name))
    return []


def _case(home: Home, name: str, orders: dict[str, str]) -> list[Sealed]:
    directory = home.case(name)
    if (directory / "withdrawal").exists():
        # Noted before it is read: whatever it says, nothing else of this case goes.
        orders[name] = ""
        found = withdrawal_note(directory)
        if found is None or found[0].case != name:
            raise BadFile("The order of withdrawal is not this case's.")
        orders[name] = checked_id(found[0].id)
        path = f"cases/{name}/withdrawal"
        return [Sealed(order_object(orders[name]), path, len(found[1].encode()), Rank.ORDER, name)]
    record = load_fact(directory / "case.json", CaseRecord)
    if record is None:
        return []
    if record.state == "withdrawn":
        orders[name] = ""
        return []
    ranks = {
        "identity-*.age": Rank.CASE_KEY,
        "documents/*.age": Rank.DOCUMENT,
        "clips/*.mp4.age": Rank.CLIP,
        # Without its note, what is mended of a film is still being made.
        "derived/*/*.mended": Rank.DOCUMENT,
    }
    files = [(path, rank) for pattern, rank in ranks.items() for path in directory.glob(pattern)]
    # So is a film from elsewhere, without its manifest.
    for manifest in directory.glob("imports/*/manifest"):
        files += [(manifest, Rank.MANIFEST)]
        files += [(path, Rank.FILM) for path in manifest.parent.glob("*.age")]
    for note in directory.glob("derived/*/*.mended"):
        files += [(path, Rank.FILM) for path in note.parent.glob(f"{note.stem}.*.age")]
    return [
        Sealed(case_object(name, file), f"cases/{name}/{file}", path.stat().st_size, rank, name)
        for path, rank in files
        if not path.name.startswith(".")
        for file in [path.relative_to(directory).as_posix()]
    ]


def _film(home: Home, name: str, verifier: Verifier) -> list[Sealed]:
    try:
        data = (home.recording(name) / "manifest").read_bytes()
    except FileNotFoundError:
        return []
    manifest = parse_manifest(data.decode(), [verifier])
    started, ended = manifest.started, manifest.ended
    if started.recording != name:
        raise BadFile("This manifest belongs to another film.")
    if ended is None or manifest.signed_by is None:
        return []
    case = checked_id(started.case)
    files = [(segment.name, segment.size, segment.sha256) for segment in manifest.segments]
    files += [(s.index, s.index_size, s.index_sha256) for s in manifest.segments]
    if ended.tail is not None:
        files.append((ended.tail.name, ended.tail.size, ended.tail.sha256))
    # The oldest film first, its parts in the order of their names: index, then segment.
    since = started.started.astimezone(UTC).isoformat()
    folder = f"recordings/{name}"
    manifest_object = film_object(case, name, "manifest")
    return [
        Sealed(manifest_object, f"{folder}/manifest", len(data), Rank.MANIFEST, case),
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
            for file, size, sha256 in files
        ),
    ]


class Sender:
    """One kit and one store. Used by one thread; what it does is durable step by step."""

    def __init__(
        self,
        home: Home,
        open_store: Callable[[], Store],
        clock: Clock,
        log: Log,
        show: Callable[[SyncStatus], None],
    ) -> None:
        self._home = home
        self._open_store = open_store
        self._clock = clock
        self._log = log
        self._show = show
        self._waiting = self._waiting_bytes = 0
        self._sent = self._sent_bytes = 0
        self._problems: dict[str, Problem] = {}
        self._heard: set[str] = set()
        self._closed: set[str] = set()
        self._elsewhere: set[str] = set()
        self._last: datetime | None = None

    def run(self) -> SyncStatus:
        """Send until nothing new is left; once for each object of this sender.

        Raises SendInterrupted, SendRefused, BadInput (what is set wrongly), NotPossible (this
        kit's own card).
        """
        kit, service = self._whose()
        with contextlib.closing(self._open_store()) as store:
            self._check_store(store, service)
            for problem in bring_in(self._home, store, kit, service, self._log):
                self._problems[problem.object] = problem
            tried: set[str] = set()
            while sends := self._next(store, kit, service, tried):
                for sealed in sends:
                    tried.add(sealed.object)
                    self._send(store, sealed)
                    if sealed.object not in self._problems:
                        self._waiting -= 1
                        self._waiting_bytes -= sealed.size
                    self._tell("sending")
        return self._tell("incomplete" if self._problems else "sent")

    def ended(self, error: KitError) -> SyncStatus:
        """Show that a run was ended by `error`."""
        interrupted = isinstance(error, SendInterrupted)
        return self._tell("interrupted" if interrupted else "refused", error.code)

    def _whose(self) -> tuple[KitCard, Card]:
        kit = load_fact(self._home.kit / "kit.json", KitCard)
        enrolled = load_fact(self._home.kit / "enrolled.json", Enrolled)
        if kit is None or enrolled is None:
            raise SendRefused(
                "This kit is not set up yet, so it belongs to no service.",
                "Open its page and set it up; then it sends.",
            )
        return kit, enrolled.service

    def _next(self, store: Store, kit: KitCard, service: Card, tried: set[str]) -> list[Sealed]:
        """What is to be sent and was not tried yet. Asked until there is nothing: a withdrawal, or
        a film that ended, may have come while the rest was on its way."""
        found = look(self._home, kit)
        for problem in found.problems:
            self._problems[problem.object] = problem
        self._hear(store, found, service)
        self._closed.update(found.orders)
        sends = [
            sealed
            for sealed in plan(found.here, self._receipt, store.url, self._closed)
            if sealed.object not in tried
        ]
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
                "with: attune base STORE -i KEYS --new --once",
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

    def _hear(self, store: Store, found: Found, service: Card) -> None:
        """Bring in what the service says of the cases here, before anything of them is sent."""
        for case in sorted(found.cases - self._heard):
            self._heard.add(case)
            order = found.orders.get(case)
            if order and (self._home.inbox / order).exists():
                continue
            note = read_small(store, tombstone_object(case))
            if note is None:
                continue
            try:
                text = note.decode()
                signed, _ = open_note(text, [service.verifying_key()])
                tombstone = from_json(signed, Tombstone)
                answered = checked_id(tombstone.order)
                if tombstone.case != case:
                    raise BadSignature("This note is about another case.")
            except (BadInput, UnicodeDecodeError):
                # Perhaps a true one that was damaged: in doubt, nothing of this case goes.
                self._closed.add(case)
                self._fault(tombstone_object(case), "false-tombstone")
                continue
            save(self._home.inbox / (order or answered), note)
            self._log.write("tombstone-received", case=case, order=answered)
            if case not in found.orders:
                self._closed.add(case)
                self._elsewhere.add(case)

    def _send(self, store: Store, sealed: Sealed) -> None:
        try:
            with open(self._home.root / sealed.path, "rb") as file:
                here = measure(file)
                if self._gone(sealed):
                    return
                if sealed.sha256 and sealed.sha256 != here[1]:
                    self._fault(sealed.object, "damaged-here")
                    return
                file.seek(0)
                store.create(sealed.object, file)
        except SendFailed:
            raise
        except OSError:
            if not self._gone(sealed):
                self._fault(sealed.object, "damaged-here")
            return
        if _read_back(store, sealed.object) == here:
            self._confirm(store, sealed.object, *here)
        else:
            self._fault(sealed.object, "other-content")

    def _confirm(self, store: Store, name: str, size: int, sha256: str) -> None:
        now = self._clock.read().wall
        receipt = Receipt(
            object=name, size=size, sha256=sha256, store=store.url, at=now, how="read-back"
        )
        self._log.write("confirmed", object=name, sha256=sha256)
        path = receipt_path(self._home, name)
        path.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
        save_fact(path, receipt)
        self._sent += 1
        self._sent_bytes += size
        self._last = now

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

    def _tell(self, state: State, error: str = "") -> SyncStatus:
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
            last_confirmed=self._last,
            boot=now.boot,
            boottime=now.boottime,
        )
        self._show(status)
        return status


def _read_back(store: Store, name: str) -> tuple[int, str]:
    there = store.open(name)
    if there is None:
        raise SendInterrupted(
            f"{name} was sent and is not at the service.", "It is sent again with the next try."
        )
    with there:
        return measure(there)
