"""Who works with a family: colleagues join and leave a case, and come to this kit."""

from collections.abc import Sequence
from functools import partial

from flask import Blueprint, abort, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_wtf.file import FileField
from wtforms import PasswordField, StringField

from appliance.errors import BadInput, KitError, NotPossible
from appliance.protocol.cards import Card
from appliance.protocol.permits import Joined, Renewed
from appliance.protocol.requests import LetIn, Renew
from appliance.records.files import to_json
from appliance.records.signing import sign_fact
from appliance.vault.cases import OpenCase, strangers
from appliance.vault.passphrases import make_passphrase
from web_ui.answers import download, press_page
from web_ui.errors import status_of
from web_ui.forms import Form
from web_ui.housekeeping import renewed
from web_ui.parts import parts
from web_ui.session.access import paired
from web_ui.session.current import case_page, enrolled_here, open_case, practitioner
from web_ui.session.enrolment import BRING, MAKE, is_new_card, practitioner_keys
from web_ui.wording.language import _


class ColleagueForm(Form):
    how = StringField(default=BRING)
    practitioner_key_file = FileField()
    passphrase = PasswordField()


pages = Blueprint("team", __name__)


def _page(case: str, errors: dict[str, str]) -> str:
    opened, own = open_case(case), practitioner().card
    team = opened.team
    return case_page(
        "team.html",
        opened,
        own=own,
        members=team,
        revoked=strangers(team, enrolled_here()),
        others=[card for card in enrolled_here().practitioners if card not in team],
        unknown=parts().recorder.needs_press(opened),
        errors=errors,
    )


@pages.get("/cases/<id:case>/team")
def show(case: str) -> ResponseReturnValue:
    return _page(case, {})


@pages.post("/cases/<id:case>/team/join")
def join(case: str) -> ResponseReturnValue:
    """Let a colleague of this kit open the case."""
    opened, enrolled = open_case(case), enrolled_here()
    card = _named(enrolled.practitioners, request.form.get("who", ""))
    if card is None:
        return _page(case, {"join": _("Select who you are adding")}), 400
    if request.form.get("confirm") != "y":
        return _page(case, {"join": _("Tick the box to confirm that the family knows")}), 400
    if parts().cases.admit(opened, card, enrolled) is not opened:
        practitioner().forget(case)
    _tell_recorder(opened, card)
    parts().note("joined", case=case, practitioner=card.name)
    return redirect(url_for("team.show", case=case), 303)


@pages.post("/cases/<id:case>/team/leave")
def leave(case: str) -> ResponseReturnValue:
    """A colleague leaves: the case gets a new key."""
    holder, opened = practitioner(), open_case(case)
    card = _named(opened.team, request.form.get("who", ""))
    if card is None or card == holder.card:
        return _page(case, {"leave": _("Select who you are removing")}), 400
    if request.form.get("confirm") != "y":
        return _page(
            case, {"leave": _("Tick the box to confirm that they no longer work with this family")}
        ), 400
    # The permit is for the key that they know.
    parts().recorder.disarm(case)
    parts().cases.release(opened, card.name, enrolled_here())
    holder.forget(case)
    parts().note("left", case=case, practitioner=card.name)
    return redirect(url_for("team.show", case=case), 303)


@pages.post("/cases/<id:case>/team/renew")
def renew(case: str) -> ResponseReturnValue:
    """Give the case a new key, if the page could not do it by itself."""
    opened, enrolled = open_case(case), enrolled_here()
    if strangers(opened.team, enrolled):
        renewed(parts(), opened, enrolled)
        practitioner().forget(case)
    return redirect(url_for("team.show", case=case), 303)


@pages.post("/cases/<id:case>/team/press")
def ask(case: str) -> ResponseReturnValue:
    """Ask for the press after which the recorder believes the case's new key."""
    opened, status = open_case(case), parts().recorder.status()
    if status is None:
        raise NotPossible(_("The page cannot talk to the camera. Turn the kit off and on."))
    said = Renewed(kit=status.kit, case=case, recipient=opened.record.recipient)
    note = sign_fact(practitioner().keys.signer, said)
    asked = parts().recorder.ask(partial(Renew, note=note))
    parts().note("new-key-asked", case=case)
    return redirect(url_for("team.wait", case=case, asked=asked), 303)


@pages.get("/cases/<id:case>/team/press/<id:asked>")
def wait(case: str, asked: str) -> ResponseReturnValue:
    opened, status = open_case(case), parts().recorder.status()
    answer = status.answers.get(asked, "") if status else ""
    if not answer and not (parts().home.web_requests / f"{asked}.json").exists():
        abort(404)
    if not parts().recorder.needs_press(opened):
        return redirect(url_for("team.show", case=case), 303)
    return render_template(
        "press.html",
        progress="waiting" if answer in ("", "done") else answer,
        again=url_for("team.ask", case=case),
        back=url_for("team.show", case=case),
    )


@pages.get("/practitioners")
def colleagues() -> ResponseReturnValue:
    """Who is on this kit, and bringing another one."""
    members = enrolled_here().practitioners
    return render_template(
        "practitioners.html",
        form=ColleagueForm(),
        own=practitioner().card,
        members=members,
        waiting={card.name for card in members if is_new_card(parts().home, card.name)},
    )


@pages.post("/practitioners")
def bring() -> ResponseReturnValue:
    """Take in a colleague's key. New words are shown once, in this answer."""
    form, enrolled = ColleagueForm(), enrolled_here()
    form.validate_on_submit()
    words = make_passphrase() if form.how.data == MAKE else ""
    try:
        with parts().enrolment.turn:
            upload = request.files.get(form.practitioner_key_file.name)
            brought = upload.stream.read() if upload else b""
            keys, sealed = practitioner_keys(
                enrolled.service, words, brought, form.passphrase.data or ""
            )
            known = _named(enrolled.practitioners, keys.card().name)
            if known and parts().home.keys.of(known.name).identity.exists():
                raise BadInput(_("This practitioner is already on this kit."))
            parts().enrolment.bring(enrolled.service, keys, sealed)
    except KitError as error:
        page = render_template(
            "practitioners.html",
            form=form,
            own=practitioner().card,
            members=enrolled.practitioners,
            refused=error,
        )
        return page, status_of(error)
    parts().note("colleague-brought", practitioner=keys.card().name)
    if words:
        return render_template("words.html", words=words, ask=url_for("team.press"), further=True)
    parts().enrolment.ask()
    return redirect(url_for("team.press"), 303)


@pages.get("/practitioners/<name>.pub")
@paired
def card(name: str) -> ResponseReturnValue:
    """A practitioner's public card, for the service."""
    found = _named(enrolled_here().practitioners, name)
    if found is None:
        abort(404)
    return download(to_json(found) + b"\n", f"{found.name}.pub")


@pages.route("/practitioners/press", methods=["GET", "POST"])
def press() -> ResponseReturnValue:
    return press_page(back="team.colleagues")


def _tell_recorder(case: OpenCase, card: Card) -> None:
    """From now on the recorder also removes films of this family on the newcomer's order. If it is
    silent and does not learn of them, the service's order is needed."""
    status = parts().recorder.status()
    if status is None:
        return
    said = Joined(kit=status.kit, case=case.id, verifier=str(card.verifying_key()))
    note = sign_fact(case.keys.signer, said)
    parts().recorder.ask(partial(LetIn, note=note))


def _named(cards: Sequence[Card], name: str) -> Card | None:
    return next((card for card in cards if card.name == name), None)
