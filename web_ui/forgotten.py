"""A forgotten passphrase: a new card is made on the kit, and the service lets it in again.

Who forgot cannot unlock, so these pages are open to a browser that has unlocked this kit before;
with it goes a press of the button. The new card sees no family until the service has sealed their
keys to it (`appliance.casework.readmission`): what it sent is taken in when its owner is unlocked.
"""

from dataclasses import dataclass

from flask import Blueprint, abort, g, redirect, render_template, url_for
from flask.typing import ResponseReturnValue

from appliance.casework.readmission import readmit
from appliance.errors import KitError
from appliance.protocol.cards import KitCard
from appliance.protocol.enrolment import Enrolled
from appliance.protocol.readmission import has_come
from appliance.records.files import load_fact
from appliance.vault.keys import PrivateKeys, lock
from appliance.vault.passphrases import make_passphrase
from web_ui.access import anyone, paired
from web_ui.enrolment import forget_new_card, is_new_card
from web_ui.language import _
from web_ui.parts import Parts
from web_ui.presence import press_page
from web_ui.seat import Practitioner
from web_ui.withdrawal import carry_out_service


@dataclass(frozen=True)
class NewCard:
    """A card that waits for the service."""

    name: str
    come: bool
    """Something of the service is here: its owner has only to unlock."""


def blueprint(parts: Parts) -> Blueprint:
    pages = Blueprint("forgotten", __name__, url_prefix="/forgotten")

    @pages.get("")
    @anyone
    def show() -> ResponseReturnValue:
        enrolled = parts.enrolled
        if enrolled is None:
            return redirect(url_for("setup.show"), 303)
        kit = load_fact(parts.home.kit / "kit.json", KitCard)
        return render_template(
            "forgotten.html",
            known=g.paired,
            cards=new_cards(parts, enrolled) if g.paired else [],
            kit=kit.id if kit else "",
            not_let_in=not_let_in(g.practitioner) if g.practitioner else [],
        )

    @pages.post("")
    @paired
    def make() -> ResponseReturnValue:
        """Make new keys. Their words are shown once, in this answer."""
        service = _enrolled(parts).service
        words = make_passphrase()
        with parts.enrolment.turn:
            keys = PrivateKeys.generate("practitioner", service.sealing_key().kind == "x25519")
            parts.enrolment.bring(service, keys, lock(keys, words), forgotten=True)
        parts.note("new-card-made", practitioner=keys.card().name)
        return render_template(
            "words.html", words=words, ask=url_for("forgotten.ask"), still_closed=True
        )

    @pages.post("/press")
    @paired
    def ask() -> ResponseReturnValue:
        parts.enrolment.ask()
        return redirect(url_for("forgotten.wait"), 303)

    @pages.get("/press")
    @paired
    def wait() -> ResponseReturnValue:
        return press_page(parts, ask="forgotten.ask", back="forgotten.show")

    return pages


def new_cards(parts: Parts, enrolled: Enrolled) -> list[NewCard]:
    """The cards of this kit that were made because somebody forgot, and are not let in yet."""
    return [
        NewCard(card.name, has_come(parts.home, card.name))
        for card in enrolled.practitioners
        if is_new_card(parts.home, card.name)
    ]


def not_let_in(holder: Practitioner) -> list[str]:
    """What was refused since they unlocked, in words."""
    return sorted({_(refusal.sentence) for refusal in holder.not_let_in.values()})


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


def _enrolled(parts: Parts) -> Enrolled:
    enrolled = parts.enrolled
    if enrolled is None:
        abort(404)
    return enrolled
