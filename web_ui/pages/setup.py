"""First set-up: somebody brings two keys and presses the button to prove that they are there."""

from flask import Blueprint, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_wtf.file import FileField
from wtforms import PasswordField, StringField, TextAreaField

from appliance.errors import KitError
from appliance.factory_reset import former
from appliance.vault.passphrases import make_passphrase
from web_ui.answers import press_page
from web_ui.errors import status_of
from web_ui.forms import Form
from web_ui.parts import parts
from web_ui.session.access import anyone
from web_ui.session.enrolment import BRING, MAKE, practitioner_keys, read_service_card


class SetupForm(Form):
    service_card_file = FileField()
    service_card = TextAreaField()
    how = StringField(default=BRING)
    practitioner_key_file = FileField()
    practitioner_key = TextAreaField()
    passphrase = PasswordField()


pages = Blueprint("setup", __name__, url_prefix="/setup")


@pages.before_request
def only_once() -> ResponseReturnValue | None:
    return redirect(url_for("home"), 303) if parts().enrolled else None


@pages.get("")
@anyone
def show() -> ResponseReturnValue:
    return render_template("setup.html", form=SetupForm(), former=former(parts().home))


@pages.post("")
@anyone
def bring() -> ResponseReturnValue:
    """Take the keys in. A new practitioner's words are shown once, in this answer."""
    form = SetupForm()
    form.validate_on_submit()
    words = make_passphrase() if form.how.data == MAKE else ""
    try:
        given = _given(form.service_card_file, form.service_card)
        service, ceilings, cards = read_service_card(given)
        # scrypt takes much memory: one passphrase at a time.
        with parts().enrolment.turn:
            brought = _given(form.practitioner_key_file, form.practitioner_key)
            keys, sealed = practitioner_keys(service, words, brought, form.passphrase.data or "")
            parts().enrolment.bring(service, keys, sealed, ceilings, cards=cards)
    except KitError as error:
        page = render_template("setup.html", form=form, refused=error)
        return page, status_of(error)
    parts().note("setup-brought", practitioner=keys.card().name, service=service.name)
    if words:
        return render_template("words.html", words=words, ask=url_for("setup.press"))
    parts().enrolment.ask()
    return redirect(url_for("setup.press"), 303)


@pages.route("/press", methods=["GET", "POST"])
@anyone
def press() -> ResponseReturnValue:
    return press_page(back="setup.show", other_keys=True)


def _given(file: FileField, text: TextAreaField) -> bytes:
    """What was chosen as a file, otherwise what was pasted."""
    upload = request.files.get(file.name)
    if upload and upload.filename:
        return upload.stream.read()
    return (text.data or "").strip().encode()
