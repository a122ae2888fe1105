"""A whole service - five kits, twenty families, its store and its base - in an order that chance
chooses, with kills, lost objects and restored copies: what is withdrawn is closed everywhere, what
is held stays, no sole copy is lost and every order is answered. `tools/sequences.py` plays a
thousand."""

import random
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from appliance.casework.closing import withdraw
from appliance.casework.consent import Hold
from appliance.casework.withdrawal import place_hold
from appliance.factory_reset import begin
from appliance.protocol.orders import Reset
from appliance.records.signing import sign_fact
from tests.support.chance import in_a_child
from tests.support.clocks import NOON
from tests.support.judging import Judge, lift_all, replay, settle
from tests.support.sequences import DAY, World
from tests.support.upkeep import Service

FEW = 6
_RESET = Reset(number=1, kit="", unsent=True, at=NOON)


@pytest.mark.parametrize("seed", range(FEW))
def test_whatever_happens_to_a_service_what_was_withdrawn_is_closed_and_nothing_else_is_lost(
    seed: int,
) -> None:
    played = replay(seed)
    assert not played.wrong, "\n".join([*played.steps, played.wrong])


def test_a_seed_is_one_sequence() -> None:
    assert replay(FEW).steps == replay(FEW).steps != replay(FEW + 1).steps


def _lose_a_film(world: World) -> None:
    shutil.rmtree(next(world.kits[0].home.recordings.iterdir()))


def _lose_a_key(world: World) -> None:
    next(world.kits[0].home.cases.glob("*/identity-0001.age")).unlink()


def _lose_at_the_store(world: World) -> None:
    next(world.store.glob("cases/*/identity-0001.age")).unlink()


@pytest.mark.parametrize("harm", [_lose_a_film, _lose_a_key, _lose_at_the_store])
def test_what_goes_although_nobody_took_it_back_is_noticed(
    tmp_path: Path, harm: Callable[[World], None]
) -> None:
    world = World(tmp_path / "world", random.Random(0))
    world.kits[0].contact(world.clock)
    judge = Judge(world)
    harm(world)
    with pytest.raises(AssertionError, match="nobody took it back"):
        judge.step("round", killed=False)


@pytest.fixture
def world(tmp_path: Path) -> Service:
    world = Service(tmp_path / "world", random.Random(0))
    world.kits[0].contact(world.clock)
    return world


def _withdraw(world: World, held: bool = False) -> str:
    """The family of a case on the first kit withdraws; returns the case."""
    kit, now = world.kits[0], world.clock.read().wall
    case = kit.open_cases()[0]
    if held:
        reason, review = "It was asked for.", now + 30 * DAY
        fact = Hold(role="the court", reason=reason, review=review, at=now)
        place_hold(case, fact, kit.enrolled.chain)
    withdraw(case.directory, case.keys, kit.id, now)
    return case.id


@pytest.mark.parametrize("where", ["store/cases/{}", "kit0/home/cases/{}", "kit3/home/inbox"])
def test_a_key_of_what_was_withdrawn_is_noticed_wherever_it_lies(world: World, where: str) -> None:
    judge = Judge(world)
    keys = {path.parent.name: path.read_bytes() for path in world.store.glob("cases/*/*-0001.age")}
    case = _withdraw(world)
    settle(world, judge)
    judge.in_the_end()
    (world.root / where.format(case) / "identity-0001.age").write_bytes(keys[case])
    with pytest.raises(AssertionError, match=r"keys of|opens, and its family has withdrawn"):
        judge.in_the_end()


@pytest.mark.parametrize("where", ["store", "kit0/home"])
def test_what_goes_under_a_hold_is_noticed(world: World, where: str) -> None:
    judge = Judge(world)
    case = _withdraw(world, held=True)
    settle(world, judge)
    judge.in_the_end()
    (world.root / where / "cases" / case / "identity-0001.age").unlink()
    with pytest.raises(AssertionError, match="and held"):
        judge.step("round", killed=False)


def test_a_key_that_is_rubbish_at_the_store_and_was_not_sealed_anew_is_noticed(
    world: Service,
) -> None:
    judge = Judge(world)
    settle(world, judge)
    judge.in_the_end()
    key = next(world.store.glob("cases/*/identity-0002.age"))  # The first opens the films still.
    key.write_bytes(bytes(key.stat().st_size))
    with pytest.raises(AssertionError, match="is another"):
        judge.in_the_end()


def test_an_order_without_an_answer_is_noticed(world: World) -> None:
    judge = Judge(world)
    _withdraw(world)
    settle(world, judge)
    judge.in_the_end()
    (order,) = judge.orders
    (world.kits[0].home.inbox / order).unlink()
    with pytest.raises(AssertionError, match="has no answer"):
        judge.in_the_end()


def test_a_kit_that_is_set_back_with_a_film_that_only_it_has_is_noticed(tmp_path: Path) -> None:
    world = Service(tmp_path / "world", random.Random(0))
    judge = Judge(world)
    kit = world.kits[1]
    kit.make_film(kit.open_cases()[0], world.clock)
    judge.step("film", killed=False)
    begin(kit.home, sign_fact(kit.signer, _RESET), kit.signer, world.clock.read().wall)
    world.start_again()
    with pytest.raises(AssertionError, match="nobody took it back"):
        judge.step("reset", killed=False)


def test_keys_that_a_kit_set_back_left_under_a_hold_go_by_the_services_word_or_are_noticed(
    world: Service,
) -> None:
    judge, kit = Judge(world), world.kits[0]
    case = _withdraw(world, held=True)
    settle(world, judge)
    begin(kit.home, sign_fact(kit.signer, _RESET), kit.signer, world.clock.read().wall)
    world.start_again()
    judge.step("reset", killed=False)
    with world.base.at_work() as (_store, desk, _ledger):
        (hold,) = desk.holds.all()
        desk.holds.lift(world.base.keys.signer, hold, world.clock.read().wall)
    settle(world, judge)
    judge.in_the_end()
    keys = {path: path.read_bytes() for path in world.store.glob(f"cases/{case}/identity-*")}
    assert keys
    lift_all(world)
    settle(world, judge)
    judge.in_the_end()
    for path, sealed in keys.items():
        assert not path.exists()
        path.write_bytes(sealed)
    with pytest.raises(AssertionError, match="keys of"):
        judge.in_the_end()


def test_a_process_that_is_killed_in_its_midst_leaves_what_it_had_done(tmp_path: Path) -> None:
    def make_three() -> None:
        for name in ("one", "two", "three"):
            (tmp_path / name).mkdir()

    assert in_a_child(make_three, dies_at=3) == ""
    assert {path.name for path in tmp_path.iterdir()} == {"one", "two"}
    assert "FileExistsError" in in_a_child(make_three)
