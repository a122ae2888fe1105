"""Homes full of sealed files, as the recorder and the page leave them, for the tests of sending."""

import contextlib
import functools
import hashlib
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import unquote, urlsplit

from appliance.age.sealing import VERSION_LINE
from appliance.base.desk import Desk, Outcome
from appliance.base.ledger import Ledger
from appliance.base.orders import make_new
from appliance.base.voices import Voices
from appliance.casework.closing import withdraw
from appliance.config import Config, write_config
from appliance.film.manifest import (
    EndReason,
    FilmEnded,
    FilmStarted,
    Mended,
    SegmentClosed,
    Tail,
    index_name,
    manifest_lines,
    segment_name,
)
from appliance.protocol.audits import StoreAudit
from appliance.protocol.cards import Card, KitCard
from appliance.protocol.case_record import CaseRecord
from appliance.protocol.enrolment import Enrolled
from appliance.protocol.permits import recipient_digest
from appliance.protocol.receipts import Receipt
from appliance.protocol.status import SyncStatus
from appliance.records.audit import Log
from appliance.records.clock import SystemClock
from appliance.records.files import Home, from_json, load_fact, new_id, save, save_fact, to_json
from appliance.records.signing import Signer
from appliance.stores.folder import FolderStore
from appliance.stores.store import Store
from appliance.sync.sender import Manner, Sender
from appliance.vault.cases import Cases, Details, OpenCase
from appliance.vault.keys import PrivateKeys

STARTED = datetime(2026, 11, 21, 14, 5, tzinfo=UTC)
CLOCK = SystemClock()


@functools.cache
def service() -> PrivateKeys:
    return PrivateKeys.generate("service")


@functools.cache
def practitioner() -> PrivateKeys:
    return PrivateKeys.generate("practitioner")


def contents(folder: Path) -> dict[str, bytes]:
    """Every file below a folder, hidden ones too, by its path inside."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def sealed_looking(dice: random.Random, size: int) -> bytes:
    """Random bytes that begin as every sealed file does."""
    return (VERSION_LINE + dice.randbytes(size))[:size]


def mended_note(recording: str, number: int, signer: Signer) -> bytes:
    """The note that stands beside a repaired segment."""
    line = SegmentClosed(
        number=number,
        name=segment_name(number),
        size=1,
        sha256="0" * 64,
        frames=1,
        seconds=1.0,
        index=index_name(number),
        index_size=1,
        index_sha256="0" * 64,
    )
    note = Mended(recording=recording, source="1" * 64, segment=line, made=STARTED)
    return signer.sign(f"{to_json(note).decode()}\n").encode()


@dataclass
class SendingKit:
    """A kit that has something to send. Its films hold random bytes: sync cannot tell."""

    root: Path
    store: Path
    id: str = field(default_factory=new_id)
    shown: list[SyncStatus] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.home = Home(self.root / "home", self.root / "run")
        self.home.prepare(self.home.kit, self.home.cases, self.home.recordings)
        self.signer = Signer.generate(f"kit-{self.id}")
        save_fact(
            self.home.kit / "kit.json", KitCard(id=self.id, verifier=str(self.signer.verifier))
        )
        enrolled = Enrolled(service=service().card(), practitioners=(practitioner().card(),))
        save_fact(self.home.kit / "enrolled.json", enrolled)
        self.cases = Cases(self.home)
        self.settings = self.root / "attune.toml"
        config = Config(home=str(self.home.root), run=str(self.home.run), store=self.store.as_uri())
        write_config(self.settings, config)

    def case(self) -> OpenCase:
        """A case with a clip."""
        case = self.cases.create(
            Details(label="a label", check_word="harbour"),
            practitioner(),
            service().chain,
            [practitioner().signer.verifier],
        )
        save(case.clips / f"{new_id()}.mp4.age", sealed_looking(random.Random(case.id), 3000))
        return case

    def film(
        self,
        case: str,
        *,
        segments: int = 2,
        size: int = 5000,
        ended: bool = True,
        tail: bool = False,
        signer: Signer | None = None,
        started: datetime = STARTED,
    ) -> str:
        """A film of so many segments; returns its name."""
        name = new_id()
        record = load_fact(self.home.case(case).record, CaseRecord)
        directory = self.home.recording(name)
        directory.mkdir(parents=True)
        lines: list[FilmStarted | SegmentClosed | FilmEnded] = [
            FilmStarted(
                recording=name,
                case=case,
                kit=self.id,
                permit=new_id(),
                consent="0" * 64,
                recipient=recipient_digest(record.recipient if record else "age1"),
                kind="visit",
                limit=300,
                sound=True,
                boot="boot",
                started=started,
            )
        ]
        dice = random.Random(name)
        for number in range(segments):
            film, index = self.sealed(case, dice, size), self.sealed(case, dice, 400)
            (directory / segment_name(number)).write_bytes(film)
            (directory / index_name(number)).write_bytes(index)
            lines.append(
                SegmentClosed(
                    number=number,
                    name=segment_name(number),
                    size=len(film),
                    sha256=hashlib.sha256(film).hexdigest(),
                    frames=900,
                    seconds=30.0,
                    index=index_name(number),
                    index_size=len(index),
                    index_sha256=hashlib.sha256(index).hexdigest(),
                )
            )
        left = None
        if tail or not ended:
            loose = self.sealed(case, dice, size // 2)
            (directory / segment_name(segments)).write_bytes(loose)
            left = Tail(
                name=segment_name(segments),
                size=len(loose),
                sha256=hashlib.sha256(loose).hexdigest(),
            )
        if ended:
            lines.append(
                FilmEnded(
                    why=EndReason.POWER if tail else EndReason.BUTTON,
                    ended=None if tail else STARTED,
                    segments=segments,
                    frames=900 * segments,
                    seconds=30.0 * segments,
                    tail=left,
                )
            )
        text = manifest_lines(*lines)
        if ended:
            text = (signer or self.signer).sign(text)
        (directory / "manifest").write_text(text)
        return name

    def sealed(self, case: str, dice: random.Random, size: int) -> bytes:
        """What its recorder makes of so many bytes of a film."""
        return sealed_looking(dice, size)

    def withdraw(self, case: str) -> str:
        """The family withdraws on this kit; returns the id of the order."""
        return withdraw(self.home.case(case), practitioner(), self.id, STARTED).id

    def sender(
        self, store: Store | None = None, in_flight: int = 1, emptying: bool = False
    ) -> Sender:
        self.home.prepare(self.home.receipts, self.home.inbox)
        log = Log(self.home.log("sync"), CLOCK)
        opened: Callable[[], Store] = lambda: store or FolderStore(self.store)  # noqa: E731
        manner = Manner(in_flight, emptying=emptying)
        return Sender(self.home, opened, CLOCK, log, self.shown.append, manner)

    def sync(self, store: Store | None = None, in_flight: int = 1) -> SyncStatus:
        """One run of the sender in this process."""
        return self.sender(store, in_flight).run()

    def receipts(self) -> dict[str, Receipt]:
        """Every receipt there is, by the name of its object."""
        found = [
            from_json(data, Receipt)
            for name, data in contents(self.home.receipts).items()
            if name.endswith(".json")
        ]
        return {receipt.object: receipt for receipt in found}

    def sendable(self) -> dict[str, bytes]:
        """What the service should end up with, by the name it should have there."""
        there = {f"kits/{self.id}/card.json": (self.home.kit / "kit.json").read_bytes()}
        for name, data in contents(self.home.cases).items():
            case, _, file = name.partition("/")
            if file == "withdrawal" or file == "case.json":
                continue
            there[f"cases/{case}/{file}"] = data
        return there


def new_store(folder: Path) -> FolderStore:
    """A folder that the service has prepared as a store."""
    folder.mkdir(parents=True)
    store = FolderStore(folder)
    make_new(store, service())
    return store


@contextlib.contextmanager
def ledger_of(store: FolderStore) -> Iterator[Ledger]:
    """The service's ledger, held. It is in keys/, beside the store."""
    keys = Path(unquote(urlsplit(store.url).path)).parent / "keys"
    keys.mkdir(exist_ok=True)
    ledger = Ledger(keys, service().signer, CLOCK)
    with ledger.at_work():
        yield ledger


@contextlib.contextmanager
def desk(store: FolderStore, former: Sequence[Card] = ()) -> Iterator[Desk]:
    """The service at work, with one practitioner whose orders count."""
    with ledger_of(store) as ledger:
        voices = Voices(store, service(), [practitioner().card()], former, ledger)
        yield Desk(store, service(), voices, ledger, CLOCK)


def served(store: FolderStore, former: Sequence[Card] = ()) -> list[Outcome]:
    """A round of the service's program."""
    with desk(store, former) as at_work:
        return at_work.work()


def withdraw_at_service(store: FolderStore, case: str) -> str:
    """A family rang the service itself. Returns the order's id."""
    with desk(store) as at_work:
        return at_work.withdraw_case(case)


def an_audit(at: datetime = STARTED, lost: Sequence[str] = (), more: int = 0) -> StoreAudit:
    """What the service found when it looked through its store."""
    return StoreAudit(
        number=1,
        at=at,
        objects=1,
        cases=1,
        films=1,
        read=0,
        opened=True,
        waiting=0,
        found={"missing": len(lost) + more} if lost else {},
        lost=tuple(lost),
        more=more,
    )
