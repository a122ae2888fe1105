"""One contract, four engines: what every store does, whatever stands behind it."""

import contextlib
import io
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from appliance.config import Config
from appliance.errors import BadInput, NotLetIn, NotPossible, SendFailed, SendInterrupted
from appliance.protocol.cards import KitCard
from appliance.records.files import save_fact
from appliance.selftest.findings import refuses
from appliance.stores.store import Put, ServiceStore, Store, measure, read_small, refuses_delete
from tests.stores.servers import Server, write_access

NAME = "cases/abc/identity-0001.age"


@pytest.fixture
def store(server: Server) -> Iterator[ServiceStore]:
    """As a kit comes in."""
    with contextlib.closing(server.open()) as opened:
        yield opened


@pytest.fixture
def service(server: Server) -> Iterator[ServiceStore]:
    """As the service's own program comes in."""
    with contextlib.closing(server.open_as_service()) as opened:
        yield opened


def put(store: Store, name: str, data: bytes) -> Put:
    return store.create(name, io.BytesIO(data))


def content(store: Store, name: str) -> bytes | None:
    file = store.open(name)
    if file is None:
        return None
    with file:
        return file.read()


def test_what_was_put_is_read_back_whole_and_in_part(store: ServiceStore) -> None:
    data = os.urandom(3 << 20)
    assert put(store, NAME, data) in (Put.CREATED, Put.VERIFIED)
    assert content(store, NAME) == data
    file = store.open(NAME)
    assert file is not None
    with file:
        file.seek(1 << 20)
        assert file.read(10) == data[1 << 20 : (1 << 20) + 10]
        assert measure(file)[0] == len(data) - (1 << 20) - 10
        assert file.seek(-5, io.SEEK_END) == len(data) - 5
        assert file.read() == data[-5:]


def test_a_file_of_any_size_arrives_whole(store: ServiceStore, tmp_path: Path) -> None:
    for number, size in enumerate((0, 1, 65_535, 65_536, (33 << 20) + 7)):
        path = tmp_path / str(number)
        path.write_bytes(os.urandom(size))
        with open(path, "rb") as file:
            store.create(f"cases/abc/{number}", file)
        with open(path, "rb") as here:
            there = store.open(f"cases/abc/{number}")
            assert there is not None
            with there:
                assert measure(there) == measure(here)


def test_nothing_is_ever_written_over(store: ServiceStore) -> None:
    put(store, NAME, b"first")
    assert put(store, NAME, b"second") is Put.ALREADY_THERE
    assert content(store, NAME) == b"first"


def test_what_is_not_there_is_an_answer_and_no_error(
    store: ServiceStore, service: ServiceStore
) -> None:
    assert store.open(NAME) is None
    assert read_small(store, NAME) is None
    assert list(store.list("cases/")) == []
    assert service.purge("cases/abc/identity-") == ()


def test_a_listing_goes_by_prefix_and_in_order(store: ServiceStore) -> None:
    names = ["cases/a/identity-0001.age", "cases/a/identity-0002.age", "cases/a/documents/b-1.age"]
    for name in [*names, "cases/ab/identity-0001.age", "orders/x"]:
        put(store, name, b"12")
    assert [e.name for e in store.list("cases/a/identity-")] == names[:2]
    assert [e.name for e in store.list("cases/a/")] == sorted(names)
    assert [e.name for e in store.list("cases/a")] == [*sorted(names), "cases/ab/identity-0001.age"]
    assert {(e.name, e.size) for e in store.list("orders/")} == {("orders/x", 2)}
    everything = [e.name for e in store.list("") if not e.name.startswith("probe/")]
    assert everything == sorted(everything)
    assert len(everything) == 5


def test_a_purge_takes_all_that_begins_so_and_nothing_else(
    store: ServiceStore, service: ServiceStore
) -> None:
    for name in ("identity-0001.age", "identity-0002.age", "documents/details-0001.age"):
        put(store, f"cases/a/{name}", b"x")
    removed = ("cases/a/identity-0001.age", "cases/a/identity-0002.age")
    assert service.purge("cases/a/identity-") == removed
    assert [e.name for e in store.list("cases/")] == ["cases/a/documents/details-0001.age"]
    assert service.purge("cases/a/identity-") == ()


def test_something_too_long_to_be_a_note_is_not_read_as_one(store: ServiceStore) -> None:
    put(store, "orders/x", b"x" * (64 * 1024 + 1))
    assert read_small(store, "orders/x") is None


@pytest.mark.parametrize(
    "name",
    ["", "/etc/passwd", "../x", "cases/../../x", "a//b", "a/", ".hidden", "a/.b", "a\0b", "A"],
)
def test_a_name_that_could_lead_elsewhere_is_refused(store: ServiceStore, name: str) -> None:
    with pytest.raises(BadInput):
        put(store, name, b"x")
    with pytest.raises(BadInput):
        store.open(name)


class BrokenCard(io.BytesIO):
    """A source that cannot be read."""

    def read(self, size: int | None = -1) -> bytes:
        raise OSError(5, "Input/output error")


def test_a_card_that_fails_is_not_blamed_on_the_store_and_leaves_nothing_there(
    store: ServiceStore,
) -> None:
    with pytest.raises(NotPossible, match="could not be read here"):
        store.create(NAME, BrokenCard(b"x" * 100))
    assert list(store.list("cases/")) == []


def test_of_many_writers_exactly_one_wins_and_nothing_is_mixed(store: ServiceStore) -> None:
    answers: list[Put | str] = []
    start = threading.Barrier(8)

    def write(number: int) -> None:
        start.wait()
        try:
            answers.append(put(store, NAME, bytes([number]) * 200_000))
        except SendInterrupted:
            answers.append("again")

    threads = [threading.Thread(target=write, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(answers) == 8
    assert sum(answer in (Put.CREATED, Put.VERIFIED) for answer in answers) == 1
    data = content(store, NAME)
    assert data is not None
    assert len(data) == 200_000
    assert len(set(data)) == 1


def test_a_store_that_was_closed_is_closed_once_more(server: Server) -> None:
    opened = server.open()
    opened.close()
    opened.close()


@pytest.mark.parametrize("server", ["sftp", "s3", "az"], indirect=True)
def test_a_kits_way_in_can_neither_remove_nor_write_over(
    server: Server, store: ServiceStore, service: ServiceStore
) -> None:
    put(store, NAME, b"kept")
    for act in (lambda: store.purge("cases/abc/identity-"), lambda: store.remove(NAME)):
        with pytest.raises(NotLetIn):
            act()
    assert content(service, NAME) == b"kept"
    assert refuses_delete(store, "a" * 16)


def test_the_services_way_in_removes_one_object(service: ServiceStore) -> None:
    put(service, NAME, b"x")
    put(service, f"{NAME}.bak", b"x")
    service.remove(NAME)
    service.remove(NAME)
    assert [entry.name for entry in service.list("cases/")] == [f"{NAME}.bak"]
    assert not refuses_delete(service, "a" * 16)


@pytest.mark.parametrize("server", ["sftp", "s3", "az"], indirect=True)
def test_with_another_credential_nothing_is_let_in(
    server: Server, wrong_access: Callable[[Server], ServiceStore]
) -> None:
    with pytest.raises(SendFailed) as refused, contextlib.closing(wrong_access(server)) as store:
        put(store, NAME, b"x")
    assert isinstance(refused.value, NotLetIn)
    # Where a way in is part of the address, an engine's own words would repeat it.
    assert "sig=" not in f"{refused.value} {refused.value.__cause__}"
    with contextlib.closing(server.open()) as store:
        assert content(store, NAME) is None


@pytest.mark.parametrize("server", ["sftp", "s3", "az"], indirect=True)
def test_the_doctor_sees_for_itself_that_a_kit_cannot_delete(
    server: Server, tmp_path: Path
) -> None:
    config = Config(
        store=server.url, store_access=str(tmp_path / "access"), home=str(tmp_path / "home")
    )
    config.places.prepare(config.places.kit)
    save_fact(config.places.kit / "kit.json", KitCard(id="a" * 16, verifier="v"))
    assert server.access
    write_access(tmp_path / "access", server.access)
    assert refuses(config)
