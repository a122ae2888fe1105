"""Withdrawing: everything of a case is closed at once, and the certificate says what was done.

The certificate claims what is so and no more: what was removed here, what the service has answered
with its signature, and what nobody can promise.
"""

from dataclasses import dataclass

from flask import Blueprint, abort, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from appliance.cases import Details, withdrawal_note
from appliance.consent import Tombstone, Withdrawal
from appliance.copies import out_of_reach
from appliance.errors import BadInput, BadSignature, NotPossible
from appliance.files import from_json
from appliance.signing import open_note
from web_ui.access import practitioner
from web_ui.arming import stop_if_filming, take_permit
from web_ui.cases import armed_case, open_case
from web_ui.language import _
from web_ui.parts import Parts
from web_ui.status import read_status


@dataclass(frozen=True)
class Certificate:
    """What can be said of a withdrawal."""

    order: Withdrawal
    key_removed: bool
    documents_removed: bool
    films: int
    """Sealed films that still lie on the card; nothing opens them."""
    service: Tombstone | None
    """The service's signed answer, once it is here."""


def blueprint(parts: Parts) -> Blueprint:
    pages = Blueprint("withdraw", __name__, url_prefix="/cases/<id:case>")

    @pages.get("/withdraw")
    def show(case: str) -> ResponseReturnValue:
        if withdrawal_note(parts.home.case(case)) is not None:
            return redirect(url_for("withdraw.certificate", case=case), 303)
        return _page(case, ""), 200

    @pages.post("/withdraw")
    def carry_out(case: str) -> ResponseReturnValue:
        if request.form.get("confirm") != "y":
            sentence = _("Tick the box if the family wants everything to be closed for good.")
            return _page(case, sentence), 400
        holder = practitioner()
        opened = open_case(case)
        status = read_status(parts.home)
        if status is None:
            raise NotPossible(
                _("The recorder has not said yet which kit this is."),
                _("Wait a few seconds, then withdraw again."),
            )
        # The camera first, then the key: filming ends whatever happens after.
        if armed_case(parts) == case:
            take_permit(parts)
        stop_if_filming(parts, case)
        order = parts.cases.withdraw(
            case, holder.keys, status.kit, holder.now(parts.clock), out_of_reach(opened)
        )
        holder.forget(case)
        parts.note("withdrawn", case=case, order=order.id)
        return redirect(url_for("withdraw.certificate", case=case), 303)

    @pages.get("/certificate")
    def certificate(case: str) -> ResponseReturnValue:
        found = withdrawal_note(parts.home.case(case))
        if found is None:
            abort(404)
        try:
            open_note(found[1], practitioner().verifiers)
        except BadSignature:
            abort(404)
        return render_template("certificate.html", case=case, told=_certificate(parts, found[0]))

    return pages


def _page(case: str, error: str) -> str:
    opened = open_case(case)
    return render_template(
        "withdraw.html",
        case=opened,
        details=opened.read(Details),
        films=practitioner().viewing.films_of(case),
        error=error,
    )


def _certificate(parts: Parts, order: Withdrawal) -> Certificate:
    directory = parts.home.case(order.case)
    return Certificate(
        order=order,
        key_removed=not any(directory.glob("identity-*.age")),
        documents_removed=not any((directory / part).exists() for part in ("documents", "clips")),
        films=len(practitioner().viewing.films_of(order.case)),
        service=_answer(parts, order),
    )


def _answer(parts: Parts, order: Withdrawal) -> Tombstone | None:
    """The service's answer to this order, if it is here and the service signed it."""
    try:
        note = (parts.home.inbox / order.id).read_text()
        text, _signer = open_note(note, [practitioner().service.verifying_key()])
        answer = from_json(text, Tombstone)
    except (FileNotFoundError, UnicodeDecodeError, BadInput):
        return None
    # The service answers once for a case, to the first order: another kit may have sent that one.
    return answer if answer.case == order.case else None
