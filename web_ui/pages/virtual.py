"""The virtual kit: a button on the page, for demonstrations with a scene instead of a camera.

The page has it only while the camera is a scene; a kit's package comes without this file.
"""

import socket
import time

from flask import Blueprint, redirect, request
from flask.typing import ResponseReturnValue

from appliance.errors import BadInput, NotPossible
from web_ui.parts import parts
from web_ui.session.access import anyone, data, local_path
from web_ui.wording.language import _

EDGES = ("down", "up")
SHORT_PRESS = "press"
SHORT_PRESS_SECONDS = 0.3


pages = Blueprint("virtual", __name__, url_prefix="/virtual")


@pages.post("/button")
@anyone
@data
def button() -> ResponseReturnValue:
    """Move the button. Like the real one, it needs no passphrase."""
    edge = request.form.get("edge", "")
    if edge in EDGES:
        _send(edge)
        return "", 204
    if edge != SHORT_PRESS:
        raise BadInput(_("A button goes down or up."))
    _send("down")
    time.sleep(SHORT_PRESS_SECONDS)
    _send("up")
    return redirect(local_path(request.form.get("back", "")), 303)


def _send(edge: str) -> None:
    path = parts().home.virtual_button
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as wire:
        try:
            wire.sendto(edge.encode(), str(path))
        except OSError as error:
            raise NotPossible(
                _("The button on this page does not answer."),
                _("Check that the recorder is running."),
            ) from error
