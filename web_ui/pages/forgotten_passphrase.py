"""A forgotten passphrase: the kit makes a new card, and the service lets it in again.

Whoever forgot cannot unlock, so these pages are open to a browser that has unlocked this kit
before, and ask for a press of the button. The new card opens no case until the service has sealed
the keys to it (`appliance.casework.readmission`); the kit takes them in when the card's owner
unlocks.
"""

from flask import Blueprint, g, redirect, render_template, url_for
from flask.typing import ResponseReturnValue

from appliance.protocol.cards import KitCard
from appliance.records.files import load_fact
from appliance.vault.passphrases import make_passphrase
from web_ui.answers import press_page
from web_ui.parts import parts
from web_ui.session.access import anyone, paired
from web_ui.session.current import enrolled_here
from web_ui.session.enrolment import practitioner_keys, waiting_cards
from web_ui.session.unlocked import Practitioner
from web_ui.wording.language import _

pages = Blueprint("forgotten", __name__, url_prefix="/forgotten")


@pages.get("")
@anyone
def show() -> ResponseReturnValue:
    enrolled = parts().enrolled
    if enrolled is None:
        return redirect(url_for("setup.show"), 303)
    kit = load_fact(parts().home.kit_card, KitCard)
    return render_template(
        "forgotten.html",
        known=g.paired,
        cards=waiting_cards(parts().home, enrolled) if g.paired else [],
        kit=kit.id if kit else "",
        not_let_in=not_let_in(g.practitioner) if g.practitioner else [],
    )


@pages.post("")
@paired
def make() -> ResponseReturnValue:
    """Make new keys. Their words are shown once, in this answer."""
    service = enrolled_here().service
    words = make_passphrase()
    with parts().enrolment.turn:
        keys, sealed = practitioner_keys(service, words)
        parts().enrolment.bring(service, keys, sealed, forgotten=True)
    parts().note("new-card-made", practitioner=keys.card().name)
    return render_template(
        "words.html", words=words, ask=url_for("forgotten.press"), still_closed=True
    )


@pages.route("/press", methods=["GET", "POST"])
@paired
def press() -> ResponseReturnValue:
    return press_page(back="forgotten.show")


def not_let_in(holder: Practitioner) -> list[str]:
    """What was refused since they unlocked, in words."""
    return sorted({_(refusal.sentence) for refusal in holder.not_let_in.values()})
