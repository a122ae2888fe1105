"""How long films are kept after the work: as agreed, and one wrong clock removes nothing."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.casework.course import Course, Standing
from appliance.casework.retention import Keeping, keeping
from tests.appliance.casework.test_course import DAY, FORTNIGHT, NOW

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
