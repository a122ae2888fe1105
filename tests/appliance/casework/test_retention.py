"""How long films are kept after the work: as agreed, and one wrong clock removes nothing."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.casework import course
from appliance.casework.course import Course, Standing
from appliance.casework.retention import Keeping, keeping, tell_the_day, warn
from appliance.factory_reset import unsent
from appliance.protocol.retention import Keep
from appliance.records.signing import open_fact
from appliance.vault.cases import OpenCase
from tests.appliance.casework.test_course import DAY, FORTNIGHT, NOW
from tests.support.forks import copied
from tests.support.homes import CLOCK, SendingKit, new_store, practitioner

WARNED = NOW - 2 * DAY


def ended(waiting: int = 0, days: int = 60) -> Standing:
    return Standing(Course(ended=NOW, keep_days=days), 1, 1, waiting, None)


@pytest.mark.parametrize(
    ("days", "waiting", "held", "expected"),
    [
        (45.9, 0, False, Keeping.KEPT),
        (46, 0, False, Keeping.SOON),
        (59.9, 0, False, Keeping.SOON),
        (60, 0, False, Keeping.DUE),
        (60, 1, False, Keeping.NEVER_REVIEWED),
        (60, 0, True, Keeping.HELD),
        (400, 1, True, Keeping.HELD),
    ],
)
def test_films_are_kept_for_as_long_as_was_agreed_and_not_longer(
    days: float, waiting: int, held: bool, expected: Keeping
) -> None:
    assert keeping(ended(waiting), held, WARNED, FORTNIGHT, NOW + days * DAY) is expected


@pytest.mark.parametrize(
    ("warned", "days", "expected"),
    [
        (None, 4000, Keeping.SOON),
        (4000, 4000.9, Keeping.SOON),
        (4000, 4001, Keeping.DUE),
    ],
)
def test_one_wrong_clock_alone_removes_nothing(
    warned: int | None, days: float, expected: Keeping
) -> None:
    said = None if warned is None else NOW + warned * DAY
    assert keeping(ended(), False, said, FORTNIGHT, NOW + days * DAY) is expected


@given(
    days=st.integers(0, 3000),
    keep=st.integers(0, 730),
    warning=st.integers(0, 90),
    waiting=st.integers(0, 3),
    held=st.booleans(),
)
def test_nothing_is_due_before_its_time_under_a_hold_or_unseen(
    days: int, keep: int, warning: int, waiting: int, held: bool
) -> None:
    found = keeping(ended(waiting, keep), held, WARNED, warning * DAY, NOW + days * DAY)
    due = days >= keep and not held and not waiting
    assert (found is Keeping.DUE) == due


def test_while_the_work_goes_on_nothing_is_ever_due() -> None:
    stands = Standing(Course(), 1, 0, 0, None)
    assert keeping(stands, False, WARNED, FORTNIGHT, NOW + 4000 * DAY) is Keeping.UNDER_WAY


# --- What the service is told ---------------------------------------------------------------------


@pytest.fixture
def kit(tmp_path: Path) -> SendingKit:
    new_store(tmp_path / "store")
    return SendingKit(tmp_path, tmp_path / "store")


def test_while_two_homes_disagree_on_the_course_nothing_is_due_and_no_day_is_told(
    kit: SendingKit, tmp_path: Path
) -> None:
    """One of them, whose clock is ahead, says that the work has ended; the other goes on."""
    case = kit.case()
    case.write(Course())
    warn(case, NOW)
    there = copied(case, tmp_path / "there", CLOCK.read().wall + 400 * DAY)
    course.end(there.case, NOW, "", 60)
    case.write(Course(next_steps="We go on."))
    there.arrives()
    stands = course.standing(case, [], FORTNIGHT)
    assert stands.course.ended and stands.forked
    later = NOW + 4000 * DAY
    assert keeping(stands, False, WARNED, FORTNIGHT, later) is Keeping.UNSETTLED
    tell_the_day(case, kit.id, stands, False, NOW)
    assert said(kit, case) == []
    ended_there = case.versions(Course)[0]
    case.keep(Course, ended_there.digest)
    stands = course.standing(case, [], FORTNIGHT)
    assert keeping(stands, False, WARNED, FORTNIGHT, later) is Keeping.DUE
    tell_the_day(case, kit.id, stands, False, NOW)
    assert len(said(kit, case)) == 1


def said(kit: SendingKit, case: OpenCase) -> list[Keep]:
    """What the kit has said of the day, in order."""
    paths = sorted(case.directory.glob("keep-*"))
    return [open_fact(p.read_bytes(), [practitioner().signer.verifier], Keep)[0] for p in paths]


def test_the_service_is_told_the_day_once_it_was_warned_of_and_hears_when_it_is_none_any_more(
    kit: SendingKit,
) -> None:
    case = kit.case()
    under_way = Standing(Course(), 1, 0, 0, None)
    tell_the_day(case, kit.id, under_way, False, NOW)
    tell_the_day(case, kit.id, ended(), False, NOW)
    assert said(kit, case) == [], "nobody was warned yet"
    warn(case, NOW)
    tell_the_day(case, kit.id, ended(waiting=1), False, NOW)
    tell_the_day(case, kit.id, ended(), True, NOW)
    assert said(kit, case) == [], "a film was not looked at, and then there was a hold"
    for _ in range(2):
        tell_the_day(case, kit.id, ended(), False, NOW)
    (keep,) = said(kit, case)
    assert (keep.case, keep.kit, keep.until) == (case.id, kit.id, NOW + 60 * DAY)
    tell_the_day(case, kit.id, under_way, False, NOW)
    assert [keep.until for keep in said(kit, case)] == [NOW + 60 * DAY, None]


def test_nobody_is_told_of_a_day_sooner_than_a_day_after_the_warning(kit: SendingKit) -> None:
    case = kit.case()
    late = NOW + 90 * DAY
    warn(case, late)
    tell_the_day(case, kit.id, ended(), False, late)
    assert [keep.until for keep in said(kit, case)] == [late + DAY]


def test_the_day_goes_to_the_service_and_is_confirmed_like_all_else(kit: SendingKit) -> None:
    case = kit.case()
    warn(case, NOW)
    tell_the_day(case, kit.id, ended(), False, NOW)
    assert f"cases/{case.id}/keep-0001-{kit.id}" in {name for _case, name in unsent(kit.home)}
    kit.sync()
    assert list(unsent(kit.home)) == []
    sent = kit.store / "cases" / case.id / f"keep-0001-{kit.id}"
    assert sent.read_bytes() == (case.directory / sent.name).read_bytes()
