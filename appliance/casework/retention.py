"""How long films are kept after the work with a family has ended, and when they are removed.

The time is the one that the family was shown when it agreed. A hold keeps everything, and a film
that was never looked at together is not removed without a person saying so. Nothing is removed that
was not warned of at an unlock at least a day before, so that one wrong clock alone removes nothing.
Removing is the same as withdrawing: a signed order, the key here, the key at the service, and a
certificate.

A kit that nobody unlocks removes nothing. So the service is told the day, and no more
(`protocol.retention`), once all that stands above is so.
"""

from datetime import datetime, timedelta
from enum import Enum

from appliance.casework.course import Standing, course_of
from appliance.protocol.retention import Keep, keep_name, newest_keep
from appliance.records.files import Fact, Timestamp, save_new
from appliance.records.signing import sign_fact
from appliance.vault.cases import OpenCase

_AFTER_A_WARNING = timedelta(days=1)


class Warned(Fact, frozen=True, kw_only=True, tag="warned/v1"):
    """The page said that the films of a course will be removed."""

    course: int
    at: Timestamp


class Keeping(Enum):
    """What is to be done about the films of a case now."""

    UNDER_WAY = "under-way"
    KEPT = "kept"
    SOON = "soon"
    """They will be removed before long: the page says so, for the family may want copies."""
    HELD = "held"
    NEVER_REVIEWED = "never-reviewed"
    """Their time is over, and a person must say whether they may go."""
    UNSETTLED = "unsettled"
    """Their time is over by one home's word on the course, and another's says something else."""
    DUE = "due"


def keeping(
    standing: Standing, held: bool, warned: datetime | None, warning: timedelta, now: datetime
) -> Keeping:
    """Decide what is to be done. Anything but DUE removes nothing.

    `warned` is when the page first said so, `warning` how long before it should.
    """
    until = standing.course.keep_until
    if until is None:
        return Keeping.UNDER_WAY
    if now < until:
        return Keeping.SOON if now >= until - warning else Keeping.KEPT
    if held:
        return Keeping.HELD
    if standing.waiting:
        return Keeping.NEVER_REVIEWED
    if standing.forked:
        return Keeping.UNSETTLED
    if warned is None or now < warned + _AFTER_A_WARNING:
        return Keeping.SOON
    return Keeping.DUE


def warned_at(case: OpenCase) -> datetime | None:
    """When the page first said that the films of this course will be removed."""
    found = case.read(Warned)
    return found.at if found and found.course == course_of(case).number else None


def warn(case: OpenCase, now: datetime) -> None:
    """Note that the page says so now. Safe to call again: the first time counts."""
    if warned_at(case) is None:
        case.write(Warned(course=course_of(case).number, at=now))


def tell_the_day(case: OpenCase, kit: str, standing: Standing, held: bool, now: datetime) -> None:
    """Say for the service until when the films of a case are kept, where that has changed: None
    while the work goes on, under a hold, while a film was never looked at together or two homes
    disagree on the course, or before the page has warned of it. Raises BadFile, NotPossible."""
    with case.changing:
        warned, until = warned_at(case), standing.course.keep_until
        if until is None or held or standing.waiting or standing.forked or warned is None:
            until = None
        else:
            until = max(until, warned + _AFTER_A_WARNING)
        last = newest_keep(case.directory, kit)
        if (last.until if last else None) == until:
            return
        number = last.number + 1 if last else 1
        keep = Keep(case=case.id, kit=kit, number=number, until=until, at=now)
        note = sign_fact(case.keys.signer, keep).encode()
        save_new(case.directory / keep_name(number, kit), note)
