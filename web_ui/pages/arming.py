"""Arm the kit with a signed permit, made from the consent in force; disarm it."""

from datetime import datetime, timedelta

from flask import Blueprint, redirect, request, url_for
from flask.typing import ResponseReturnValue
from wtforms import BooleanField, IntegerField, StringField
from wtforms.validators import Optional

from appliance.casework.consent import (
    AGREED,
    Consent,
    Newcomer,
    consent_of,
    may_be_made,
    taken_back,
)
from appliance.casework.course import course_of, stops_filming
from appliance.protocol.permits import Ceilings, OrderedFilm, Permit
from appliance.protocol.status import RecorderStatus
from appliance.records.files import new_id, save
from appliance.records.signing import sign_fact
from appliance.vault.cases import Goals, OpenCase
from web_ui.forms import Form, text_field
from web_ui.parts import parts
from web_ui.session.current import (
    case_page,
    open_case,
    practitioner,
    what_is_wrong_with_word,
)
from web_ui.wording.language import _
from web_ui.wording.times import end_of, length

FILMS = 1
"""Films that one permit allows, unless the form asks for another number."""


class ArmForm(Form):
    word = text_field()
    here = StringField()
    films = IntegerField(default=FILMS, validators=[Optional()])
    silent = BooleanField()


pages = Blueprint("arming", __name__)


@pages.route("/cases/<id:case>/arm", methods=["GET", "POST"])
def arm(case: str) -> ResponseReturnValue:
    """The last look before the button films: the family's word, who is here, what was agreed. The
    word and who is here are asked once after each unlock."""
    opened = open_case(case)
    form = ArmForm()
    status = parts().recorder.status()
    now = parts().recorder.now(status)
    consent, most = consent_of(opened), parts().recorder.ceilings()
    asked = request.method == "POST"
    found = opened.read_with_digest(Consent) if consent and asked else None
    kind: OrderedFilm = "review" if request.values.get("kind") == "review" else "visit"
    stops = what_stops_arming(opened.read(Goals), consent, status, now, kind)
    if stop := stops_filming(course_of(opened), consent):
        stops.insert(0, _(stop.sentence))
    stops += _stops_of_kit(opened, consent, most, kind)
    if asked and form.here.data == "more":
        parts().recorder.disarm(case)
        return redirect(url_for("consent.show", case=case), 303)
    films = FILMS if form.films.data is None else form.films.data
    if asked and not stops and consent:
        _check(form, opened, consent, films, most)
    if asked and not form.errors and not stops and status and now and found:
        permit = _permit(opened, found, status, now, most, kind, films, not form.silent.data)
        note = sign_fact(practitioner().keys.signer, permit)
        save(parts().home.permit, note.encode())
        parts().note("armed", case=case, permit=permit.id)
        return redirect(url_for("cases.one", case=case), 303)
    page = case_page(
        "arm.html",
        opened,
        form=form,
        goals=opened.read(Goals),
        consent=consent,
        limit=film_limit(consent, kind, most) if consent else 0,
        until=permit_end(consent, now, most) if consent and now else None,
        stops=stops,
        other=parts().recorder.ready_case(status) not in ("", case),
        asks_word=case not in practitioner().word_said,
        asks_here=consent is not None and not _is_here(opened, consent),
        kind=kind,
        purpose=AGREED[kind],
    )
    return page, 400 if request.method == "POST" else 200


@pages.post("/disarm")
def disarm() -> ResponseReturnValue:
    case = parts().recorder.armed_case()
    parts().recorder.disarm()
    return redirect(url_for("cases.one", case=case) if case else url_for("cases.show"), 303)


@pages.post("/cases/<id:case>/newcomer")
def newcomer(case: str) -> ResponseReturnValue:
    """Somebody new came in: filming ends until they have been asked too."""
    holder = practitioner()
    opened = open_case(case)
    status = parts().recorder.status()
    parts().recorder.disarm()
    parts().recorder.stop(case)
    holder.here.pop(case, None)
    if status is not None and status.case == case and status.recording:
        opened.write(
            Newcomer(recording=status.recording, event_time=holder.now(parts().clock)),
            status.recording,
        )
    parts().note("newcomer", case=case, recording=status.recording if status else "")
    return redirect(url_for("consent.show", case=case), 303)


def _is_here(case: OpenCase, consent: Consent) -> bool:
    """Whether it was said since the unlock that only those are here whom this consent names."""
    return practitioner().here.get(case.id) == consent.record_id


def _check(form: ArmForm, case: OpenCase, consent: Consent, films: int, most: Ceilings) -> None:
    """Find what is wrong with the form. A right word is remembered at once; who
    is here only with it, for it may have been said of another family."""
    form.validate()
    problem = ""
    if case.id not in practitioner().word_said:
        problem = what_is_wrong_with_word(case, form.word.data)
    if problem:
        form.word.errors = [problem]
    if not _is_here(case, consent):
        if form.here.data != "these":
            form.here.errors = [_("Select who is here")]
        elif not problem:
            practitioner().here[case.id] = consent.record_id
            parts().note("here-answered", case=case.id)
    if not 1 <= films <= most.films:
        form.films.errors = [_("Enter a number between 1 and %(most)s", most=most.films)]


def what_stops_arming(
    goals: Goals | None,
    consent: Consent | None,
    status: RecorderStatus | None,
    now: datetime | None,
    kind: OrderedFilm = "visit",
) -> list[str]:
    """What must be put right first, in words; if the list is empty, the kit may be armed."""
    stops, purpose = [], AGREED[kind]
    if goals is None:
        stops.append(_("Add a goal, or tick that there are no goals yet."))
    if status is None:
        stops.append(_("The page cannot talk to the camera. Turn the kit off and on."))
    elif now is None:
        stops.append(
            _(
                "The kit is not sure of the time. Lock the page and unlock it with the right time. "
                "If that does not help, correct it under This kit."
            )
        )
    if consent is None:
        stops.append(_("Record consent first."))
    elif not any(purpose in person.purposes for person in consent.people):
        stops.append(
            _("No one has agreed to filming.")
            if kind == "visit"
            else _("No one has agreed to filming the review.")
        )
    elif not all(purpose in person.purposes for person in consent.people):
        stops.append(_("Not everyone in the room agrees."))
    elif taken_back(consent, kind):
        stops.append(
            _(
                "The family withdrew consent to filming. Talk it through again "
                "and record their consent."
            )
        )
    elif not consent.responsible:
        stops.append(_("No one with parental responsibility has agreed."))
    elif now is not None and not may_be_made(consent, now, kind):
        stops.append(_("This consent has ended. Talk it through again and record a new one."))
    return stops


def _stops_of_kit(
    case: OpenCase, consent: Consent | None, most: Ceilings, kind: OrderedFilm
) -> list[str]:
    """What else must be put right: the case's key, and what the service allows."""
    stops = []
    if parts().recorder.has_strangers(case):
        stops.append(
            _(
                "Your service has removed someone who worked with this family from this "
                "kit. Give the family a new key first, under Who works with this family."
            )
        )
    if parts().recorder.needs_press(case):
        stops.append(
            _("This family has a new key. Confirm it first, under Who works with this family.")
        )
    # How long a film of the review is, is the service's to say: it is cut to what is allowed.
    if consent and kind == "visit" and consent.limit > most.limit:
        stops.append(
            _(
                "Your service allows films of up to %(length)s. Record consent again "
                "with a shorter time.",
                length=length(most.limit),
            )
        )
    return stops


def film_limit(consent: Consent, kind: OrderedFilm, most: Ceilings) -> int:
    """Seconds of one film of this kind: what was agreed, and no more than the service says."""
    return min(consent.limit_of(kind), most.limit)


def permit_end(consent: Consent, now: datetime, most: Ceilings) -> datetime:
    """When a permit made now ends: tonight, with the consent, or when the service says."""
    longest = now + timedelta(seconds=most.life)
    return min(end_of(now.astimezone().date()), consent.valid_until, longest)


def _permit(
    case: OpenCase,
    found: tuple[Consent, str],
    status: RecorderStatus,
    now: datetime,
    most: Ceilings,
    kind: OrderedFilm,
    films: int,
    sound: bool,
) -> Permit:
    """A permit from now on; `found` is the consent and its digest."""
    consent, digest = found
    return Permit(
        id=new_id(),
        kit=status.kit,
        case=case.id,
        recipient=case.record.recipient,
        consent=digest,
        kind=kind,
        limit=film_limit(consent, kind, most),
        sound=sound,
        films=films,
        boot=status.boot,
        not_before=now,
        not_after=permit_end(consent, now, most),
        people=tuple(str(card.verifying_key()) for card in case.team),
    )
