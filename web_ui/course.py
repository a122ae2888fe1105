"""The course on the page: where the work stands, ratings, its end, what is kept, a top-up."""

from dataclasses import dataclass
from datetime import timedelta

from flask import Blueprint, Response, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from appliance.casework import course
from appliance.casework.course import Arranged, Standing
from appliance.casework.retention import Keeping, keeping, warn, warned_at
from appliance.casework.reviews import Rating
from appliance.casework.withdrawal import finish_everything
from appliance.errors import KitError
from appliance.protocol.case_record import held, is_film_withdrawn
from appliance.records.files import to_json
from appliance.vault.cases import Goal, Goals, OpenCase
from web_ui.access import practitioner
from web_ui.arming import take_permit
from web_ui.cases import armed_case, consent_of, details_of, open_case
from web_ui.language import _
from web_ui.parts import Parts
from web_ui.seat import Practitioner
from web_ui.status import fresh_status, read_status, trusted_now
from web_ui.withdrawal import close_for_good

STEPS_LENGTH = 2000
WORDS_LENGTH = 120


@dataclass(frozen=True)
class Course:
    """Where the work with a family stands, and what is to be done about its films."""

    standing: Standing
    keeping: Keeping
    films: int


def blueprint(parts: Parts) -> Blueprint:
    pages = Blueprint("course", __name__, url_prefix="/cases/<id:case>/course")

    def page(case: str, errors: dict[str, str]) -> str:
        opened = open_case(case)
        return render_template(
            "course.html",
            case=opened,
            details=details_of(opened),
            told=course_now(parts, practitioner(), opened),
            arranged=opened.read(Arranged) or Arranged(),
            goals=_goals(opened),
            ratings=course.ratings(opened),
            service=parts.service,
            sent=request.form,
            errors=errors,
        )

    @pages.get("")
    def show(case: str) -> ResponseReturnValue:
        return page(case, {})

    @pages.post("/arrange")
    def arrange(case: str) -> ResponseReturnValue:
        """Where they meet, and who supervises the work."""
        opened = open_case(case)
        place, supervisor = (request.form.get(name, "").strip() for name in ("place", "supervisor"))
        errors = {
            name: _("Use at most %(count)s characters.", count=WORDS_LENGTH)
            for name, words in (("place", place), ("supervisor", supervisor))
            if len(words) > WORDS_LENGTH
        }
        if errors:
            return page(case, errors), 400
        opened.write(Arranged(place=place, supervisor=supervisor))
        parts.note("arranged", case=case)
        return redirect(url_for("course.show", case=case), 303)

    @pages.post("/rate")
    def rate(case: str) -> ResponseReturnValue:
        """How near the goals are before the first film of the course."""
        opened = open_case(case)
        given = _ratings(_goals(opened), parts.service.ratings)
        if not given:
            return page(case, {"rate": _("Choose a number for at least one goal.")}), 400
        course.rate(opened, "start", practitioner().now(parts.clock), given)
        parts.note("goals-rated", case=case)
        return redirect(url_for("course.show", case=case), 303)

    @pages.post("/end")
    def end(case: str) -> ResponseReturnValue:
        opened = open_case(case)
        steps = request.form.get("steps", "").strip()
        if len(steps) > STEPS_LENGTH:
            return page(
                case, {"steps": _("Use at most %(count)s characters.", count=STEPS_LENGTH)}
            ), 400
        if request.form.get("confirm") != "y":
            return page(case, {"confirm": _("Tick the box if the work has ended.")}), 400
        now = practitioner().now(parts.clock)
        consent = consent_of(opened)
        given = _ratings(_goals(opened), parts.service.ratings)
        keep = consent.retention_period if consent else parts.service.retention_days
        if armed_case(parts) == case:
            take_permit(parts)
        course.end(opened, now, steps, keep)
        if given:
            course.rate(opened, "end", now, given)
        parts.note("course-ended", case=case)
        return redirect(url_for("course.show", case=case), 303)

    @pages.post("/top-up")
    def top_up(case: str) -> ResponseReturnValue:
        course.top_up(open_case(case), practitioner().now(parts.clock))
        parts.note("top-up-begun", case=case)
        return redirect(url_for("consent.show", case=case), 303)

    @pages.post("/remove")
    def remove(case: str) -> ResponseReturnValue:
        """A person says that films which nobody looked at may go."""
        holder, opened = practitioner(), open_case(case)
        told = course_now(parts, holder, opened)
        status = read_status(parts.home)
        if told.keeping not in (Keeping.NEVER_REVIEWED, Keeping.DUE) or status is None:
            return page(case, {"remove": _("Their time is not over yet.")}), 400
        if request.form.get("confirm") != "y":
            return page(case, {"remove": _("Tick the box if the films may go.")}), 400
        close_for_good(parts, holder, opened, status.kit, "retention")
        return redirect(url_for("withdraw.certificate", case=case), 303)

    @pages.get("/outcome.json")
    def outcome(case: str) -> ResponseReturnValue:
        """Numbers that a service may count; there is no word and no name in them."""
        opened = open_case(case)
        told = course_now(parts, practitioner(), opened)
        data = to_json(course.outcome(opened, told.films)) + b"\n"
        answer = Response(data, mimetype="application/json")
        answer.headers["Content-Disposition"] = 'attachment; filename="outcome.json"'
        return answer

    return pages


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
    status = fresh_status(parts.home, parts.clock)
    now = trusted_now(status, parts.clock)
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


def _goals(case: OpenCase) -> tuple[Goal, ...]:
    return (case.read(Goals) or Goals(goals=())).goals


def _ratings(goals: tuple[Goal, ...], scale: range) -> list[Rating]:
    """What was chosen for each goal; one that was left out is not rated."""
    points = {str(value): value for value in scale}
    sent = ((goal, request.form.get(f"goal-{goal.id}", "")) for goal in goals)
    return [Rating(goal.id, goal.text, points[value]) for goal, value in sent if value in points]
