"""One base at a time at a store: a signed lease there, which ends by itself.

Two programs with the same folder of keys take turns by the ledger's own lock. Two with a copy each
would answer one order twice, from two ledgers; so whoever comes second hears who is there.
"""

import hashlib
import io
import re
import secrets
import socket
import threading
from contextlib import AbstractContextManager, suppress
from datetime import datetime, timedelta
from pathlib import Path

from appliance.errors import AnotherBase, BadInput, NotAFile, SendRefused
from appliance.records.clock import Clock
from appliance.records.files import Fact, Timestamp
from appliance.records.signing import sign_fact
from appliance.stores.store import Put, ServiceStore, is_there, read_small
from appliance.stores.through import Through
from appliance.vault.keys import PrivateKeys

LEASES = "service/lease/"
LASTS = timedelta(minutes=10)
"""So long a lease holds. It is renewed when half of it is over."""
_MACHINE = Path("/etc/machine-id")
_APART = 10**6
"""The next number is chosen among so many: whoever may put anything here cannot be there first."""
_WHOLE = re.compile(rf"{LEASES}[0-9]{{12}}")
"""Names of one length: none is the beginning of another."""


class Lease(Fact, frozen=True, kw_only=True, tag="base-lease/v1"):
    """Who works at a store as its service, and until when. Signed by the service."""

    number: int
    holder: str
    """A machine and a folder of keys on it; nothing can be told from it."""
    host: str
    """The machine's name, for people."""
    since: Timestamp
    until: Timestamp


def holder_of(folder: Path) -> str:
    """Who holds a lease that is taken with this folder of keys: a copy of it is another."""
    machine = _MACHINE.read_text().strip() if _MACHINE.exists() else socket.gethostname()
    there = folder.resolve().stat()
    words = f"attune base\n{machine}\n{folder.resolve()}\n{there.st_dev}\n{there.st_ino}\n"
    return hashlib.sha256(words.encode()).hexdigest()[:32]


class Turn:
    """One base's turn at a store. `take` before anything is done there, each time. Any thread."""

    def __init__(self, folder: Path, keys: PrivateKeys, clock: Clock) -> None:
        self._holder = holder_of(folder)
        self._keys = keys
        self._clock = clock
        self._own: tuple[str, Lease] | None = None
        self._found = False
        """Another program with these keys had it before: it is left to that one."""
        self._lock = threading.RLock()

    def take(self, store: ServiceStore) -> None:
        """Take the lease, or go on with it. Raises AnotherBase while somebody else has it,
        SendInterrupted, SendRefused."""
        with self._lock:
            now = self._clock.read().wall
            names = _names(store)
            if self._own is not None and names == [self._own[0]] and self._is_fresh(now):
                return
            held = self._held(store, names)
            self._check_alone(held, now)
            mine = sorted(
                (lease.number, name)
                for name, lease in held.items()
                if lease.holder == self._holder and now < lease.until
            )
            kept = {name for _, name in mine}
            _remove_all(store, [name for name in names if name not in kept])
            if mine:
                self._found = self._found or self._own is None
                name = mine[-1][1]
                self._own = name, held[name]
                if self._is_fresh(now):
                    return
            highest = max((lease.number for lease in held.values()), default=0)
            self._put(store, highest + 1 + secrets.randbelow(_APART), now)
            _remove_all(store, sorted(kept))

    def keep(self, store: ServiceStore) -> None:
        """Go on with the lease in the midst of work; asks nothing of the store until half of it is
        over. Raises as `take` does."""
        with self._lock:
            if not self._is_fresh(self._clock.read().wall):
                self.take(store)

    def leave(self, store: ServiceStore) -> None:
        """Give the lease back, for whoever comes next."""
        with self._lock:
            own, found = self._own, self._found
            self._own, self._found = None, False
            if own is not None and not found:
                _remove(store, own[0])

    def _is_fresh(self, now: datetime) -> bool:
        return self._own is not None and self._own[1].until - now > LASTS / 2

    def _check_alone(self, held: dict[str, Lease], now: datetime) -> None:
        for lease in held.values():
            # One from a time that is yet to come was written by a clock that was wrong.
            if lease.holder != self._holder and now < lease.until <= now + 2 * LASTS:
                raise AnotherBase(
                    "Another base works at this store: on %(host)s, since %(since)s, until "
                    "%(until)s at least.",
                    "Let one of them run alone. If that one is gone for good, wait until then.",
                    host=lease.host,
                    since=f"{lease.since:%d %B %Y %H:%M} UTC",
                    until=f"{lease.until:%H:%M} UTC",
                )

    def _put(self, store: ServiceStore, number: int, now: datetime) -> None:
        name = f"{LEASES}{number:012}"
        lease = Lease(
            number=number,
            holder=self._holder,
            host=socket.gethostname(),
            since=self._own[1].since if self._own else now,
            until=now + LASTS,
        )
        note = sign_fact(self._keys.signer, lease).encode()
        put = store.create(name, io.BytesIO(note))
        # Whoever came at this moment had not seen this one either: whoever looks last sees both.
        held = self._held(store, _names(store))
        try:
            # What is there already is ours where the answer to an earlier try was lost.
            self._check_alone(held, now)
            if held.get(name) != lease:
                raise AnotherBase(
                    "Another base came to this store at this very moment.",
                    "Let one of them run alone.",
                )
        except AnotherBase:
            if put is not Put.ALREADY_THERE:
                _remove(store, name)
            raise
        self._own = name, lease

    def _held(self, store: ServiceStore, names: list[str]) -> dict[str, Lease]:
        """Every lease that this service has signed, by name. Anything else there counts as
        nothing."""
        held = {}
        for name in names:
            with suppress(BadInput, NotAFile):
                note = read_small(store, name) or b""
                lease = self._keys.chain.word(note, Lease)
                # Six digits: as versions before wrote it.
                if name in (f"{LEASES}{lease.number:012}", f"{LEASES}{lease.number:06}"):
                    held[name] = lease
        return held


class InTurn(Through):
    """A store at which everything is done in one base's turn, which is kept meanwhile: a round over
    a slow line takes longer than a lease holds."""

    def __init__(self, store: ServiceStore, turn: Turn) -> None:
        super().__init__(store)
        self._turn = turn

    def _asking(self) -> AbstractContextManager[None]:
        self._turn.keep(self._store)
        return super()._asking()


def _names(store: ServiceStore) -> list[str]:
    folder = LEASES.rstrip("/")
    try:
        names = [entry.name for entry in store.list(LEASES)]
    except NotAFile:
        names = []
        store.remove(folder)
    # Somebody may have put a file where the folder should be; some engines list nothing there.
    with suppress(NotAFile):
        if not names and is_there(store, folder):
            store.remove(folder)
    return names


def _remove_all(store: ServiceStore, names: list[str]) -> None:
    for name in names:
        with suppress(SendRefused):  # What cannot be removed is no lease, or has ended.
            _remove(store, name)


def _remove(store: ServiceStore, name: str) -> None:
    """Remove this and nothing that begins so: it may be the lease of another."""
    if _WHOLE.fullmatch(name):
        store.purge(name)
    else:
        store.remove(name)
