"""The practitioner's cases: the list, a new case, the page of one, its check word and goals."""

from dataclasses import dataclass, replace
from datetime import datetime

from flask import Blueprint, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from wtforms import BooleanField

from appliance.casework.clips import marks_of
from appliance.casework.consent import Consent, Enough, consent_of, may_be_made
from appliance.casework.course import course_of
from appliance.casework.forks import forks, has_two_consents
from appliance.errors import BadInput, BadSignature, Incomplete, NotOpened
from appliance.protocol.case_record import (
    CaseRecord,
    closed_there,
    held,
    is_withdrawn,
    withdrawal_note,
)
from appliance.protocol.status import State
from appliance.records.files import CaseFolder, names_in, new_id
from appliance.records.signing import open_note
from appliance.vault.cases import Details, Goal, Goals, stem_of
from web_ui.forms import Form, page_asked, text_field
from web_ui.parts import parts
from web_ui.session.access import local_path
from web_ui.session.current import (
    case_page,
    open_case,
    practitioner,
    what_is_wrong_with_word,
)
from web_ui.session.forks import shown_forks
from web_ui.wording.language import _
from web_ui.wording.status_line import heard

LABEL_LENGTH = 80
GOAL_LENGTH = 300
GOALS = 5
SHOWN = 50
"""Cases on one page of the list."""


class CaseForm(Form):
    label = text_field(lambda: _("Enter a name for this family"), LABEL_LENGTH)
    check_word = text_field(lambda: _("Enter the word the family chose"), LABEL_LENGTH)


class WordForm(Form):
    word = text_field(lambda: _("Enter the family's check word"))


class GoalsForm(Form):
    goal = text_field(most=GOAL_LENGTH)
    not_yet = BooleanField()


@dataclass(frozen=True)
class Listed:
    """A line of the list."""

    id: str
    label: str
    withdrawn: bool
    ready: bool
    keep_until: datetime | None = None
    """Until when its films are kept, once the work has ended."""
    unfinished: bool = False
    """Something that should be removed is still here."""


pages = Blueprint("cases", __name__, url_prefix="/cases")


@pages.get("")
def show() -> ResponseReturnValue:
    ready = parts().recorder.ready_case(parts().recorder.status())
    found = [
        listed
        for record in parts().cases.records()
        if (listed := _listed(record, ready)) is not None
    ]
    found += [_damaged(name) for name in parts().cases.unreadable(practitioner().keys)]
    found.sort(key=lambda case: (case.withdrawn, case.label.casefold(), case.id))
    page = page_asked()
    first, holder = SHOWN * (page - 1), practitioner()
    shown = [_with_its_end(listed) for listed in found[first : first + SHOWN]]
    return render_template(
        "cases.html",
        cases=[listed for listed in shown if listed is not None],
        before=page - 1,
        after=page + 1 if first + SHOWN < len(found) else 0,
        let_in=len(holder.let_in),
        not_let_in=sorted({_(refusal.sentence) for refusal in holder.not_let_in.values()}),
    )


@pages.route("/new", methods=["GET", "POST"])
def new() -> ResponseReturnValue:
    form = CaseForm()
    if not form.validate_on_submit():
        return render_template("case-new.html", form=form), 400 if form.errors else 200
    holder = practitioner()
    case = parts().cases.create(
        Details(label=form.label.data, check_word=form.check_word.data),
        holder.keys,
        holder.service,
        holder.verifiers,
    )
    holder.word_said = {case.id}
    parts().note("case-made", case=case.id)
    # What comes next with a new family.
    return redirect(url_for("cases.goals", case=case.id), 303)


@pages.get("/<id:case>")
def one(case: str) -> ResponseReturnValue:
    if is_withdrawn(parts().home.case(case)):
        return redirect(url_for("withdraw.certificate", case=case), 303)
    opened = open_case(case)
    status = parts().recorder.status()
    now = parts().recorder.now(status) or practitioner().now(parts().clock)
    goals, consent = opened.read(Goals), consent_of(opened)
    agreed = may_be_made(consent, now, "visit")
    ours = status is not None and status.case == case
    filming_now = status.recording if status and ours and status.state is State.FILMING else ""
    return case_page(
        "case.html",
        opened,
        goals=goals,
        consent=consent,
        agreed=agreed,
        may_arm=goals is not None and agreed,
        ready=parts().recorder.ready_case(status) == case,
        state=status.state if status and ours else "",
        filming_now=filming_now,
        marks=marks_of(opened, filming_now) if filming_now else (),
        heard=heard(status),
        enough={found.recording for found in opened.read_all(Enough)},
        films=practitioner().viewing.films_of(case),
        offers=parts().service.offers,
        forked=bool(forks(opened)) or has_two_consents(opened),
    )


@pages.route("/<id:case>/word", methods=["GET", "POST"])
def word(case: str) -> ResponseReturnValue:
    """Ask the family for its check word, so that nobody films or shows in the wrong case."""
    opened = open_case(case)
    form = WordForm()
    then = local_path(request.values.get("then") or url_for("cases.one", case=case))
    if form.validate_on_submit():
        problem = what_is_wrong_with_word(opened, form.word.data)
        if not problem:
            return redirect(then, 303)
        form.word.errors = [problem]
    page = case_page("word.html", opened, form=form, then=then)
    return page, 400 if form.errors else 200


@pages.route("/<id:case>/goals", methods=["GET", "POST"])
def goals(case: str) -> ResponseReturnValue:
    opened = open_case(case)
    known = opened.read(Goals) or Goals(goals=())
    form = GoalsForm()
    if form.validate_on_submit():
        if not form.goal.data and not form.not_yet.data and not known.goals:
            form.goal.errors = [_("Add a goal, or tick that there are no goals yet")]
        elif form.goal.data and len(known.goals) >= GOALS:
            form.goal.errors = [_("You cannot have more goals in one cycle")]
        else:
            added = (Goal(id=new_id(), text=form.goal.data),) if form.goal.data else ()
            every = (*known.goals, *added)
            opened.write(Goals(goals=every, not_yet=form.not_yet.data and not every))
            parts().note("goals-written", case=case)
            asked = opened.has(Consent)
            return redirect(url_for("cases.one" if asked else "consent.show", case=case), 303)
    both = shown_forks(opened, stem_of(Goals))
    page = case_page("goals.html", opened, form=form, known=known, forks=both)
    return page, 400 if form.errors else 200


def _listed(record: CaseRecord, ready: str) -> Listed | None:
    holder, directory = practitioner(), parts().home.case(record.id)
    try:
        order = withdrawal_note(directory)
    except (BadInput, OSError):
        return _damaged(record.id)
    if order is not None:
        try:
            # Only the signature of the order still says whose case it was.
            open_note(order[1], [holder.card.verifying_key()])
        except BadSignature:
            return None
        words = (
            _("Family %(id)s: withdrawn", id=record.id[:4])
            if order[0].why == "family"
            else _("Family %(id)s: deleted when the time to keep films ended", id=record.id[:4])
        )
        return Listed(record.id, words, True, False, unfinished=_unfinished(directory))
    if closed_there(directory, holder.service):
        # Nothing says any more whose it was; the log shows its id to everybody here as well.
        words = _("Family %(id)s: closed by the service", id=record.id[:4])
        return Listed(record.id, words, True, False, unfinished=_unfinished(directory))
    try:
        details = holder.details(record)
    except (BadInput, Incomplete, OSError):
        # One case that is damaged or cannot be read must not hide the others.
        return _damaged(record.id)
    return Listed(record.id, details.label, False, record.id == ready) if details else None


def _unfinished(directory: CaseFolder) -> bool:
    """True while something of a withdrawn case is still here without a hold."""
    left = any(
        name.startswith("identity-")
        or (name != directory.film_orders.name and (directory / name).is_dir())
        for name in names_in(directory)
    )
    return left and not held(directory)


def _with_its_end(listed: Listed) -> Listed | None:
    """Add how long its films are kept (read only for the cases that are shown); None if the case
    was closed meanwhile."""
    if listed.withdrawn:
        return listed
    try:
        course = course_of(practitioner().case(listed.id))
    except NotOpened:
        return None
    except (BadInput, Incomplete, OSError):
        return _damaged(listed.id)
    return replace(listed, keep_until=course.keep_until)


def _damaged(case: str) -> Listed:
    return Listed(case, _("Family %(id)s: cannot be read", id=case[:4]), False, False)
