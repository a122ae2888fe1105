"""How the service works: the settings in force in words, and changing them."""

from flask import Blueprint, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from appliance.casework.service_settings import Service, parse, put_in_force, shipped
from appliance.errors import BadFile, BadInput
from appliance.protocol.cards import CardChain
from appliance.protocol.permits import read_ceilings
from web_ui.answers import press_page
from web_ui.parts import parts
from web_ui.session.current import practitioner
from web_ui.session.enrolment import read_service_card
from web_ui.wording.language import _

FILE, CARD = "file", "card"


pages = Blueprint("service", __name__, url_prefix="/service")


def _page(refused: BadInput | None = None) -> str:
    try:
        service, damaged = parts().service, None
    except BadFile as error:
        # The page that can repair it must not fail.
        service, damaged = Service(), error
    return render_template(
        "service.html",
        service=service,
        offers=offers_in_words(),
        choices={name: parse(data).title for name, data in shipped().items()},
        most=parts().recorder.ceilings(),
        refused=refused or damaged,
    )


@pages.get("")
def show() -> ResponseReturnValue:
    return _page()


@pages.post("/ceilings")
def bring() -> ResponseReturnValue:
    """Take in new limits that the service has signed for its kits. The recorder checks them itself,
    and only after a press."""
    upload = request.files.get(CARD)
    try:
        brought = read_service_card(upload.stream.read() if upload else b"")
        enrolled = parts().enrolled
        if enrolled is None or brought.card != enrolled.service:
            raise BadInput(_("That is the ID file of a different service."))
        if not brought.ceilings:
            raise BadInput(
                _("That ID file does not set any limits for kits."),
                _("Ask your service for the file with the limits."),
            )
        newer = len(brought.cards) > len(enrolled.cards)
        chain = CardChain(brought.card, brought.cards if newer else enrolled.cards)
        if read_ceilings(brought.ceilings, chain).since <= parts().recorder.ceilings().since:
            raise BadInput(_("This kit already has that file, or a newer one."))
    except BadInput as error:
        return _page(error), 400
    parts().enrolment.bring_ceilings(brought, practitioner().card)
    parts().enrolment.ask()
    parts().note("ceilings-brought")
    return redirect(url_for("service.press"), 303)


@pages.route("/press", methods=["GET", "POST"])
def press() -> ResponseReturnValue:
    return press_page(back="service.show")


@pages.post("")
def give() -> ResponseReturnValue:
    wanted = request.form.get("which", "")
    upload = request.files.get(FILE)
    try:
        if wanted == FILE and upload:
            put_in_force(parts().home, upload.stream.read())
        elif wanted in shipped():
            put_in_force(parts().home, shipped()[wanted])
        else:
            raise BadInput(_("Select one of these services, or add your own file"))
    except BadInput as error:
        return _page(error), 400
    parts().note("service-settings")
    return redirect(url_for("service.show"), 303)


def offers_in_words() -> dict[str, str]:
    """What a service may do beyond filming and looking at it together."""
    return {
        "import": _("Films made elsewhere can be added"),
        "copies": _("Families can have copies of clips and stills"),
        "online-review": _("Reviews on a video call"),
    }
