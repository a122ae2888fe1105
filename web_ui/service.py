"""How the service works: the settings in force, in words, and giving the kit others."""

from flask import Blueprint, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from appliance.errors import BadFile, BadInput
from appliance.services import Service, parse, put_in_force, shipped
from web_ui.language import _
from web_ui.parts import Parts

FILE = "file"


def blueprint(parts: Parts) -> Blueprint:
    pages = Blueprint("service", __name__, url_prefix="/service")

    def page(refused: BadInput | None = None) -> str:
        try:
            service, damaged = parts.service, None
        except BadFile as error:
            # The page on which it is mended must not be the one that fails.
            service, damaged = Service(), error
        return render_template(
            "service.html",
            service=service,
            offers=offers_in_words(),
            choices={name: parse(data).title for name, data in shipped().items()},
            refused=refused or damaged,
        )

    @pages.get("")
    def show() -> ResponseReturnValue:
        return page()

    @pages.post("")
    def give() -> ResponseReturnValue:
        wanted = request.form.get("which", "")
        upload = request.files.get(FILE)
        try:
            if wanted == FILE and upload:
                put_in_force(parts.home, upload.stream.read())
            elif wanted in shipped():
                put_in_force(parts.home, shipped()[wanted])
            else:
                raise BadInput(_("Choose one of these services, or a file of your own."))
        except BadInput as error:
            return page(error), 400
        parts.note("service-settings")
        return redirect(url_for("service.show"), 303)

    return pages


def offers_in_words() -> dict[str, str]:
    """What a service may do beyond filming and looking at it together."""
    return {
        "import": _("Films made elsewhere can be brought in"),
        "copies": _("Families get copies of clips and pictures"),
        "online-review": _("Reviews over a video call"),
    }
