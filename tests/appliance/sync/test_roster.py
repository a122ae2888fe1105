"""A kit brings in its service's newest roster, and never goes back to an older one."""

import shutil
from datetime import timedelta
from pathlib import Path

import pytest

from appliance.protocol.roster import Roster, read_roster, roster_object
from appliance.records.files import save
from appliance.records.signing import Signer, sign_fact
from tests.support.homes import CLOCK, SendingKit, new_store, practitioner, service


@pytest.fixture
def kit(tmp_path: Path) -> SendingKit:
    new_store(tmp_path / "service")
    return SendingKit(tmp_path / "kit", tmp_path / "service")


def put(kit: SendingKit, number: int, signer: Signer | None = None, at: int | None = None) -> None:
    """What lies at the store under a number, or under `at`."""
    now = CLOCK.read().wall
    ends = now + timedelta(days=90)
    told = Roster(number=number, at=now, ends=ends, people=(), kits=(), left=())
    path = kit.store / roster_object(number if at is None else at)
    path.parent.mkdir(exist_ok=True)
    save(path, sign_fact(signer or service().signer, told).encode())


def here(kit: SendingKit) -> int:
    if not kit.home.roster_there.exists():
        return 0
    return read_roster(kit.home.roster_there.read_bytes(), service().chain).number


def test_a_service_without_a_roster_has_kits_without_one(kit: SendingKit) -> None:
    assert kit.sync().state == "sent" and here(kit) == 0


def test_the_newest_comes_in_however_many_were_missed(kit: SendingKit) -> None:
    for number in range(1, 8):
        put(kit, number)
    assert kit.sync().state == "sent" and here(kit) == 7
    before = kit.home.roster_there.stat().st_mtime_ns
    kit.sync()
    assert kit.home.roster_there.stat().st_mtime_ns == before
    put(kit, 8)
    kit.sync()
    assert here(kit) == 8


def test_a_store_from_before_is_told_and_changes_nothing_here(kit: SendingKit) -> None:
    put(kit, 1)
    copy = shutil.copytree(kit.store, kit.root / "copy")
    put(kit, 2)
    kit.sync()
    shutil.rmtree(kit.store)
    shutil.copytree(copy, kit.store)
    status = kit.sync()
    assert status.state == "incomplete" and here(kit) == 2
    assert [(one.object, one.code) for one in status.problems] == [
        (roster_object(2), "older-roster")
    ]
    assert "older copy" in status.problems[0].sentence
    put(kit, 2)
    assert kit.sync().state == "sent"


@pytest.mark.parametrize("wrong", ["a practitioner's", "another number's", "rubbish", "a folder"])
def test_what_the_service_did_not_sign_for_that_number_is_passed_over_and_told(
    kit: SendingKit, wrong: str
) -> None:
    put(kit, 1)
    place = kit.store / roster_object(2)
    if wrong == "a practitioner's":
        put(kit, 2, practitioner().signer)
    elif wrong == "another number's":
        put(kit, 9, at=2)
    elif wrong == "rubbish":
        place.write_bytes(b"rubbish")
    else:
        place.mkdir()
    status = kit.sync()
    assert here(kit) == 1
    assert [(one.object, one.code) for one in status.problems] == [
        (roster_object(2), "false-order")
    ]


def test_everything_else_is_sent_all_the_same(kit: SendingKit) -> None:
    (kit.store / roster_object(1)).mkdir(parents=True)
    case = kit.case().id
    kit.sync()
    assert (kit.store / "cases" / case / "identity-0001.age").exists()
