"""A whole service - five kits, twenty families, its store and its base - in an order that chance
chooses, with kills, lost objects and restored copies: what is withdrawn is closed everywhere, what
is held stays, no sole copy is lost and every order is answered. `tools/sequences.py` plays a
thousand."""

import random
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.chance import in_a_child
from tests.support.judging import Judge, replay
from tests.support.sequences import World

FEW = 6


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


def test_a_process_that_is_killed_in_its_midst_leaves_what_it_had_done(tmp_path: Path) -> None:
    def make_three() -> None:
        for name in ("one", "two", "three"):
            (tmp_path / name).mkdir()

    assert in_a_child(make_three, dies_at=3) == ""
    assert {path.name for path in tmp_path.iterdir()} == {"one", "two"}
    assert "FileExistsError" in in_a_child(make_three)
