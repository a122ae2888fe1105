"""One listing of what is the service's own, for a round: never older than what was changed."""

import io
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from appliance.base.watch.glance import Glance
from appliance.stores.folder import FolderStore
from appliance.stores.store import Entry, ServiceStore
from appliance.stores.through import Through


class Counted(Through):
    """Tells what it was asked to list."""

    def __init__(self, store: ServiceStore) -> None:
        super().__init__(store)
        self.listed: list[str] = []

    def list(self, prefix: str) -> Iterator[Entry]:
        self.listed.append(prefix)
        return super().list(prefix)


@pytest.fixture
def store(tmp_path: Path) -> Counted:
    store = Counted(FolderStore(tmp_path))
    for name in ("service/card.json", "service/card/0002", "service/lease/1", "orders/a"):
        store.create(name, io.BytesIO(name.encode()))
    return store


def names(store: ServiceStore, prefix: str) -> list[str]:
    return [entry.name for entry in store.list(prefix)]


def test_what_is_the_services_own_is_listed_once(store: Counted) -> None:
    glance = Glance(store)
    assert names(glance, "service/card/") == ["service/card/0002"]
    assert names(glance, "service/lease/") == ["service/lease/1"]
    assert names(glance, "service/roster/") == []
    assert store.listed == ["service/"]


def test_everything_else_is_listed_each_time(store: Counted) -> None:
    glance = Glance(store)
    assert names(glance, "orders/") == names(glance, "orders/") == ["orders/a"]
    assert store.listed == ["orders/", "orders/"]


@pytest.mark.parametrize(
    ("change", "left"),
    [
        (lambda s: s.create("service/lease/2", io.BytesIO(b"2")), ["1", "2"]),
        (lambda s: s.remove("service/lease/1"), []),
        (lambda s: s.purge("service/lease/1"), []),
        (lambda s: s.purge("service/"), []),
        (lambda s: s.purge("s"), []),
        (lambda s: s.purge("orders/"), ["1"]),
    ],
)
def test_it_is_never_older_than_a_change(
    store: Counted, change: Callable[[ServiceStore], object], left: list[str]
) -> None:
    glance = Glance(store)
    assert names(glance, "service/lease/") == ["service/lease/1"]
    change(glance)
    assert names(glance, "service/lease/") == [f"service/lease/{one}" for one in left]
    assert names(glance, "service/") == names(store, "service/")


def test_a_change_that_fails_is_looked_at_again(store: Counted, tmp_path: Path) -> None:
    class Cut(Counted):
        def create(self, name: str, source: io.BytesIO) -> object:  # type: ignore[override]
            super().create(name, source)
            raise ConnectionError("The answer was lost.")

    glance = Glance(Cut(FolderStore(tmp_path)))
    assert names(glance, "service/lease/") == ["service/lease/1"]
    with pytest.raises(ConnectionError):
        glance.create("service/lease/2", io.BytesIO(b"2"))
    assert names(glance, "service/lease/") == ["service/lease/1", "service/lease/2"]


def test_the_next_round_sees_what_others_have_changed(store: Counted) -> None:
    assert names(Glance(store), "service/lease/") == ["service/lease/1"]
    store.remove("service/lease/1")
    assert names(Glance(store), "service/lease/") == []
