"""What the page does for a family without being asked.

It carries out orders of the service, lets in whom the service lets in, removes what was shared or
kept when its time is over, and gives a case a new key after a revocation.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from appliance.casework import course, shares
from appliance.casework.closing import withdraw
from appliance.casework.copies import out_of_reach
from appliance.casework.course import Standing
from appliance.casework.readmission import readmit
from appliance.casework.retention import Keeping, keeping, tell_the_day, warn, warned_at
from appliance.casework.shares import end_what_they_see
from appliance.casework.withdrawal import finish_everything, hear_service
from appliance.errors import KitError
from appliance.protocol.case_record import held, is_film_withdrawn
from appliance.protocol.enrolment import Enrolled
from appliance.vault.cases import OpenCase, strangers
from web_ui.parts import Parts
from web_ui.session.enrolment import forget_new_card
from web_ui.session.unlocked import Practitioner


def carry_out_service(parts: Parts) -> None:
    """Carry out the service's orders in the inbox. Any thread. Raises KitError, OSError."""
    heard = hear_service(parts.home)
    for done in heard.new:
        if not done.film and parts.recorder.armed_case() == done.case:
            parts.recorder.disarm()
        parts.session.forget(done.case)
        parts.note("service-order-done", case=done.case, recording=done.film)
    if heard.failed:
        raise heard.failed


def let_in(parts: Parts, holder: Practitioner) -> None:
    """Open the cases that the service has let this practitioner into. Any thread; safe to
    repeat."""
    with holder.letting_in:
        try:
            # Withdrawals first.
            carry_out_service(parts)
            answered = readmit(parts.home, parts.cases, holder.keys)
        except (KitError, OSError):
            parts.note("readmission-waits")
            return
        for one in answered:
            order = f"{one.number:06}"
            if one.refusal is None:
                holder.let_in.add(one.case)
                forget_new_card(parts.home, holder.card.name)
                parts.note("readmitted", case=one.case, order=order)
            elif holder.not_let_in.get(one.number) is not one.refusal:
                holder.not_let_in[one.number] = one.refusal
                parts.note(
                    "readmission-refused", case=one.case, order=order, code=one.refusal.value
                )


def without_the_revoked(parts: Parts, holder: Practitioner, case: OpenCase) -> OpenCase:
    """A case without those whom the service has revoked: with a new key, and nothing shared with
    them. Done before the case is used, as they may have kept the old key.

    A full card must not keep the family from its films or from withdrawing: then the case opens as
    it is, and arming and importing ask for the new key.
    """
    enrolled = parts.enrolled
    if enrolled is None or not enrolled.former:
        return case
    try:
        for share in end_what_they_see(case, enrolled.former, holder.now(parts.clock)):
            parts.note("share-ended", case=case.id, share=share)
        return renewed(parts, case, enrolled) if strangers(case.team, enrolled) else case
    except (KitError, OSError):
        parts.note("new-key-waits", case=case.id)
        return case


def renewed(parts: Parts, case: OpenCase, enrolled: Enrolled) -> OpenCase:
    """The case with a new key, which nobody has whom the service revoked."""
    # The permit is for the key that they know.
    parts.recorder.disarm(case.id)
    found = parts.cases.renew(case, enrolled)
    parts.note("new-key", case=case.id)
    return found


def end_what_is_over(parts: Parts, now: datetime | None) -> None:
    """Remove shared moments whose time is over; needs no key. Any thread."""
    for record in parts.cases.records():
        for share in shares.remove_what_is_over(parts.home.case(record.id), now):
            parts.note("share-over", case=record.id, share=share)


def close_for_good(
    parts: Parts,
    holder: Practitioner,
    case: OpenCase,
    kit: str,
    why: Literal["family", "retention"],
) -> None:
    """Order that everything of a case is removed, here and at the service. Any thread."""
    parts.recorder.end_filming(case.id)
    copies = (*out_of_reach(case), *shares.out_of_reach(case))
    now = holder.now(parts.clock)
    order = withdraw(case.directory, holder.keys, kit, now, copies, why)
    holder.forget(case.id)
    parts.note("withdrawn" if why == "family" else "retention-over", case=case.id, order=order.id)


@dataclass(frozen=True)
class Course:
    """Where the work with a family stands, and what to do with its films."""

    standing: Standing
    keeping: Keeping
    films: int


def course_now(parts: Parts, holder: Practitioner, case: OpenCase) -> Course:
    """Where the work with a family stands now. Any thread."""
    films = [
        film.started.started
        for film in holder.viewing.films_of(case.id)
        # A film of a review is not to be reviewed.
        if film.started.kind != "review" and not is_film_withdrawn(case.directory, film.id)
    ]
    service = parts.service
    stands = course.standing(case, films, timedelta(days=service.review_within_days))
    warning = timedelta(days=service.warning_days)
    now = holder.now(parts.clock)
    kept = keeping(stands, held(case.directory), warned_at(case), warning, now)
    return Course(stands, kept, len(films))


def remove_what_is_due(parts: Parts, holder: Practitioner) -> None:
    """Warn of films whose time is nearly over, remove those whose time is over, and finish removals
    that could not be finished before.

    Failures are logged and tried again. Nothing is due while the time is in doubt. Any thread.
    """
    for unfinished in finish_everything(parts.home):
        parts.note("withdrawal-unfinished", case=unfinished)
    status = parts.recorder.status()
    now = parts.recorder.now(status)
    if status is None or now is None:
        return
    for record in parts.cases.records():
        try:
            if holder.details(record) is None:
                continue
            case = holder.case(record.id)
            found = course_now(parts, holder, case)
            if found.keeping is Keeping.SOON:
                warn(case, now)
            elif found.keeping is Keeping.DUE:
                close_for_good(parts, holder, case, status.kit, "retention")
                continue
            tell_the_day(case, status.kit, found.standing, held(case.directory), now)
        except (KitError, OSError):
            parts.note("retention-waits", case=record.id)
