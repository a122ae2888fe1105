"""Withdraw everything, one film or one use; a certificate says how far it has got.

The certificate claims what is true and no more: what was removed here, what the service has
confirmed with its signature, what a hold still keeps, and what nobody can promise.
"""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from flask import Blueprint, abort, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from appliance.casework import copies, shares
from appliance.casework.closing import finish_withdrawal, withdraw
from appliance.casework.consent import (
    PURPOSES,
    Consent,
    Hold,
    consent_of,
    ends_with,
    nothing_agreed,
    taken_back,
)
from appliance.casework.shares import Share
from appliance.casework.withdrawal import lift_hold, place_hold, withdraw_film
from appliance.errors import BadFile, BadInput, BadSignature, NotPossible
from appliance.protocol.case_record import (
    closed_there,
    film_order,
    films_withdrawn,
    held,
    hold_notice,
    is_film_withdrawn,
    is_withdrawn,
    ordered,
    withdrawal_note,
)
from appliance.protocol.orders import (
    CopiesOut,
    FilmWithdrawal,
    ServiceOrder,
    Tombstone,
    Withdrawal,
    hold_name,
)
from appliance.protocol.readmission import key_waits
from appliance.protocol.refusals import OrderRefused, refusal_here
from appliance.protocol.status import RecorderStatus
from appliance.records.files import CaseFolder, names_in, read_text
from appliance.records.signing import open_note
from appliance.vault.cases import UNREADABLE, OpenCase
from web_ui.forms import Form, day_sent, text_field
from web_ui.housekeeping import close_for_good
from web_ui.parts import parts
from web_ui.session.current import case_page, open_case, open_to_take_back, practitioner
from web_ui.wording.language import _
from web_ui.wording.purposes import purposes_in_words
from web_ui.wording.times import end_of

ROLE_LENGTH = 80
REASON_LENGTH = 500
LONGEST_REVIEW = timedelta(days=400)


@dataclass(frozen=True)
class Certificate:
    """How far a withdrawal has got."""

    order: Withdrawal | None
    """The practitioner's order; None if the service closed the case."""
    closed: Tombstone | ServiceOrder | None
    """The service's order or answer, if it closed the case."""
    key_removed: bool
    documents_removed: bool
    films: int
    """Sealed films that are still on the card; nothing opens them."""
    service: Tombstone | None
    """The service's signed answer, once it has arrived."""
    held_until: datetime | None
    """When the hold that prevents removal is reviewed."""
    refused: OrderRefused | None = None
    """The service's no, where that is its last word."""


@dataclass(frozen=True)
class FilmCertificate:
    """How far the withdrawal of one film has got."""

    order: FilmWithdrawal
    removed: bool
    """The recorder has removed its sealed segments."""
    moments_removed: bool
    service: Tombstone | None
    held_until: datetime | None
    copies: Sequence[CopiesOut]
    refused: OrderRefused | None
    """Likewise."""


class HoldForm(Form):
    role = text_field(lambda: _("Enter who decided it, by their job"), ROLE_LENGTH)
    reason = text_field(lambda: _("Enter the reason"), REASON_LENGTH)
    review = text_field(lambda: _("Enter the day you will look at the hold again"))


pages = Blueprint("withdraw", __name__, url_prefix="/cases/<id:case>")


@pages.get("/withdraw")
def show(case: str) -> ResponseReturnValue:
    if is_withdrawn(parts().home.case(case)):
        return redirect(url_for("withdraw.certificate", case=case), 303)
    return _page(case, {}), 200


@pages.post("/withdraw")
def carry_out(case: str) -> ResponseReturnValue:
    if request.form.get("confirm") != "y":
        sentence = _("Tick the box to confirm that the family wants this")
        return _page(case, {"confirm": sentence}), 400
    holder = practitioner()
    opened = open_to_take_back(case)
    close_for_good(parts(), holder, opened, _known_kit().kit, "family")
    return redirect(url_for("withdraw.certificate", case=case), 303)


@pages.post("/withdraw/film")
def take_back_film(case: str) -> ResponseReturnValue:
    holder = practitioner()
    opened = open_to_take_back(case)
    film = request.form.get("film", "")
    if film not in {one.id for one in holder.viewing.films_of(case)}:
        return _page(case, {"film": _("Select the film to delete")}), 400
    status = _known_kit()
    if status.recording == film:
        parts().recorder.stop(case)
    order = withdraw_film(opened, film, status.kit, holder.now(parts().clock))
    holder.viewing.close(case)
    parts().note("film-withdrawn", case=case, recording=film, order=order.id)
    return redirect(url_for("withdraw.film_certificate", case=case, film=film), 303)


@pages.post("/withdraw/purpose")
def take_back_purposes(case: str) -> ResponseReturnValue:
    holder = practitioner()
    opened = open_to_take_back(case)
    consent, now = consent_of(opened), holder.now(parts().clock)
    unread = consent is None and opened.has(Consent)
    named = [purpose for purpose in PURPOSES if purpose in request.form.getlist("purposes")]
    if not named or (consent is None and not unread):
        return _page(case, {"purposes": _("Tick what the family no longer agrees to")}), 400
    permit = parts().recorder.permit()
    # In doubt about what the kit films for, filming ends.
    if unread or permit is None or permit.case != case or ends_with(permit.kind) & set(named):
        parts().recorder.end_filming(case)
    # A consent that cannot be read allows nothing, and stays taken back if it can be read one day.
    left = consent.without(named, now) if consent else nothing_agreed(now)
    opened.write(left)
    closed = _films_closed(opened, left)
    shares.end_what_is_not_agreed(opened, now, closed)
    holder.viewing.close(case)
    parts().note("purposes-withdrawn", case=case, purposes=" ".join(named))
    return redirect(url_for("consent.receipt", case=case), 303)


@pages.route("/hold", methods=["GET", "POST"])
def hold(case: str) -> ResponseReturnValue:
    opened = open_case(case)
    form = HoldForm()
    now = practitioner().now(parts().clock)
    review = day_sent(form.review.data or "")
    if form.validate_on_submit():
        if review is None or not now < end_of(review) <= now + LONGEST_REVIEW:
            form.review.errors = [_("The day must be today or later, within the next 13 months")]
        else:
            fact = Hold(role=form.role.data, reason=form.reason.data, review=end_of(review), at=now)
            place_hold(opened, fact, practitioner().service)
            parts().note("hold-placed", case=case)
            return redirect(url_for("withdraw.hold", case=case), 303)
    page = case_page(
        "hold.html",
        opened,
        form=form,
        hold=_hold(opened),
        held=held(opened.directory),
        refused=_refused_hold(opened.directory),
    )
    return page, 400 if form.errors else 200


@pages.post("/hold/lift")
def lift(case: str) -> ResponseReturnValue:
    holder = practitioner()
    directory = parts().home.case(case)
    found = withdrawal_note(directory)
    if found is not None:
        _check_ours(found[1])
    elif closed_there(directory, holder.service) is None:
        open_case(case)
    lift_hold(directory, holder.keys.signer, holder.now(parts().clock))
    parts().note("hold-lifted", case=case)
    if found is not None:
        order = withdraw(directory, holder.keys, found[0].kit, found[0].at)
        parts().note("withdrawn", case=case, order=order.id)
        return redirect(url_for("withdraw.certificate", case=case), 303)
    if is_withdrawn(directory):
        finish_withdrawal(directory)
        return redirect(url_for("withdraw.certificate", case=case), 303)
    for film in films_withdrawn(directory):
        kit, at = "", holder.now(parts().clock)
        with suppress(BadFile):
            if (known := film_order(directory, film)) is not None:
                kit, at = known.kit, known.at
        withdraw_film(holder.case(case), film, kit or _known_kit().kit, at)
    return redirect(url_for("withdraw.hold", case=case), 303)


@pages.get("/certificate")
def certificate(case: str) -> ResponseReturnValue:
    found = withdrawal_note(parts().home.case(case))
    if found is not None:
        _check_ours(found[1])
        return render_template("certificate.html", case=case, told=_certificate(case, found[0]))
    closed = closed_there(parts().home.case(case), practitioner().service)
    if closed is None:
        abort(404)
    return render_template("certificate.html", case=case, told=_certificate(case, None, closed))


@pages.get("/withdraw/<id:film>")
def film_certificate(case: str, film: str) -> ResponseReturnValue:
    opened = open_case(case)
    order = film_order(opened.directory, film)
    if not isinstance(order, FilmWithdrawal):
        abort(404)
    return case_page("certificate-film.html", opened, told=_film_certificate(opened, order))


def _page(case: str, errors: dict[str, str]) -> str:
    opened = open_to_take_back(case)
    consent = consent_of(opened)
    unread = consent is None and opened.has(Consent)
    gone = {taken.purpose for taken in consent.taken_back} if consent else set()
    asked = {one for person in consent.people for one in person.purposes} if consent else set()
    films = practitioner().viewing.films_of(case)
    return case_page(
        "withdraw.html",
        opened,
        films=films,
        left=[film for film in films if not is_film_withdrawn(opened.directory, film.id)],
        withdrawn=films_withdrawn(opened.directory),
        purposes={
            p: words for p, words in purposes_in_words().items() if unread or p in asked - gone
        },
        unread=unread,
        held_until=_held_until(opened.directory),
        errors=errors,
    )


def _films_closed(case: OpenCase, consent: Consent) -> set[str]:
    """The films of shared moments that nobody may watch any more. One that is not on this kit
    counts as the kind that the most withdrawals close."""
    kinds = {film.id: film.started.kind for film in practitioner().viewing.films_of(case.id)}
    shared = {film for share in case.salvage(Share).found.values() for film in share.films}
    return {film for film in shared if taken_back(consent, kinds.get(film, "review"))}


def _known_kit() -> RecorderStatus:
    status = parts().recorder.last_word()
    if status is None:
        raise NotPossible(
            _("The kit is still starting."),
            _("Wait a few seconds, then try to withdraw consent again."),
        )
    return status


def _hold(case: OpenCase) -> Hold | None:
    """Who decided on the hold, and why; None if there is none that can be read."""
    with suppress(*UNREADABLE):
        return case.read(Hold) if held(case.directory) else None
    return None


def _refused_hold(directory: CaseFolder) -> OrderRefused | None:
    with suppress(OSError, BadFile):
        return _refused(directory.name, hold_name(read_text(directory.hold).encode()))
    return None


def _refused(case: str, order: str) -> OrderRefused | None:
    return refusal_here(parts().home, practitioner().service, case, order)


def _check_ours(note: str) -> None:
    """Only the signature of the order still says whose case it was."""
    try:
        open_note(note, practitioner().verifiers)
    except BadSignature:
        abort(404)


def _held_until(directory: CaseFolder) -> datetime | None:
    notice = hold_notice(directory)
    if notice is not None:
        return notice.until
    # A damaged notice holds too, and asks to be looked at now.
    return datetime.fromtimestamp(0, UTC) if held(directory) else None


def _certificate(
    case: str, order: Withdrawal | None, closed: Tombstone | ServiceOrder | None = None
) -> Certificate:
    directory = parts().home.case(case)
    answer = closed if isinstance(closed, Tombstone) else None
    here = names_in(directory)
    kept = {path.name for path in ordered(directory)}
    left = {name for name in here if (directory / name).is_dir()} - kept
    return Certificate(
        order=order,
        closed=closed,
        key_removed=not any(name.startswith("identity-") for name in here)
        and not key_waits(parts().home, case),
        documents_removed=not left,
        films=len(practitioner().viewing.films_of(case)),
        service=answer or (_answer(order.id, case) if order else None),
        held_until=_held_until(directory),
        refused=_refused(case, order.id) if order else None,
    )


def _film_certificate(case: OpenCase, order: FilmWithdrawal) -> FilmCertificate:
    moments = set(order.clips)
    clips = {name.partition(".")[0] for name in names_in(case.clips)}
    made = case.directory.derived, case.directory.imports
    gone = not any((part / order.film).exists() for part in made)
    return FilmCertificate(
        order=order,
        removed=not parts().home.recording(order.film).exists(),
        moments_removed=gone and not moments & clips,
        service=_answer(order.id, order.case, order.id),
        held_until=_held_until(case.directory),
        copies=(*copies.out_of_reach(case, moments), *shares.out_of_reach(case, moments)),
        refused=_refused(order.case, order.id),
    )


def _answer(name: str, case: str, order: str = "") -> Tombstone | None:
    """The service's answer to this order, if it is here and the service signed it.

    For a whole case it answers once, to the first order: another kit may have sent that one.
    """
    try:
        note = read_text(parts().home.inbox / name)
        answer = practitioner().service.word(note, Tombstone)
    except (FileNotFoundError, BadInput):
        return None
    same = answer.case == case and order in ("", answer.order)
    return answer if same and answer.whole is not bool(order) else None
