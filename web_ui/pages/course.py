"""The course of the work: where it stands, ratings, its end, what is kept, a top-up."""

from flask import Blueprint, redirect, request, url_for
from flask.typing import ResponseReturnValue

from appliance.casework import course
from appliance.casework.consent import consent_of
from appliance.casework.course import Arranged, Course, Rated
from appliance.casework.retention import Keeping
from appliance.records.files import to_json
from appliance.vault.cases import stem_of
from web_ui.answers import download
from web_ui.forms import too_long
from web_ui.housekeeping import close_for_good, course_now
from web_ui.parts import parts
from web_ui.session.current import case_page, goals_of, open_case, practitioner, ratings_sent
from web_ui.session.forks import shown_forks
from web_ui.wording.language import _

STEPS_LENGTH = 2000
WORDS_LENGTH = 120


pages = Blueprint("course", __name__, url_prefix="/cases/<id:case>/course")


def _page(case: str, errors: dict[str, str]) -> str:
    opened = open_case(case)
    return case_page(
        "course.html",
        opened,
        told=course_now(parts(), practitioner(), opened),
        arranged=opened.read(Arranged) or Arranged(),
        goals=goals_of(opened),
        ratings=course.ratings(opened),
        service=parts().service,
        sent=request.form,
        errors=errors,
        forks=shown_forks(opened, *(stem_of(kind) for kind in (Course, Arranged, Rated))),
    )


@pages.get("")
def show(case: str) -> ResponseReturnValue:
    return _page(case, {})


@pages.post("/arrange")
def arrange(case: str) -> ResponseReturnValue:
    """Set where they meet and who supervises the work."""
    opened = open_case(case)
    place, supervisor = (request.form.get(name, "").strip() for name in ("place", "supervisor"))
    errors = {
        name: problem
        for name, words in (("place", place), ("supervisor", supervisor))
        if (problem := too_long(words, WORDS_LENGTH))
    }
    if errors:
        return _page(case, errors), 400
    opened.write(Arranged(place=place, supervisor=supervisor))
    parts().note("arranged", case=case)
    return redirect(url_for("course.show", case=case), 303)


@pages.post("/rate")
def rate(case: str) -> ResponseReturnValue:
    """Rate the goals before the first film of the course."""
    opened = open_case(case)
    given = ratings_sent(goals_of(opened), parts().service.ratings)
    if not given:
        return _page(case, {"rate": _("Select a number for at least one goal")}), 400
    course.rate(opened, "start", practitioner().now(parts().clock), given)
    parts().note("goals-rated", case=case)
    return redirect(url_for("course.show", case=case), 303)


@pages.post("/end")
def end(case: str) -> ResponseReturnValue:
    opened = open_case(case)
    steps = request.form.get("steps", "").strip()
    if problem := too_long(steps, STEPS_LENGTH):
        return _page(case, {"steps": problem}), 400
    if request.form.get("confirm") != "y":
        return _page(
            case, {"confirm": _("Tick the box to confirm that the work has finished")}
        ), 400
    now = practitioner().now(parts().clock)
    consent = consent_of(opened)
    given = ratings_sent(goals_of(opened), parts().service.ratings)
    keep = consent.retention_period if consent else parts().service.retention_days
    parts().recorder.disarm(case)
    course.end(opened, now, steps, keep)
    if given:
        course.rate(opened, "end", now, given)
    parts().note("course-ended", case=case)
    return redirect(url_for("course.show", case=case), 303)


@pages.post("/top-up")
def top_up(case: str) -> ResponseReturnValue:
    course.top_up(open_case(case), practitioner().now(parts().clock))
    parts().note("top-up-begun", case=case)
    return redirect(url_for("consent.show", case=case), 303)


@pages.post("/remove")
def remove(case: str) -> ResponseReturnValue:
    """Somebody confirms that films which nobody reviewed may be removed."""
    holder, opened = practitioner(), open_case(case)
    told = course_now(parts(), holder, opened)
    status = parts().recorder.last_word()
    if told.keeping not in (Keeping.NEVER_REVIEWED, Keeping.DUE) or status is None:
        return _page(
            case, {"remove": _("These films have not reached their deletion date yet")}
        ), 400
    if request.form.get("confirm") != "y":
        return _page(
            case, {"remove": _("Tick the box to confirm that the films can be deleted")}
        ), 400
    close_for_good(parts(), holder, opened, status.kit, "retention")
    return redirect(url_for("withdraw.certificate", case=case), 303)


@pages.get("/outcome.json")
def outcome(case: str) -> ResponseReturnValue:
    """Numbers for the service's statistics, without words or names."""
    opened = open_case(case)
    told = course_now(parts(), practitioner(), opened)
    data = to_json(course.outcome(opened, told.films)) + b"\n"
    return download(data, "outcome.json", "application/json")
