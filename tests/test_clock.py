"""When the time can be believed."""

from datetime import UTC, datetime, timedelta

import pytest

from appliance.clock import (
    EARLIEST,
    LARGEST_STEP,
    Judgement,
    Mark,
    Reading,
    Trust,
    Vouch,
    judge,
    raised,
)

NOON = datetime(2027, 3, 1, 12, tzinfo=UTC)


def reading(wall: datetime = NOON, boot: str = "this", boottime: float = 1000.0) -> Reading:
    return Reading(wall, boot, boottime)


def vouch(at: datetime = NOON, boot: str = "this", boottime: float = 900.0) -> Vouch:
    return Vouch(kit="kit", time=at, boot=boot, boottime=boottime)


@pytest.mark.parametrize(
    ("case", "expected"),
    [
        ((reading(), None, None), Trust.DOUBTFUL),
        ((reading(wall=datetime(1970, 1, 1, tzinfo=UTC)), None, None), Trust.WRONG),
        ((reading(wall=NOON - timedelta(days=1)), None, Mark(highest=NOON)), Trust.WRONG),
        ((reading(), vouch(), None), Trust.TRUSTED),
        ((reading(wall=datetime(1970, 1, 1, tzinfo=UTC)), vouch(), None), Trust.TRUSTED),
        ((reading(), vouch(boot="another"), None), Trust.DOUBTFUL),
        ((reading(), vouch(boottime=1000.1), None), Trust.DOUBTFUL),
        ((reading(), vouch(at=EARLIEST - timedelta(days=1)), None), Trust.WRONG),
        ((reading(), vouch(), Mark(highest=NOON + timedelta(hours=1))), Trust.WRONG),
        ((reading(), vouch(), Mark(highest=NOON - LARGEST_STEP)), Trust.WRONG),
        (
            (reading(), vouch(), Mark(highest=NOON - LARGEST_STEP + timedelta(days=1))),
            Trust.TRUSTED,
        ),
    ],
)
def test_the_clock_table(case: tuple[Reading, Vouch | None, Mark | None], expected: Trust) -> None:
    found = judge(*case)
    assert found.trust is expected
    assert (found.now is not None) == (expected is Trust.TRUSTED)


def test_time_goes_on_from_the_vouch_whatever_the_wall_clock_does() -> None:
    later = reading(wall=NOON + timedelta(days=3650), boottime=960.0)
    assert judge(later, vouch(), None).now == NOON + timedelta(seconds=60)


def test_the_mark_rises_with_trusted_time_only() -> None:
    mark = Mark(highest=NOON)
    assert raised(mark, Judgement(Trust.DOUBTFUL)) == mark
    assert raised(mark, Judgement(Trust.TRUSTED, NOON - timedelta(1))) == mark
    assert raised(mark, Judgement(Trust.TRUSTED, NOON + timedelta(1))) == Mark(
        highest=NOON + timedelta(1)
    )
    assert raised(None, Judgement(Trust.TRUSTED, NOON)) == mark
