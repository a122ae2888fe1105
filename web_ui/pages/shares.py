"""Share chosen clips with a supervisor or colleague: which, with whom, for what, until when."""

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta

from flask import Blueprint, abort, redirect, request, url_for
from flask.typing import ResponseReturnValue

from appliance.age.recipients import parse_recipient
from appliance.casework import shares
from appliance.casework.clips import Kept, shelf
from appliance.casework.consent import Consent, allows, consent_of
from appliance.casework.copies import CopyRefusal, judge
from appliance.casework.course import Arranged
from appliance.casework.shares import (
    Share,
    SharedFor,
    files_of,
    is_over,
    purpose_of,
    shares_of,
)
from appliance.errors import BadFile, BadInput
from appliance.protocol.cards import Card, sealing_keys
from appliance.records.files import from_json, open_plain
from appliance.vault.cases import OpenCase
from web_ui import answers
from web_ui.forms import day_sent, too_long
from web_ui.parts import parts
from web_ui.player.ranges import PIECE
from web_ui.session.current import case_page, moments_sent, open_case, practitioner
from web_ui.wording.language import _, told
from web_ui.wording.purposes import purposes_in_words
from web_ui.wording.times import end_of

WHO_LENGTH = 120
LONGEST = timedelta(days=90)
USUAL = timedelta(days=28)
CARD = "card"
BROUGHT = "brought"


pages = Blueprint("shares", __name__, url_prefix="/cases/<id:case>/shares")


def _page(case: str, errors: dict[str, str]) -> str:
    opened, now = open_case(case), practitioner().now(parts().clock)
    consent, words = consent_of(opened), purposes_in_words()
    return case_page(
        "shares.html",
        opened,
        moments=shelf(opened).every,
        purposes={one: words[one] for one in shares.PURPOSES if allows(consent, one, now)},
        supervisor=(opened.read(Arranged) or Arranged()).supervisor,
        colleagues=_colleagues(),
        usual=(now + USUAL).date(),
        held=[(one, _files(opened, one, now)) for one in shares_of(opened)],
        words=words,
        sent=request.form,
        errors=errors,
    )


@pages.get("")
def show(case: str) -> ResponseReturnValue:
    return _page(case, {})


@pages.post("")
def share(case: str) -> ResponseReturnValue:
    holder, opened = practitioner(), open_case(case)
    now, errors = holder.now(parts().clock), dict[str, str]()
    kept = moments_sent(opened)
    if not kept:
        errors["moments"] = _("Tick the clips and stills to share")
    who = request.form.get("who", "").strip()
    if not who:
        errors["who"] = _("Enter who this person is")
    elif problem := too_long(who, WHO_LENGTH):
        errors["who"] = problem
    purpose = purpose_of(request.form.get("purpose", ""))
    if purpose is None:
        errors["purpose"] = _("Select what it is for")
    elif refusal := _refusal(opened, kept, purpose, now):
        errors["moments"] = refusal_in_words(refusal)
    to = _card(opened, errors)
    until = _until(consent_of(opened), now, errors)
    if request.form.get("confirm") != "y":
        errors["confirm"] = _("Tick the box to confirm that this person can see them")
    if errors or purpose is None or to is None or until is None:
        return _page(case, errors), 400
    made = shares.share(opened, kept, to, who, purpose, now, until)
    parts().note("shared", case=case, share=made.id, to=to.name)
    return redirect(url_for("shares.show", case=case), 303)


@pages.get("/<id:share>/<name>")
def download(case: str, share: str, name: str) -> ResponseReturnValue:
    """One of the locked files of a share, to hand to the person it is for."""
    holder, opened = practitioner(), open_case(case)
    now = holder.now(parts().clock)
    found = next((one for one in shares_of(opened) if one.id == share), None)
    if found is None or name not in _files(opened, found, now):
        abort(404)
    path = opened.directory.shares / share / name

    def pieces() -> Iterator[bytes]:
        with open_plain(path) as file:
            while piece := file.read(PIECE):
                # Raises once the page is locked or the family has withdrawn.
                holder.case(case)
                yield piece

    parts().note("share-downloaded", case=case, share=share)
    answer = answers.download(pieces(), name)
    answer.headers["Content-Length"] = str(path.stat().st_size)
    return answer


@pages.post("/<id:share>/end")
def end(case: str, share: str) -> ResponseReturnValue:
    opened = open_case(case)
    found = next((one for one in shares_of(opened) if one.id == share), None)
    if found is None:
        abort(404)
    shares.end(opened, found, practitioner().now(parts().clock))
    parts().note("share-ended", case=case, share=share)
    return redirect(url_for("shares.show", case=case), 303)


def _files(case: OpenCase, share: Share, now: datetime) -> list[str]:
    """The names of what is shared; none once it is over."""
    over = is_over(case.directory, share, now)
    return [] if over else [path.name for path in files_of(case.directory, share.id)]


def refusal_in_words(refusal: CopyRefusal) -> str:
    """Why a moment may not be shared."""
    return {
        CopyRefusal.NOT_AGREED: _(
            "Not everyone agrees to this use. Talk it through and record consent again."
        ),
        CopyRefusal.NOT_EVERYBODY: _("Someone in one of these films has not agreed to this use."),
        CopyRefusal.FILM_UNKNOWN: _(
            "We cannot tell who was in one of these films, so it is not shared."
        ),
    }[refusal]


def _colleagues() -> Sequence[Card]:
    """Who else is enrolled on this kit."""
    enrolled = parts().enrolled
    own = practitioner().card
    return [card for card in enrolled.practitioners if card != own] if enrolled else []


def _refusal(
    case: OpenCase, kept: Sequence[Kept], purpose: SharedFor, now: datetime
) -> CopyRefusal | None:
    films = practitioner().viewing.to_hand_on(case)
    names = dict.fromkeys(one.recording for one in kept)
    found = (judge(case, films.get(name), now, purpose) for name in names)
    return next((refusal for refusal in found if refusal is not None), None)


def _card(case: OpenCase, errors: dict[str, str]) -> Card | None:
    """The card to share with: a colleague's on this kit, or one that was brought."""
    chosen = request.form.get("to", "")
    for colleague in _colleagues():
        if colleague.name == chosen:
            return colleague
    upload = request.files.get(CARD)
    if chosen != BROUGHT or not upload or not upload.filename:
        errors["to"] = _("Select who it is for, or add their ID file")
        return None
    try:
        card = from_json(upload.stream.read(), Card)
        if card.role != "practitioner":
            raise BadFile("")
        enrolled = parts().enrolled
        if enrolled and card.name in [former.name for former in enrolled.former]:
            errors["to"] = _(
                "Your service has cancelled this ID file. Ask the person for their new one."
            )
            return None
        sealing_keys(parse_recipient(case.record.recipient), card)
    except BadFile:
        errors["to"] = _("That is not a person's ID file. Its name ends in .pub.")
        return None
    except BadInput as error:
        errors["to"] = told(error)
        return None
    return card


def _until(consent: Consent | None, now: datetime, errors: dict[str, str]) -> datetime | None:
    """The end of the day that was chosen; never after the consent."""
    day = day_sent(request.form.get("until", ""))
    if day is None:
        errors["until"] = _("Enter the last day this person can see them")
        return None
    until = end_of(day)
    if not now < until <= end_of((now + LONGEST).date()):
        errors["until"] = _(
            "The last day must be today or later, within %(days)s days", days=LONGEST.days
        )
        return None
    return min(until, consent.valid_until) if consent else until
