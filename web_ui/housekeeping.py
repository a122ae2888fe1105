"""What is done for a family although nobody asks for it just now.

Orders of the service are carried out, whoever it lets in is let in, what was shared or kept is
removed when its time is over, and whom it revoked has no part in what follows.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from appliance.casework import course, shares
from appliance.casework.copies import out_of_reach
from appliance.casework.course import Standing
from appliance.casework.readmission import readmit
from appliance.casework.retention import Keeping, keeping, warn, warned_at
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
    """Carry out what the service has signed and the inbox holds. Any thread. Raises KitError,
    OSError."""
    for done in hear_service(parts.home, parts.cases):
        if not done.film and parts.recorder.armed_case() == done.case:
            parts.recorder.disarm()
        parts.session.forget(done.case)
        parts.note("service-order-done", case=done.case, recording=done.film)


def let_in(parts: Parts, holder: Practitioner) -> None:
    """Take in what the service has sent for whoever is unlocked. Any thread; safe to call again."""
    with holder.letting_in:
        try:
            # A withdrawal goes before every order to let somebody in.
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
    """A case as it is when the service has revoked somebody of it: with a new key that they do not
    have, and nothing shared with them. Done before anybody uses it, for whatever is written or
    filmed meanwhile would open with the key that they have kept.

    A card that is full must not keep the family from looking at its films and from withdrawing:
    then the case opens as it is, and arming and importing ask for the new key.
    """
    enrolled = parts.enrolled
    if enrolled is None or not enrolled.former:
        return case
    try:
        for share in end_what_they_see(case, enrolled.former, holder.now(parts.clock)):
            parts.note("share-ended", case=case.id, share=share)
        return _renew(parts, case, enrolled) if strangers(case.team, enrolled) else case
    except (KitError, OSError):
        parts.note("new-key-waits", case=case.id)
        return case


def _renew(parts: Parts, case: OpenCase, enrolled: Enrolled) -> OpenCase:
    # What the kit is armed for is sealed to the key that they know.
    parts.recorder.disarm(case.id)
    renewed = parts.cases.renew(case, enrolled)
    parts.note("new-key", case=case.id)
    return renewed


def end_what_is_over(parts: Parts, now: datetime | None) -> None:
    """Remove here what was shared and whose day has come; no key is needed. Any thread."""
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
    """Order and carry out that everything of a case goes, here and at the service. Any thread."""
    parts.recorder.end_filming(case.id)
    copies = (*out_of_reach(case), *shares.out_of_reach(case))
    order = parts.cases.withdraw(case.id, holder.keys, kit, holder.now(parts.clock), copies, why)
    holder.forget(case.id)
    parts.note("withdrawn" if why == "family" else "retention-over", case=case.id, order=order.id)


@dataclass(frozen=True)
class Course:
    """Where the work with a family stands, and what is to be done about its films."""

    standing: Standing
    keeping: Keeping
    films: int


def course_now(parts: Parts, holder: Practitioner, case: OpenCase) -> Course:
    """Where the work with a family stands at this moment. Any thread."""
    films = [
        film.started.started
        for film in holder.viewing.films_of(case.id)
        # A film of a review waits for no review.
        if film.started.kind != "review" and not is_film_withdrawn(case.directory, film.id)
    ]
    service = parts.service
    stands = course.standing(case, films, timedelta(days=service.review_within_days))
    warning = timedelta(days=service.warning_days)
    now = holder.now(parts.clock)
    kept = keeping(stands, held(case.directory), warned_at(case), warning, now)
    return Course(stands, kept, len(films))


def remove_what_is_due(parts: Parts, holder: Practitioner) -> None:
    """Warn of films whose time is nearly over and remove those whose is, as everybody agreed; and
    finish what was ordered and could not be removed before.

    Each failure is noted and tried again. Any thread. Nothing is due while the time is in doubt.
    """
    for unfinished in finish_everything(parts.home, parts.cases):
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
            found = course_now(parts, holder, case).keeping
            if found is Keeping.SOON:
                warn(case, now)
            elif found is Keeping.DUE:
                close_for_good(parts, holder, case, status.kit, "retention")
        except (KitError, OSError):
            parts.note("retention-waits", case=record.id)
