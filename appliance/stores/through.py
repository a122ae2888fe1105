"""What stands in front of a store and passes everything on; its heirs change a part of that."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from datetime import datetime
from typing import IO, BinaryIO

from appliance.stores.endings import Ending
from appliance.stores.store import Entry, Put, ServiceStore


class Through:
    """A store as it is. It is closed by whoever opened it."""

    def __init__(self, store: ServiceStore) -> None:
        self._store = store

    @property
    def url(self) -> str:
        return self._store.url

    @property
    def ends(self) -> tuple[Ending, ...]:
        return self._store.ends

    def create(self, name: str, source: IO[bytes]) -> Put:
        with self._changing(name):
            return self._store.create(name, source)

    def open(self, name: str) -> BinaryIO | None:
        with self._asking():
            return self._store.open(name)

    def list(self, prefix: str) -> Iterator[Entry]:
        with self._asking():
            return self._store.list(prefix)

    def remove(self, name: str) -> None:
        with self._changing(name):
            self._store.remove(name)

    def purge(self, prefix: str) -> tuple[str, ...]:
        with self._changing(prefix):
            return self._store.purge(prefix)

    def sweep(self, before: datetime) -> int:
        with self._asking():
            return self._store.sweep(before)

    def close(self) -> None:
        """Nothing to do."""

    def _asking(self) -> AbstractContextManager[None]:
        """Goes around whatever is asked of the store."""
        return nullcontext()

    def _changing(self, where: str) -> AbstractContextManager[None]:
        """Goes around what changes the object of this name, or all whose names begin so."""
        return self._asking()
