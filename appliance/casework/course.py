"""The course of the work with a family: cycles of a film and a shared review, an end, a top-up.

A cycle is counted, never stopped: more or fewer are the family's choice. An end closes filming and
starts the time for which films are still kept; a top-up opens it again, with a consent of its own.
All of it is sealed to the case; what is counted is counted from the reviews and films themselves.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal

import msgspec

from appliance.casework.consent import Consent
from appliance.casework.reviews import Rating, reviews_of
from appliance.errors import BadInput, Reason
from appliance.records.files import Fact, Timestamp, new_id
from appliance.vault.cases import Goals, OpenCase, stem_of

_BEFORE_ALL = datetime.min.replace(tzinfo=UTC)


class Course(Fact, frozen=True, kw_only=True, tag="course/v1"):
    """One course: the first begins with the case, every other one is a top-up."""

    number: int = 1
    began: Timestamp | None = None
    """None: with the case."""
    ended: Timestamp | None = None
    next_steps: str = ""
    """What the family goes on with, in its words."""
    keep_days: int = 0
    """How long films are kept after the end, as the family was shown."""

    @property
    def keep_until(self) -> datetime | None:
        return self.ended + timedelta(days=self.keep_days) if self.ended else None


class Arranged(Fact, frozen=True, kw_only=True, tag="arranged/v1"):
    """How the work with a family is arranged, in the practitioner's words."""

    place: str = ""
    """Where they usually film and look at it together."""
    supervisor: str = ""
    """Who supervises the work; what that person sees is shared with them (`casework.shares`)."""


class Rated(Fact, frozen=True, kw_only=True, tag="rated/v1"):
    """How near the goals were at the start or the end of a course. Between, reviews hold it."""

    at: Timestamp
    stage: Literal["start", "end"]
    ratings: tuple[Rating, ...]


class CourseRefusal(Reason):
    """Why the course allows no filming now."""

    ENDED = (
        "course-ended",
        "The work with this family has finished. Start a top-up if they want to go on.",
    )
    NEEDS_CONSENT = (
        "top-up-needs-consent",
        "A top-up needs new consent. Talk it through and record it.",
    )


@dataclass(frozen=True)
class Standing:
    """Where the work stands."""

    course: Course
    cycle: int
    """The one that is under way, from 1; when the course has ended, the last that was closed."""
    reviews: int
    """Held in this course."""
    waiting: int
    """Films that were never looked at together."""
    review_by: datetime | None
    """By when the earliest of them should be."""
    forked: bool = False
    """Two homes have each written of the course, without knowing of each other."""


def course_of(case: OpenCase) -> Course:
    """The course in force."""
    return case.read(Course) or Course()


def stops_filming(course: Course, consent: Consent | None) -> CourseRefusal | None:
    """Whether the course allows a film to be made or brought in; None is yes."""
    if course.ended is not None:
        return CourseRefusal.ENDED
    if course.began is not None and (consent is None or consent.event_time <= course.began):
        return CourseRefusal.NEEDS_CONSENT
    return None


def standing(case: OpenCase, filmed: Iterable[datetime], review_within: timedelta) -> Standing:
    """Where the work stands; `filmed` is when each film of the case began."""
    course = course_of(case)
    reviews = reviews_of(case)
    here = sum(review.held >= (course.began or _BEFORE_ALL) for review in reviews)
    # A talk in which nothing was shown is a review; no film was looked at in it.
    looked = max((review.held for review in reviews if review.shown), default=_BEFORE_ALL)
    waiting = sorted(at for at in filmed if at > looked)
    return Standing(
        course=course,
        cycle=here if course.ended else here + 1,
        reviews=here,
        waiting=len(waiting),
        review_by=waiting[0] + review_within if waiting else None,
        forked=stem_of(Course) in case.forked(),
    )


def end(case: OpenCase, at: datetime, next_steps: str, keep_days: int) -> None:
    """End the course. Raises BadInput if it has ended already."""
    with case.changing:
        course = course_of(case)
        if course.ended is not None:
            raise BadInput("The work with this family has already finished.")
        case.write(
            msgspec.structs.replace(course, ended=at, next_steps=next_steps, keep_days=keep_days)
        )


def top_up(case: OpenCase, at: datetime) -> None:
    """Begin another course. Filming waits for a consent that is newer than this. Raises BadInput
    while the course before has not ended."""
    with case.changing:
        course = course_of(case)
        if course.ended is None:
            raise BadInput("The work with this family has not finished.")
        case.write(Course(number=course.number + 1, began=at))


def rate(
    case: OpenCase, stage: Literal["start", "end"], at: datetime, ratings: Sequence[Rating]
) -> None:
    """Write down how near the goals are at the start or the end."""
    case.write(Rated(at=at, stage=stage, ratings=tuple(ratings)), new_id())


@dataclass(frozen=True)
class Column:
    """One time at which goals were rated."""

    at: datetime
    stage: Literal["start", "review", "end"]
    values: dict[str, int]
    """By the id of the goal."""


def ratings(case: OpenCase) -> list[Column]:
    """Every rating of the case, the earliest first."""
    found = [Column(one.at, one.stage, _values(one.ratings)) for one in case.read_all(Rated)]
    found += [Column(one.held, "review", _values(one.ratings)) for one in reviews_of(case)]
    return sorted((column for column in found if column.values), key=lambda column: column.at)


class Outcome(Fact, frozen=True, kw_only=True, tag="outcome/v1"):
    """What a service may count of a case: numbers only, no word and no name."""

    courses: int
    ended: bool
    films: int
    reviews: int
    clips_shown: int
    goals: int
    ratings: tuple[tuple[int, ...], ...]
    """Of each goal, every rating in the order in which they were given."""


def outcome(case: OpenCase, films: int) -> Outcome:
    """The numbers of a case."""
    course, goals = course_of(case), (case.read(Goals) or Goals(goals=())).goals
    reviews, columns = reviews_of(case), ratings(case)
    return Outcome(
        courses=course.number,
        ended=course.ended is not None,
        films=films,
        reviews=len(reviews),
        clips_shown=sum(len(review.shown) for review in reviews),
        goals=len(goals),
        ratings=tuple(
            tuple(column.values[goal.id] for column in columns if goal.id in column.values)
            for goal in goals
        ),
    )


def _values(found: Iterable[Rating]) -> dict[str, int]:
    return {rating.goal: rating.value for rating in found}
