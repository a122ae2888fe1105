"""What a store is, whatever engine stands behind it: one narrow interface.

A kit may create an object under a new name and read it back. It can neither overwrite nor delete,
so nothing that is taken over on a kit can take anything away from the service; only `purge` can,
for the service's own program.
"""

import hashlib
import io
import os
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from pathlib import Path
from typing import IO, BinaryIO, NamedTuple, Protocol, TypeVar

from appliance.errors import BadFile, BadInput, KitError, NotLetIn, NotPossible, SendRefused
from appliance.records.files import plain_descriptor
from appliance.stores.endings import Ending

SMALL = 64 * 1024
"""No card, order or tombstone is longer than this, whatever a store may hold under its name."""

_T = TypeVar("_T")

NAME = re.compile(r"[a-z0-9][a-z0-9._-]*(/[a-z0-9][a-z0-9._-]*)*")
BLOCK = 128 << 10
"""Bytes that are read, hashed and sent at once."""
_PIECE = 1 << 20
SLOWEST = 16 * 1024
"""Bytes a second of one object: a slower line counts as broken."""


class Put(Enum):
    """What became of a `create`."""

    VERIFIED = "verified"
    """Created, and the store has shown that it holds just these bytes: it refuses a body with
    another checksum than the signed one, and it answered with the digest of what it got."""
    CREATED = "created"
    """The store says so. Only reading back shows that it holds these bytes."""
    ALREADY_THERE = "already-there"
    """Perhaps with the same content, from an answer that was lost: compare before judging."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One object in a listing. A listing is a hint and never a confirmation."""

    name: str
    size: int


class Store(Protocol):
    """What a kit can do at the service. Every method raises SendInterrupted or SendRefused, and
    may be called from several threads at once."""

    @property
    def url(self) -> str:
        """Which store this is, without anything secret."""

    @property
    def ends(self) -> tuple[Ending, ...]:
        """What of the way in ends by itself, and when."""

    def create(self, name: str, source: IO[bytes]) -> Put:
        """Put all of `source`, a seekable file, under a new name: whole or not at all, durable on
        return."""

    def open(self, name: str) -> BinaryIO | None:
        """An object to read and seek in, or None if there is none. Reads what the store holds,
        not what this machine still remembers of it, as far as that can be asked for."""

    def list(self, prefix: str) -> Iterator[Entry]:
        """Every object whose name starts with `prefix`, in the order of names."""

    def close(self) -> None:
        """Let go of the store. Safe to call twice."""


class ServiceStore(Store, Protocol):
    """What the service's own program can do besides."""

    def remove(self, name: str) -> None:
        """Remove one object. Raises NotLetIn where this credential may not."""

    def purge(self, prefix: str) -> tuple[str, ...]:
        """Remove every object whose name starts with `prefix`, with every version of it and every
        unfinished one, for good; returns the names. Safe to call again."""

    def sweep(self, before: datetime) -> int:
        """Remove what tries that were cut before then have left, wherever it lies; returns how much
        there was. Objects are never touched."""


def checked_name(name: str) -> str:
    """`name` if an object may be called so. Raises BadInput."""
    if not NAME.fullmatch(name):
        raise BadInput(f"{name!r} cannot be the name of an object.")
    return name


def refuses_delete(store: ServiceStore, kit: str) -> bool:
    """True if a kit's credential cannot delete. Tries it on an object that is made for this.

    Raises SendInterrupted, SendRefused.
    """
    name = f"kits/{kit}/not-to-be-deleted"
    store.create(name, io.BytesIO(b"Made to see that a kit cannot delete it.\n"))
    try:
        store.remove(name)
    except NotLetIn:
        return True
    return False


def is_there(store: Store, name: str) -> bool:
    """True if there is something under this name, whatever it is."""
    found = store.open(name)
    if found is not None:
        found.close()
    return found is not None


def in_turn(remove: Callable[[_T], object], what: Iterable[_T]) -> None:
    """Remove each. One that may not be removed keeps none of the others: what went wrong with it is
    raised when all were tried. Raises SendInterrupted at once."""
    failed = None
    for one in what:
        try:
            remove(one)
        except SendRefused as error:
            failed = error
    if failed is not None:
        raise failed


def read_small(store: Store, name: str, most: int = SMALL) -> bytes | None:
    """A card, order or tombstone; None if there is none, or something too long to be one."""
    found = store.open(name)
    if found is None:
        return None
    with found:
        data = found.read(most + 1)
    return data if len(data) <= most else None


def pieces(source: IO[bytes], size: int = _PIECE) -> Iterator[bytes]:
    """All that is left to read, `size` bytes at a time. Raises NotPossible when this machine's own
    disk fails, so that it is never taken for a failure of the store."""
    while True:
        try:
            piece = source.read(size)
        except KitError:
            raise
        except OSError as error:
            raise NotPossible(
                f"What was to be sent could not be read here: {error.strerror}.",
                "Look at the card: it may be worn.",
            ) from error
        if not piece:
            return
        yield piece


class Content(NamedTuple):
    """What a file holds, as far as two files can be told apart by it."""

    size: int
    sha256: str
    """Hex."""
    md5: bytes
    """What an S3 engine can be told, so that it takes just these bytes."""


def measure(source: IO[bytes], alive: Callable[[], object] = lambda: None) -> Content:
    """What is left to read in `source`. `alive` is called with each block. Raises NotPossible as
    `pieces` does."""
    sha256, md5 = hashlib.sha256(), hashlib.md5(usedforsecurity=False)
    size = 0
    # A block at a time through both, while it is near to the processor.
    for block in pieces(source, BLOCK):
        sha256.update(block)
        md5.update(block)
        size += len(block)
        alive()
    return Content(size, sha256.hexdigest(), md5.digest())


class Measured(io.FileIO):
    """A file to send that was read once to its end before it goes: what it held then is its
    `content`. What is checked is what is sent, whatever lies under its name by then.

    Raises BadFile for what is no plain file, does not begin as it should, or has holes in it: what
    was sealed has none, and a terabyte of nothing would hold up all that follows. Raises OSError.
    """

    def __init__(
        self, path: Path, begins: bytes = b"", alive: Callable[[], object] = lambda: None
    ) -> None:
        """`alive` is called at each read: it shows that the sender gets on."""
        super().__init__(plain_descriptor(path))
        self._alive = alive
        try:
            size = self.seek(0, os.SEEK_END)
            if size and self.seek(0, os.SEEK_HOLE) < size:
                raise BadFile("%(name)s has holes in it.", name=path.name)
            self.seek(0)
            if self.read(len(begins)) != begins:
                raise BadFile("%(name)s is not what is sent under such a name.", name=path.name)
            self.seek(0)
            self.content = measure(self)
            self.seek(0)
        except BaseException:
            self.close()
            raise

    def read(self, size: int | None = -1, /) -> bytes:
        self._alive()
        return super().read(size)
