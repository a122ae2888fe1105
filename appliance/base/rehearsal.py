"""A store at which nothing is changed, for `--dry-run`: what would be removed is named."""

import heapq
import io
from collections.abc import Iterator
from datetime import datetime
from typing import IO, BinaryIO

from appliance.stores.store import Entry, Put, ServiceStore
from appliance.stores.through import Through


class Rehearsal(Through):
    """Answers as the store would after each step, and changes nothing there."""

    def __init__(self, store: ServiceStore) -> None:
        super().__init__(store)
        self._made: dict[str, bytes] = {}
        self._gone: set[str] = set()

    def create(self, name: str, source: IO[bytes]) -> Put:
        there = self.open(name)
        if there is not None:
            there.close()
            return Put.ALREADY_THERE
        self._made[name] = source.read()
        return Put.CREATED

    def open(self, name: str) -> BinaryIO | None:
        if name in self._made:
            return io.BytesIO(self._made[name])
        return None if name in self._gone else self._store.open(name)

    def list(self, prefix: str) -> Iterator[Entry]:
        made = [
            Entry(name, len(data))
            for name, data in sorted(self._made.items())
            if name.startswith(prefix)
        ]
        there = (
            entry
            for entry in self._store.list(prefix)
            if entry.name not in self._gone and entry.name not in self._made
        )
        yield from heapq.merge(made, there, key=lambda entry: entry.name)

    def remove(self, name: str) -> None:
        self.purge(name)

    def purge(self, prefix: str) -> tuple[str, ...]:
        names = tuple(entry.name for entry in self.list(prefix))
        self._gone.update(names)
        for name in names:
            self._made.pop(name, None)
        return names

    def sweep(self, before: datetime) -> int:
        return 0
