"""Consent: one question a page, each person for themselves, nothing chosen beforehand.

Every answer is kept before the next question is asked (`casework.consent_draft`), and every page is
one that can be gone back to, loaded again or left. The family's receipt is made from the record
each time it is printed, so it shows what holds now. The kit keeps no other copy of it.
"""

import hashlib
from collections.abc import Callable
from datetime import timedelta

import msgspec
import segno
from flask import Blueprint, abort, redirect, request, url_for
from flask.typing import ResponseReturnValue
from markupsafe import Markup

from appliance.casework.consent import PURPOSES, Consent, Purpose, consent_of, may_be_made
from appliance.casework.consent_draft import (
    Asked,
    ConsentDraft,
    begun,
    draft_of,
    keep_draft,
    throw_draft_away,
)
from appliance.casework.course import Arranged
from appliance.casework.forks import has_two_consents
from appliance.casework.service_settings import OFFERS
from appliance.casework.shares import end_what_is_not_agreed
from appliance.protocol.permits import recipient_digest
from appliance.records.files import new_id
from appliance.vault.cases import OpenCase
from web_ui.consent_form import (
    CUSTOM,
    MOST_PEOPLE,
    WORDING,
    Checked,
    Step,
    agrees,
    last_day,
    longest_sent,
    settled,
    statement,
    steps,
    usual_last_day,
    was_read_out,
)
from web_ui.parts import parts
from web_ui.session.current import case_page, open_case, practitioner
from web_ui.wording.language import _
from web_ui.wording.purposes import purposes_as_said, purposes_in_words
from web_ui.wording.times import last_day_before, length

pages = Blueprint("consent", __name__, url_prefix="/cases/<id:case>/consent")

_AGAIN, _CHANGED = "again", "changed"
"""Behind the `?`: show what was refused; say that another window changed something."""


def _sent(name: str) -> str:
    return request.form.get(name, "").strip()[: longest_sent(name)]


def _purposes() -> tuple[Purpose, ...]:
    """What is asked for: nothing that this service does not do."""
    offers = parts().service.offers
    return tuple(one for one in PURPOSES if one in offers or one not in OFFERS)


def _custom() -> bool:
    """True if a film may have any length: where a scene replaces the camera, for demonstrations."""
    return parts().config.camera == "scene"


def _checked(draft: ConsentDraft) -> Checked:
    now = practitioner().now(parts().clock)
    return Checked(draft, now, _custom(), parts().service, _purposes())


def _draft(case: OpenCase) -> ConsentDraft | None:
    return draft_of(case, practitioner().now(parts().clock))


def _seen(*what: object) -> str:
    """What stood on a page, in short: whoever sends its form answers for that and nothing else."""
    return hashlib.sha256(msgspec.json.encode(what, order="deterministic")).hexdigest()[:32]


def _address(case: str, step: Step) -> str:
    # What a step does not have is no part of its address.
    person, purpose = step.person or None, step.purpose or None
    return url_for(f"consent.{step.name}", case=case, person=person, purpose=purpose)


def _begin(case: str) -> ResponseReturnValue:
    return redirect(url_for("consent.show", case=case), 303)


def _go_on(case: str, draft: ConsentDraft) -> ResponseReturnValue:
    return redirect(_address(case, _checked(draft).next), 303)


def _refuse(case: str, step: Step, sent: ConsentDraft) -> ResponseReturnValue:
    """Have what was sent shown once more, with what is wrong; nothing of it is kept. It is a page
    of its own, so that whoever comes back to it is not asked to send something again."""
    practitioner().refused[case] = step, sent
    return redirect(f"{_address(case, step)}?{_AGAIN}", 303)


def _refused(case: str, step: Step) -> ConsentDraft | None:
    """What was refused there, if that is asked for."""
    at, sent = practitioner().refused.get(case, (None, None))
    return sent if _AGAIN in request.args and at == step else None


def _page(
    opened: OpenCase, draft: ConsentDraft, step: Step, errors: dict[str, str], **told: object
) -> str:
    order = list(steps(draft, _purposes()))
    at = order.index(step) if step in order else 0
    return case_page(
        f"consent-{step.name}.html",
        opened,
        draft=draft,
        person=draft.person(step.person),
        step=step,
        errors=errors,
        before=_address(opened.id, order[at - 1]) if at else url_for("cases.one", case=opened.id),
        first=at == 0,
        **told,
    )


def _answer(
    case: str,
    step: Step,
    change: Callable[[ConsentDraft], ConsentDraft],
    show: Callable[[ConsentDraft], dict[str, object]],
) -> ResponseReturnValue:
    """Show a step, or keep what was answered and go on. One answer at a time, from however many
    windows; `show` says what else its page tells."""
    opened = open_case(case)
    with opened.changing:
        draft = _draft(opened)
        if draft is None:
            # Recorded, thrown away, or of another day.
            sent = request.method == "POST"
            return _begin(case) if sent else redirect(url_for("cases.one", case=case), 303)
        if step.person and draft.person(step.person) is None:
            return _go_on(case, draft)
        if request.method == "GET":
            refused = _refused(case, step)
            if refused is None:
                return _page(opened, draft, step, {}, **show(draft))
            errors = _checked(refused).of(step)
            return _page(opened, refused, step, errors, **show(refused)), 400
        changed = settled(draft, change(draft))
        if _checked(changed).of(step):
            return _refuse(case, step, changed)
        keep_draft(opened, changed)
        practitioner().refused.pop(case, None)
        return _go_on(case, changed)


def _of_person(person: str, **changes: object) -> Callable[[ConsentDraft], ConsentDraft]:
    def change(draft: ConsentDraft) -> ConsentDraft:
        people = tuple(
            msgspec.structs.replace(one, **changes) if one.id == person else one
            for one in draft.people
        )
        return msgspec.structs.replace(draft, people=people)

    return change


@pages.get("")
def show(case: str) -> ResponseReturnValue:
    """Go on where it was left, or begin."""
    opened = open_case(case)
    draft = _draft(opened)
    if draft is None or not was_read_out(draft, parts().service):
        return promises(case)
    return _go_on(case, draft)


@pages.route("/promises", methods=["GET", "POST"])
def promises(case: str) -> ResponseReturnValue:
    """What the practitioner reads out."""
    opened = open_case(case)
    with opened.changing:
        draft = _draft(opened)
        if request.method == "POST":
            now = practitioner().now(parts().clock)
            draft = draft or begun(consent_of(opened), now)
            draft = msgspec.structs.replace(
                draft,
                read_out=WORDING,
                read_days=parts().service.retention_days,
                read_minutes=parts().service.review_minutes,
                read_supervisor=(opened.read(Arranged) or Arranged()).supervisor,
            )
            keep_draft(opened, draft)
            return _go_on(case, draft)
    return case_page(
        "consent-promises.html",
        opened,
        draft=draft,
        errors={},
        before=url_for("cases.one", case=case),
        first=True,
        retention=parts().service.retention_days,
        consents=has_two_consents(opened),
    )


@pages.route("/<id:person>/who", methods=["GET", "POST"])
def who(case: str, person: str) -> ResponseReturnValue:
    """One person: who they are, and whether they answer for a child."""
    answers_for = _sent("answers_for")
    change = _of_person(
        person,
        met=True,
        name=_sent("name"),
        relation=_sent("relation"),
        speaks_as=_sent("speaks_as"),
        answers_for=answers_for,
        # Written before No was chosen: nobody answers for that child.
        on_behalf_of="" if answers_for == "nobody" else _sent("on_behalf_of"),
    )

    def told(draft: ConsentDraft) -> dict[str, object]:
        return {
            "roles": parts().service.roles,
            "number": [one.id for one in draft.people].index(person) + 1,
        }

    return _answer(case, Step("who", person), change, told)


@pages.route("/<id:person>/agree/<purpose>", methods=["GET", "POST"])
def agree(case: str, person: str, purpose: str) -> ResponseReturnValue:
    """Yes or no to one purpose."""
    found = next((one for one in _purposes() if one == purpose), None)
    if found is None:
        abort(404)
    answer = _sent("answer")

    def change(draft: ConsentDraft) -> ConsentDraft:
        asked = draft.person(person)
        said = {} if asked is None else {n: yes for n, yes in asked.said.items() if n != found}
        if answer in ("yes", "no"):
            said[found] = answer == "yes"
        return _of_person(person, said=said)(draft)

    def told(draft: ConsentDraft) -> dict[str, object]:
        asked = draft.person(person)
        return {
            "question": purposes_as_said(length(60 * draft.read_minutes), draft.read_supervisor)[
                found
            ],
            "number": _purposes().index(found) + 1,
            "most": len(_purposes()),
            "said": asked.said.get(found) if asked else None,
        }

    return _answer(case, Step("agree", person, found), change, told)


@pages.route("/practical", methods=["GET", "POST"])
def practical(case: str) -> ResponseReturnValue:
    """How long a film may be, until when all of it holds, and how it was talked through."""

    def change(draft: ConsentDraft) -> ConsentDraft:
        return msgspec.structs.replace(
            draft,
            limit=_sent("limit"),
            limit_seconds=_sent("limit_seconds") if _sent("limit") == CUSTOM else "",
            day=_sent("valid_until-day"),
            month=_sent("valid_until-month"),
            year=_sent("valid_until-year"),
            language=_sent("language"),
            interpreter=_sent("interpreter"),
            worries=_sent("worries"),
        )

    def told(draft: ConsentDraft) -> dict[str, object]:
        day = usual_last_day(parts().service, practitioner().now(parts().clock).date())
        filled = (draft.day, draft.month, draft.year)
        fresh = _AGAIN not in request.args
        if fresh and not any(filled):
            filled = (str(day.day), str(day.month), str(day.year))
        language = draft.language
        if fresh and not draft.limit:
            language = language or _("English")
        return {
            "minutes": parts().service.film_minutes,
            "custom": _custom(),
            "date": filled,
            "spoken": language,
        }

    return _answer(case, Step("practical"), change, told)


@pages.post("/add")
def add(case: str) -> ResponseReturnValue:
    """Ask one more person."""
    opened = open_case(case)
    with opened.changing:
        draft = _draft(opened)
        if draft is None:
            return _begin(case)
        if len(draft.people) < MOST_PEOPLE:
            people = (*draft.people, Asked(id=new_id()))
            draft = settled(draft, msgspec.structs.replace(draft, people=people))
            keep_draft(opened, draft)
    return _go_on(case, draft)


@pages.post("/<id:person>/take-out")
def take_out(case: str, person: str) -> ResponseReturnValue:
    """This person will not be in the room."""
    opened = open_case(case)
    with opened.changing:
        draft = _draft(opened)
        if draft is None:
            return _begin(case)
        people = tuple(one for one in draft.people if one.id != person)
        # There is always somebody to ask.
        people = people or (Asked(id=new_id()),)
        draft = settled(draft, msgspec.structs.replace(draft, people=people))
        keep_draft(opened, draft)
    return _go_on(case, draft)


@pages.post("/throw-away")
def throw_away(case: str) -> ResponseReturnValue:
    """Forget what was said since this consent was begun; the one on record stands."""
    opened = open_case(case)
    with opened.changing:
        throw_draft_away(opened)
    return redirect(url_for("cases.one", case=case), 303)


@pages.get("/check")
def check(case: str) -> ResponseReturnValue:
    """All that was said, to be looked at before it is recorded."""
    opened = open_case(case)
    draft = _draft(opened)
    if draft is None:
        return redirect(url_for("cases.one", case=case), 303)
    if _CHANGED in request.args:
        sentence = _("Something here was changed in another window. Look at it once more.")
        return _check_page(opened, draft, {"people": sentence}), 400
    if refused := _refused(case, Step("check")):
        return _check_page(opened, refused, _checked(refused).of(Step("check"))), 400
    return _check_page(opened, draft, {})


@pages.post("/check")
def record(case: str) -> ResponseReturnValue:
    """Record it, or let everybody sign first."""
    opened = open_case(case)
    with opened.changing:
        draft = _draft(opened)
        known = consent_of(opened)
        if draft is None:
            # Sent twice, or from a page that was gone back to.
            again = known is not None and known.record_id == request.form.get("draft", "")
            return _after(opened) if again else _begin(case)
        if request.form.get("seen", "") != _of_draft(draft):
            return redirect(f"{_address(case, Step('check'))}?{_CHANGED}", 303)
        draft = msgspec.structs.replace(
            draft, given=_sent("given"), witness=_sent("witness"), choice="choice" in request.form
        )
        checked = _checked(draft)
        if checked.of(Step("check")):
            return _refuse(case, Step("check"), draft)
        keep_draft(opened, draft)
        return _recorded(opened, checked)


@pages.route("/<id:person>/sign", methods=["GET", "POST"])
def sign(case: str, person: str) -> ResponseReturnValue:
    """What one person said, for them alone to look at and to sign."""
    opened = open_case(case)
    with opened.changing:
        draft = _draft(opened)
        asked = draft.person(person) if draft else None
        if draft is None:
            return redirect(url_for("cases.one", case=case), 303)
        if asked is None or draft.given != "drawn" or not draft.choice or not agrees(asked):
            return _go_on(case, draft)
        step, seen = Step("sign", person), _seen(statement(draft, asked))
        if request.method == "POST":
            if request.form.get("seen", "") != seen:
                return redirect(_address(case, step), 303)
            signed = _of_person(person, signature=_sent("signature"))(draft)
            checked = _checked(signed)
            if checked.of(step):
                return _refuse(case, step, draft)
            keep_draft(opened, signed)
            return _recorded(opened, checked)
        refused = _refused(case, step)
        errors = _checked(refused).of(step) if refused else {}
        page = _page(
            opened,
            draft,
            step,
            errors,
            seen=seen,
            said=[(asked.said.get(one), purposes_in_words()[one]) for one in _purposes()],
            limit=_length(draft),
            until=last_day(draft),
        )
        return page, 400 if errors else 200


def _recorded(opened: OpenCase, checked: Checked) -> ResponseReturnValue:
    """Record a consent once everything that it needs was said, and go on."""
    consent = checked.consent
    practitioner().refused.pop(opened.id, None)
    if consent is None:
        return _go_on(opened.id, checked.draft)
    # The permit was made from another consent.
    parts().recorder.end_filming(opened.id)
    opened.write(consent)
    throw_draft_away(opened)
    end_what_is_not_agreed(opened, consent.event_time)
    # Everybody here has just been asked.
    practitioner().here[opened.id] = consent.record_id
    parts().note("consent-written", case=opened.id, record=consent.record_id)
    return _after(opened)


def _after(opened: OpenCase) -> ResponseReturnValue:
    """Where a visit goes on from a consent: to the film, if it allows one."""
    now = practitioner().now(parts().clock)
    films = may_be_made(consent_of(opened), now, "visit")
    ready = films and opened.id in practitioner().word_said
    return redirect(url_for("arming.arm" if ready else "cases.one", case=opened.id), 303)


def _of_draft(draft: ConsentDraft) -> str:
    """What stands on the page of a draft that is to be checked."""
    return _seen(
        draft.id,
        draft.people,
        draft.limit,
        draft.limit_seconds,
        draft.day,
        draft.month,
        draft.year,
        draft.language,
        draft.interpreter,
        draft.worries,
    )


def _length(draft: ConsentDraft) -> int:
    """Seconds of one film; 0 while that was not said."""
    written = draft.limit_seconds if draft.limit == CUSTOM else draft.limit
    return int(written) if written.isdecimal() else 0


def _check_page(opened: OpenCase, draft: ConsentDraft, errors: dict[str, str]) -> str:
    found = _checked(draft)
    return _page(
        opened,
        draft,
        Step("check"),
        errors,
        open=[
            (_address(opened.id, step), step, sentence)
            for step in steps(draft, _purposes())
            if step.name not in ("check", "sign")
            for sentence in found.of(step).values()
        ],
        purposes={one: purposes_in_words()[one] for one in _purposes()},
        room=len(draft.people) < MOST_PEOPLE,
        seen=_of_draft(draft),
        limit=_length(draft),
        until=last_day(draft),
    )


@pages.get("/receipt")
def receipt(case: str) -> ResponseReturnValue:
    opened = open_case(case)
    consent = consent_of(opened)
    if consent is None:
        abort(404)
    return case_page(
        "receipt.html",
        opened,
        consent=consent,
        purposes=purposes_in_words(),
        remove_by=consent.valid_until + timedelta(days=consent.retention_period),
        fingerprint=fingerprint(opened),
        qr=_qr(opened, consent),
    )


def fingerprint(case: OpenCase) -> str:
    """The fingerprint of the case's key, for the family to compare."""
    digits = recipient_digest(case.record.recipient)[:20]
    return " ".join(digits[at : at + 4] for at in range(0, 20, 4))


def _qr(case: OpenCase, consent: Consent) -> Markup:
    """A code on the receipt, for a phone to read: no name and no address is in it."""
    lines = [
        _("Receipt for consent to filming"),
        _("Number %(id)s", id=case.id),
        _("Fingerprint %(digits)s", digits=fingerprint(case)),
        _("Consent %(id)s", id=consent.record_id),
        _("Consent ends at the end of %(day)s", day=last_day_before(consent.valid_until)),
        _(
            "To withdraw consent, tell your practitioner or their service this number. You "
            "do not need a reason."
        ),
    ]
    code = segno.make("\n".join(lines), error="m", micro=False)
    title = _("Your number, its fingerprint and how to withdraw consent, for a phone")
    return Markup(code.svg_inline(scale=3, svgclass="app-qr", title=title))  # noqa: S704
