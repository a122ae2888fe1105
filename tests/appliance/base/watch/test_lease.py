"""Two bases at one store: the second hears who is there, and does nothing."""

import io
import shutil
from collections.abc import Callable, Iterable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import IO

import pytest
from msgspec import structs

from appliance.base.service import Service
from appliance.base.watch.lease import LASTS, LEASES, InTurn, Lease, Turn
from appliance.errors import AnotherBase
from appliance.records.clock import SystemClock
from appliance.records.signing import sign_fact
from appliance.stores.folder import FolderStore
from appliance.stores.store import Put
from tests.support.bases import Base
from tests.support.clocks import NOON, FakeClock
from tests.support.homes import contents, new_store, service


@pytest.fixture
def store(tmp_path: Path) -> FolderStore:
    return new_store(tmp_path / "service")


class Meanwhile(FolderStore):
    """A store at which something else happens just before an object is created."""

    def __init__(self, root: Path, happens: Callable[[], object]) -> None:
        super().__init__(root)
        self._happens: Callable[[], object] | None = happens

    def create(self, name: str, source: IO[bytes]) -> Put:
        happens, self._happens = self._happens, None
        if happens is not None:
            happens()
        return super().create(name, source)


def turn(tmp_path: Path, name: str, clock: FakeClock) -> Turn:
    (tmp_path / name).mkdir(exist_ok=True)
    return Turn(tmp_path / name, service(), clock)


def leases(store: FolderStore) -> list[str]:
    return [entry.name for entry in store.list(LEASES)]


def test_the_second_of_two_bases_is_told_who_is_there_until_the_first_has_gone(
    store: FolderStore, tmp_path: Path
) -> None:
    clock = FakeClock()
    one, copy = turn(tmp_path, "keys", clock), turn(tmp_path, "copy", clock)
    one.take(store)
    with pytest.raises(AnotherBase, match="since") as refused:
        copy.take(store)
    assert "alone" in refused.value.hint
    one.leave(store)
    copy.take(store)
    with pytest.raises(AnotherBase):
        one.take(store)


def test_one_that_was_killed_gives_way_when_its_lease_has_ended(
    store: FolderStore, tmp_path: Path
) -> None:
    clock = FakeClock()
    turn(tmp_path, "keys", clock).take(store)
    # The same base, started again.
    again = turn(tmp_path, "keys", clock)
    again.take(store)
    other = turn(tmp_path, "copy", clock)
    clock.advance(LASTS.total_seconds() - 5)
    with pytest.raises(AnotherBase):
        other.take(store)
    clock.advance(10)
    other.take(store)


def test_it_is_renewed_when_half_of_it_is_over_and_costs_one_listing_until_then(
    store: FolderStore, tmp_path: Path
) -> None:
    clock = FakeClock()
    one = turn(tmp_path, "keys", clock)
    one.take(store)
    first = leases(store)
    one.take(store)
    assert leases(store) == first and len(first) == 1
    clock.advance(LASTS.total_seconds() / 2 + 5)
    one.take(store)
    assert len(leases(store)) == 1 and leases(store) != first


def test_a_verb_beside_a_base_that_serves_leaves_it_its_lease(
    store: FolderStore, tmp_path: Path
) -> None:
    clock = FakeClock()
    serving, verb = (turn(tmp_path, "keys", clock) for _ in range(2))
    serving.take(store)
    for seconds in (1, LASTS.total_seconds() * 0.6):
        clock.advance(seconds)
        verb.take(store)
        verb.leave(store)
        with pytest.raises(AnotherBase):
            turn(tmp_path, "copy", clock).take(store)
        serving.take(store)
    assert len(leases(store)) == 1


def test_what_this_service_did_not_sign_or_a_wrong_clock_wrote_holds_nobody_up(
    store: FolderStore, tmp_path: Path
) -> None:
    store.create(f"{LEASES}999999", io.BytesIO(b"not a lease"))
    turn(tmp_path, "ahead", FakeClock(NOON + timedelta(days=365))).take(store)
    turn(tmp_path, "keys", FakeClock()).take(store)
    assert len(leases(store)) == 1


@pytest.mark.parametrize("given_back", [False, True])
def test_of_two_bases_that_come_at_the_same_moment_one_at_most_goes_on(
    store: FolderStore, tmp_path: Path, given_back: bool
) -> None:
    clock = FakeClock()
    one, other = turn(tmp_path, "one", clock), turn(tmp_path, "other", clock)
    if given_back:
        one.take(store)
        one.leave(store)
    slow = Meanwhile(tmp_path / "service", lambda: other.take(store))
    with closing(slow), pytest.raises(AnotherBase):
        one.take(slow)
    assert len(leases(store)) == 1
    other.take(store)
    with pytest.raises(AnotherBase):
        one.take(store)
    other.leave(store)
    one.take(store)


@pytest.mark.parametrize(
    "names",
    [
        ["0"],
        ["000"],
        ["000000"],
        ["0/junk"],
        ["z"],
        ["9" * 100],
        [f"{number:06}" for number in range(1, 1001)],
    ],
)
def test_junk_among_the_leases_neither_locks_base_out_nor_lets_another_in(
    store: FolderStore, tmp_path: Path, names: Iterable[str]
) -> None:
    clock = FakeClock()
    for when in ("before", "while it works"):
        for name in names:
            path = tmp_path / "service" / LEASES / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"junk")
        if when == "before":
            one = turn(tmp_path, "keys", clock)
            one.take(store)
        with pytest.raises(AnotherBase):
            turn(tmp_path, "copy", clock).take(store)
        clock.advance(LASTS.total_seconds() * 0.7)
        one.take(store)
        assert len(leases(store)) == 1


def test_a_file_where_the_leases_should_lie_locks_nobody_out(
    store: FolderStore, tmp_path: Path
) -> None:
    store.create(LEASES.rstrip("/"), io.BytesIO(b"junk"))
    turn(tmp_path, "keys", FakeClock()).take(store)
    assert len(leases(store)) == 1


def test_what_lies_at_the_very_next_numbers_does_not_keep_a_base_from_going_on(
    store: FolderStore, tmp_path: Path
) -> None:
    clock = FakeClock()
    one = turn(tmp_path, "keys", clock)
    for _ in range(3):
        one.take(store)
        (held,) = leases(store)
        digits = held.removeprefix(LEASES)
        next_ones = [f"{int(digits) + n:0{len(digits)}}" for n in range(1, 4)]
        for name in next_ones:
            store.create(LEASES + name, io.BytesIO(b"junk"))
        clock.advance(LASTS.total_seconds() * 6)
    one.take(store)
    assert len(leases(store)) == 1


def test_a_lease_as_versions_before_wrote_it_counts(store: FolderStore, tmp_path: Path) -> None:
    clock = FakeClock()
    one = turn(tmp_path, "keys", clock)
    one.take(store)
    (name,) = leases(store)
    lease = service().chain.word((tmp_path / "service" / name).read_bytes(), Lease)
    old = sign_fact(service().signer, structs.replace(lease, number=12)).encode()
    store.purge(name)
    store.create(f"{LEASES}000012", io.BytesIO(old))
    with pytest.raises(AnotherBase):
        turn(tmp_path, "copy", clock).take(store)
    turn(tmp_path, "keys", clock).take(store)
    assert leases(store) == [f"{LEASES}000012"]
    clock.advance(LASTS.total_seconds() * 0.7)
    one.take(store)
    assert len(leases(store)) == 1 and leases(store) != [f"{LEASES}000012"]


def test_a_round_that_takes_long_goes_on_with_its_lease_or_does_nothing_more(
    store: FolderStore, tmp_path: Path
) -> None:
    clock = FakeClock()
    one, other = turn(tmp_path, "keys", clock), turn(tmp_path, "copy", clock)
    one.take(store)
    at_work = InTurn(store, one)
    for number in range(5):
        clock.advance(LASTS.total_seconds() * 0.7)
        at_work.create(f"orders/{number}", io.BytesIO(b"order"))
        with pytest.raises(AnotherBase):
            other.take(store)
    # One step that took longer than a lease: another came meanwhile.
    clock.advance(LASTS.total_seconds() + 1)
    other.take(store)
    for step in (
        lambda: at_work.purge("orders/"),
        lambda: at_work.remove("orders/0"),
        lambda: at_work.create("orders/9", io.BytesIO(b"order")),
        lambda: list(at_work.list("orders/")),
        lambda: at_work.open("orders/0"),
        lambda: at_work.sweep(clock.wall),
    ):
        with pytest.raises(AnotherBase):
            step()
    assert len(list(store.list("orders/"))) == 5


def test_a_round_in_which_another_base_came_removes_and_signs_nothing_more(
    tmp_path: Path,
) -> None:
    at_base = Base(tmp_path)
    case, _order = at_base.withdrawn()
    clock = FakeClock(datetime.now(UTC))
    there = contents(at_base.store / "cases")
    with (
        pytest.raises(AnotherBase),
        Service(at_base.store.as_uri(), at_base.keys, clock=clock).at_work() as work,
    ):
        clock.advance(LASTS.total_seconds() + 1)
        turn(tmp_path, "copy", clock).take(at_base.folder)
        work.desk.work()
    assert at_base.identities(case) and not (at_base.store / "tombstones").exists()
    assert contents(at_base.store / "cases") == there


def test_a_base_with_a_copy_of_the_keys_signs_nothing_while_the_first_one_serves(
    tmp_path: Path,
) -> None:
    at_base = Base(tmp_path)
    case, _order = at_base.withdrawn()
    shutil.copytree(at_base.keys, tmp_path / "copy")
    with closing(FolderStore(at_base.store)) as store:
        Turn(tmp_path / "copy", service(), SystemClock()).take(store)
    refused = at_base.told("serve", "--once", status=1)
    assert refused["error"]["code"] == "another-base"
    assert at_base.identities(case) and not (at_base.store / "tombstones").exists()
    # To look at it is not to work at it.
    assert at_base.run("status").returncode in (0, 1)
    for path in (at_base.store / LEASES).iterdir():
        path.unlink()
    assert at_base.run("serve", "--once").returncode == 0
    assert not list((at_base.store / LEASES).iterdir())
