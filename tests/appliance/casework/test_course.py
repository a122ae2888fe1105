"""The course of the work: cycles are counted, an end ends filming, a top-up starts with consent."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest

from appliance.casework.course import (
    CourseRefusal,
    course_of,
    end,
    outcome,
    rate,
    ratings,
    standing,
    stops_filming,
    top_up,
)
from appliance.casework.retention import warn, warned_at
from appliance.casework.reviews import Rating, Review
from appliance.errors import BadInput
from appliance.records.files import Home, new_id, to_json
from appliance.vault.cases import Cases, Details, Goal, Goals, OpenCase
from appliance.vault.keys import PrivateKeys
from tests.appliance.casework.test_copies import ALEX_ALL, consent

NOW = datetime(2026, 11, 21, 14, 5, tzinfo=UTC)
DAY = timedelta(days=1)
FORTNIGHT = 14 * DAY
KEYS = PrivateKeys.generate("practitioner")
SERVICE = PrivateKeys.generate("service")
GOAL = Goal(id=new_id(), text="To notice when she starts something")


@pytest.fixture
def case(tmp_path: Path) -> OpenCase:
    home = Home(tmp_path / "home", tmp_path / "run")
    home.prepare(home.cases)
    details = Details(label="the family", check_word="lantern")
    made = Cases(home).create(details, KEYS, SERVICE.chain, [KEYS.signer.verifier])
    made.write(Goals(goals=(GOAL,)))
    return made


def review(case: OpenCase, at: datetime, value: int = 5) -> None:
    held = Review(
        id=new_id(),
        held=at,
        shown=(new_id(), new_id()),
        strengths="She waits.",
        next="",
        ratings=(Rating(GOAL.id, GOAL.text, value),),
        go_on="yes",
    )
    case.write(held, held.id)


def test_each_review_that_is_closed_begins_the_next_cycle(case: OpenCase) -> None:
    assert standing(case, [], FORTNIGHT).cycle == 1
    for number in range(1, 12):
        review(case, NOW + number * DAY)
        assert standing(case, [], FORTNIGHT).cycle == number + 1


def test_a_film_waits_until_a_review_after_it_and_has_a_day_by_which(case: OpenCase) -> None:
    films = [NOW, NOW + 2 * DAY]
    stands = standing(case, films, FORTNIGHT)
    assert (stands.waiting, stands.review_by) == (2, NOW + FORTNIGHT)
    review(case, NOW + DAY)
    stands = standing(case, films, FORTNIGHT)
    assert (stands.waiting, stands.review_by) == (1, NOW + 2 * DAY + FORTNIGHT)
    review(case, NOW + 3 * DAY)
    assert standing(case, films, FORTNIGHT).review_by is None


def test_an_end_ends_filming_and_a_top_up_waits_for_a_new_consent(case: OpenCase) -> None:
    before, after = (
        msgspec.structs.replace(consent(ALEX_ALL), event_time=NOW + days * DAY) for days in (0, 30)
    )
    assert stops_filming(course_of(case), before) is None
    end(case, NOW + 10 * DAY, "Goes on singing", 60)
    assert stops_filming(course_of(case), after) is CourseRefusal.ENDED
    top_up(case, NOW + 20 * DAY)
    assert stops_filming(course_of(case), None) is CourseRefusal.NEEDS_CONSENT
    assert stops_filming(course_of(case), before) is CourseRefusal.NEEDS_CONSENT
    assert stops_filming(course_of(case), after) is None
    assert all(stop.sentence for stop in CourseRefusal)


def test_a_top_up_counts_its_cycles_anew(case: OpenCase) -> None:
    review(case, NOW)
    end(case, NOW + DAY, "", 60)
    assert standing(case, [], FORTNIGHT).cycle == 1
    top_up(case, NOW + 2 * DAY)
    stands = standing(case, [], FORTNIGHT)
    assert (stands.course.number, stands.cycle, stands.reviews) == (2, 1, 0)


def test_what_has_ended_cannot_end_again_nor_what_goes_on_be_topped_up(case: OpenCase) -> None:
    with pytest.raises(BadInput):
        top_up(case, NOW)
    end(case, NOW, "", 60)
    with pytest.raises(BadInput):
        end(case, NOW + DAY, "", 1)
    assert course_of(case).keep_until == NOW + 60 * DAY


def test_ratings_stand_in_a_row_from_start_to_end(case: OpenCase) -> None:
    rate(case, "end", NOW + 9 * DAY, [Rating(GOAL.id, GOAL.text, 9)])
    review(case, NOW + 5 * DAY, value=6)
    rate(case, "start", NOW, [Rating(GOAL.id, GOAL.text, 3)])
    found = [(column.stage, column.values[GOAL.id]) for column in ratings(case)]
    assert found == [("start", 3), ("review", 6), ("end", 9)]


def test_the_numbers_for_the_service_hold_no_word_of_the_family(case: OpenCase) -> None:
    rate(case, "start", NOW, [Rating(GOAL.id, GOAL.text, 3)])
    review(case, NOW + DAY, value=6)
    end(case, NOW + 2 * DAY, "Goes on singing", 60)
    told = outcome(case, films=2)
    assert (told.courses, told.ended, told.films, told.reviews) == (1, True, 2, 1)
    assert (told.clips_shown, told.goals, told.ratings) == (2, 1, ((3, 6),))
    text = to_json(told).decode()
    assert not [word for word in ("notice", "singing", "waits", "family", GOAL.id) if word in text]


def test_the_first_warning_of_a_course_counts_and_no_other_course_has_it(case: OpenCase) -> None:
    assert warned_at(case) is None
    warn(case, NOW)
    warn(case, NOW + DAY)
    assert warned_at(case) == NOW
    end(case, NOW + 2 * DAY, "", 60)
    top_up(case, NOW + 3 * DAY)
    assert warned_at(case) is None
