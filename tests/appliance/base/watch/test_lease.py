"""Two bases at one store: the second hears who is there, and does nothing."""

import io
import shutil
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest

from appliance.base.watch.lease import LASTS, LEASES, Turn
from appliance.errors import AnotherBase
from appliance.records.clock import SystemClock
from appliance.stores.folder import FolderStore
from tests.support.bases import Base
from tests.support.clocks import NOON, FakeClock
from tests.support.homes import new_store, service


@pytest.fixture
def store(tmp_path: Path) -> FolderStore:
    return new_store(tmp_path / "service")


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
