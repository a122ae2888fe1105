"""One base at a time at a store: a signed lease there, which ends by itself.

Two programs with the same folder of keys take turns by the ledger's own lock. Two with a copy each
would answer one order twice, from two ledgers; so whoever comes second hears who is there.
"""

import hashlib
import io
import secrets
import socket
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path

from appliance.errors import AnotherBase, BadInput, NotAFile
from appliance.records.clock import Clock
from appliance.records.files import Fact, Timestamp
from appliance.records.signing import sign_fact
from appliance.stores.store import Put, ServiceStore, read_small
from appliance.vault.keys import PrivateKeys

LEASES = "service/lease/"
LASTS = timedelta(minutes=10)
"""So long a lease holds. It is renewed when half of it is over."""
_MACHINE = Path("/etc/machine-id")


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
    """One base's turn at a store. `take` before anything is done there, each time."""

    def __init__(self, folder: Path, keys: PrivateKeys, clock: Clock) -> None:
        self._holder = holder_of(folder)
        self._keys = keys
        self._clock = clock
        self._own: Lease | None = None
        self._found = False
        """Another program with these keys had it before: it is left to that one."""

    def take(self, store: ServiceStore) -> None:
        """Take the lease, or go on with it. Raises AnotherBase while somebody else has it,
        SendInterrupted, SendRefused."""
        now = self._clock.read().wall
        names = [entry.name for entry in store.list(LEASES)]
        own = self._own
        if own is not None and names == [_name(own.number)] and own.until - now > LASTS / 2:
            return
        held = sorted(self._held(store, names), key=lambda lease: lease.number)
        for lease in held:
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
        mine = [lease for lease in held if lease.holder == self._holder and now < lease.until]
        if own is None and mine:
            self._found, self._own = True, mine[-1]
            if mine[-1].until - now > LASTS / 2:
                return
        number = held[-1].number + 1 if held else secrets.randbelow(1000) + 1
        self._own = self._put(store, number, now)
        for name in names:
            if name != _name(number):
                store.purge(name)

    def leave(self, store: ServiceStore) -> None:
        """Give the lease back, for whoever comes next."""
        if self._own is not None and not self._found:
            store.purge(_name(self._own.number))
        self._own, self._found = None, False

    def _put(self, store: ServiceStore, number: int, now: datetime) -> Lease:
        lease = Lease(
            number=number,
            holder=self._holder,
            host=socket.gethostname(),
            since=self._own.since if self._own else now,
            until=now + LASTS,
        )
        note = sign_fact(self._keys.signer, lease).encode()
        if store.create(_name(number), io.BytesIO(note)) is Put.ALREADY_THERE:
            with suppress(BadInput, NotAFile):
                if self._keys.chain.word(read_small(store, _name(number)) or b"", Lease) == lease:
                    return lease  # The answer to an earlier try was lost.
            raise AnotherBase(
                "Another base came to this store at this very moment.",
                "Let one of them run alone.",
            )
        return lease

    def _held(self, store: ServiceStore, names: list[str]) -> Iterator[Lease]:
        """Every lease that this service has signed. Anything else there counts as nothing."""
        for name in names:
            with suppress(BadInput, NotAFile):
                note = read_small(store, name) or b""
                lease = self._keys.chain.word(note, Lease)
                if name == _name(lease.number):
                    yield lease


def _name(number: int) -> str:
    return f"{LEASES}{number:06}"
