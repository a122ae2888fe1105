"""One listing of what the service itself has at its store, for all who ask in the same round.

Its cards, its rosters and its lease are looked at in every round, which is every ten seconds. Each
listed by itself, that is as many requests as there are kinds.
"""

import contextlib
import threading
from collections.abc import Iterator

from appliance.stores.store import Entry, ServiceStore
from appliance.stores.through import Through

OWN = "service/"


class Glance(Through):
    """A store for the length of a round. What has a name under OWN is listed once, and again after
    something there was changed through this; what is in it is read anew each time."""

    def __init__(self, store: ServiceStore) -> None:
        super().__init__(store)
        self._seen: tuple[Entry, ...] | None = None
        self._lock = threading.Lock()

    def list(self, prefix: str) -> Iterator[Entry]:
        if not prefix.startswith(OWN):
            return super().list(prefix)
        with self._lock:
            if self._seen is None:
                self._seen = tuple(super().list(OWN))
            return iter([entry for entry in self._seen if entry.name.startswith(prefix)])

    @contextlib.contextmanager
    def _changing(self, where: str) -> Iterator[None]:
        try:
            yield
        finally:
            if where.startswith(OWN) or OWN.startswith(where):
                with self._lock:
                    self._seen = None
