"""What base has decided and done, in a chain of its own beside its keys.

The store is a place and no witness: it may be restored from yesterday's backup, or lose anything.
So each decision is written down here first, then carried out, then signed for at the store; and
whatever of it the store has lost is done there again. The chain is `appliance.records.audit`'s; how
far it has come is signed with the service's key, here and at the store.

    KEYS/ledger/log     a line a decision
    KEYS/ledger/head    how far it has come, signed
    service/ledger      the same, at the store: what it has been told of

A line that the head does not speak of was about to be written when the power failed, and nothing of
it was done: it is dropped.
"""

import contextlib
import fcntl
import os
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from pathlib import Path
from typing import Literal

from appliance.errors import BadFile, BadInput, BadSignature, NotAFile, NotPossible
from appliance.protocol.cards import CardChain
from appliance.records.audit import START, Entry, Log
from appliance.records.audit import Head as End
from appliance.records.clock import Clock
from appliance.records.files import Fact, read_text, save
from appliance.records.signing import Signer, open_fact, sign_fact
from appliance.stores.store import Store, read_small

LEDGER = "service/ledger"
PATIENCE_SECONDS = 60.0
"""So long a rehearsal waits for whoever works."""
_LOOKED_EVERY_SECONDS = 0.2

Kind = Literal[
    "accepted",
    "waits",
    "begun",
    "answered",
    "removed-again",
    "let-in",
    "held",
    "lifted",
    "revoked",
    "ordered",
    "purged",
    "signed-anew",
    "asked",
    "taken",
    "emptied",
    "roster",
    "exported",
    "setting",
    "declined",
]
"""What a line is about, each under the name of what it speaks of: an order up to `removed-again`,
then somebody in a case, a hold, a practitioner, an order for a kit by its number, a place at
the store where something lay that made way, the card for which all was signed anew, what was asked
of whoever has the opening key and came back, a case of which all is gone, a roster by its
number, a case that was opened for somebody outside, what the service has set, by where it lies at
the store, and an order or a hold that it has refused."""


class LedgerHead(Fact, frozen=True, kw_only=True, tag="ledger-head/v1"):
    """How far a service's ledger has come. Signed by the service."""

    number: int
    sha256: str
    """Of the last line (hex)."""


@dataclass(frozen=True)
class Line:
    """The last that was written of something."""

    at: datetime
    ids: dict[str, str]


class Standing(Enum):
    """How a store stands to the ledger."""

    SAME = "up to date"
    BEHIND = "behind"
    """It was told of less: it is new, or restored from a copy, or a round was cut short."""


class Ledger:
    """The ledger of one service. `at_work` before anything is asked of it or written."""

    def __init__(
        self,
        folder: Path,
        signer: Signer,
        clock: Clock,
        keep: bool = True,
        service: CardChain | None = None,
        patience: float = PATIENCE_SECONDS,
    ) -> None:
        """`folder` is the folder of keys. Without `keep` nothing is written: for a rehearsal, which
        waits `patience` seconds at most for whoever works.
        `service`: whose ledger this is, where `signer` is not its only key."""
        self._directory = folder / "ledger"
        self._signer = signer
        self._clock = clock
        self._keep = keep
        self._service = service
        self._patience = patience
        self._log: Log | None = None
        self._note = ""
        self._size = 0
        self._sha256 = [START]
        self._lines: dict[Kind, dict[str, Line]] = defaultdict(dict)
        self._closing: dict[str, list[Line]] = defaultdict(list)

    @contextlib.contextmanager
    def at_work(self) -> Iterator[None]:
        """Hold the ledger alone, and read what another program of this service has written since.

        Raises BadFile for one that was cut short or altered, BadSignature for another service's; in
        a rehearsal NotPossible while another program has it for long.
        """
        with self._locked():
            if self._log is None or self._note != self._signed_head() or self._size != self._end:
                self._read()
            yield

    def of(self, kind: Kind) -> dict[str, Line]:
        """Every line of a kind, the last of each name."""
        return self._lines[kind]

    def closing(self, case: str) -> Line | None:
        """The answer that stands for a case that was withdrawn: the first by which its keys went,
        or else the last under a hold. None where there is none."""
        lines = self._closing.get(case, [])
        for line in lines:
            if not line.ids["held"]:
                return line
        return lines[-1] if lines else None

    def write(self, kind: Kind, name: str, **ids: str) -> None:
        """Write down one thing; on the disk and signed when this returns."""
        self.write_all([(kind, {"name": name, **ids})])

    def write_all(self, lines: list[tuple[Kind, dict[str, str]]]) -> None:
        """Write down several things, signed for as one. Raises NotPossible."""
        for kind, ids in lines:
            if self._keep:
                assert self._log is not None, "the ledger is not held"
                self._take_in(self._log.append(kind, ids))
                self._sha256.append(self._log.head.sha256)
            else:
                self._keep_line(kind, Line(self._clock.read().wall, ids))
        if lines and self._keep:
            self._save_head()

    def standing(self, store: Store) -> Standing:
        """How this store stands to what is written here.

        Raises BadFile where the store was told of more than is here, or of something else.
        """
        told = self._told(store)
        if told is None:
            return Standing.BEHIND
        if told.number >= len(self._sha256):
            raise BadFile(
                f"The ledger beside the keys was cut short: it ends at line {self.length}, and the "
                f"store was told of {told.number}.",
                f"Put the newest copy of {self._directory} back. If there is none: attune base "
                "STORE -i KEYS ledger --from-store",
            )
        if self._sha256[told.number] != told.sha256:
            raise BadFile(
                f"The ledger beside the keys is not the one that the store was told of: line "
                f"{told.number} is another.",
                f"Put the newest copy of {self._directory} back. If there is none: attune base "
                "STORE -i KEYS ledger --from-store",
            )
        return Standing.SAME if told.number == self.length else Standing.BEHIND

    @property
    def keeps(self) -> bool:
        """False in a rehearsal: nothing is written."""
        return self._keep

    @property
    def length(self) -> int:
        """How many lines there are."""
        return len(self._sha256) - 1

    @property
    def head(self) -> LedgerHead:
        return LedgerHead(number=self.length, sha256=self._sha256[-1])

    def set_aside(self) -> Path:
        """Put what cannot be believed out of the way, and begin anew; returns where it lies."""
        self._log = None
        aside = self._directory.with_name(f"ledger-{time.time_ns()}")
        self._directory.rename(aside)
        return aside

    def _told(self, store: Store) -> LedgerHead | None:
        try:
            note = read_small(store, LEDGER) or b""
            return open_fact(
                note,
                self._service.signing if self._service else [self._signer.verifier],
                LedgerHead,
            )[0]
        except (BadInput, NotAFile):
            # Whoever has a kit's way in may have put anything there.
            return None

    def _opened(self, note: str | bytes) -> LedgerHead:
        # Here it was written by us, whichever of our keys signed.
        ever = self._service.ever if self._service else ()
        return open_fact(note, {self._signer.verifier, *ever}, LedgerHead)[0]

    def _read(self) -> None:
        self._lines.clear()
        self._closing.clear()
        self._sha256 = [START]
        self._note = self._signed_head()
        try:
            head = self._opened(self._note) if self._note else LedgerHead(number=0, sha256=START)
        except BadSignature as error:
            raise BadSignature(
                f"The ledger in {self._directory} belongs to another service, or was altered.",
                "Put this service's own back, or move that one away if this service is new.",
            ) from error
        if not self._keep and not self._directory.exists():
            return
        try:
            self._log = Log(self._directory, self._clock, self._seen, head.number)
            if self._log.head != End(head.number, head.sha256):
                raise BadFile(
                    f"The signed head speaks of {head.number} lines, and there are "
                    f"{self._log.head.number}."
                )
        except BadFile as error:
            self._log = None
            raise BadFile(
                f"The ledger in {self._directory} was cut short or altered. {error.sentence}",
                "Put the newest copy back. If there is none: attune base STORE -i KEYS ledger "
                "--from-store",
            ) from error
        self._sha256[-1] = head.sha256
        self._size = self._end

    @property
    def _end(self) -> int:
        """Bytes of the log as it lies there: another program may have been killed after it had
        written a line and before it had signed for it."""
        with contextlib.suppress(FileNotFoundError):
            return (self._directory / "log").stat().st_size
        return 0

    def _seen(self, entry: Entry) -> None:
        self._take_in(entry)
        # Each line says what the one before was.
        self._sha256[-1] = entry.before
        self._sha256.append("")

    def _take_in(self, entry: Entry) -> None:
        self._keep_line(entry.event, Line(entry.wall, entry.ids))  # type: ignore[arg-type]

    def _keep_line(self, kind: Kind, line: Line) -> None:
        self._lines[kind][line.ids["name"]] = line
        if kind == "answered" and line.ids["whole"]:
            lines = self._closing[line.ids["case"]]
            same = [i for i, known in enumerate(lines) if known.ids["name"] == line.ids["name"]]
            if same and bool(lines[same[-1]].ids["held"]) == bool(line.ids["held"]):
                lines[same[-1]] = line  # The same answer, signed anew.
            else:
                lines.append(line)

    def _save_head(self) -> None:
        note = sign_fact(self._signer, self.head)
        save(self._directory / "head", note.encode(), mode=0o600)
        self._note, self._size = note, self._end

    def _signed_head(self) -> str:
        with contextlib.suppress(FileNotFoundError):
            return read_text(self._directory / "head")
        return ""

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        if not self._keep and not self._directory.exists():
            yield
            return
        self._directory.mkdir(mode=0o700, exist_ok=True)
        descriptor = os.open(self._directory / "lock", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        try:
            if self._keep:
                fcntl.flock(descriptor, fcntl.LOCK_EX)
            else:
                self._wait_for(descriptor)
            yield
        finally:
            os.close(descriptor)

    def _wait_for(self, descriptor: int) -> None:
        until = time.monotonic() + self._patience
        while True:
            with contextlib.suppress(BlockingIOError):
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            if time.monotonic() >= until:
                raise NotPossible(
                    "Another program of this service works here, and has come to no end for long.",
                    "Try again. If it is so for an hour: systemctl status attune-base, then start "
                    "it again.",
                )
            time.sleep(_LOOKED_EVERY_SECONDS)
