"""Answers that several pages give."""

from collections.abc import Iterable

from flask import Response, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from appliance.errors import NotOpened
from web_ui.parts import parts
from web_ui.wording.language import _


def press_page(back: str, other_keys: bool = False) -> ResponseReturnValue:
    """Wait for the press that `parts.enrolment` asked for, then go to the endpoint `back`. A POST
    to the same address asks for the press, again too. `other_keys` words the way back for a set-up.
    """
    if request.method == "POST":
        parts().enrolment.ask()
        return redirect(request.path, 303)
    progress = parts().enrolment.progress(parts().recorder.status())
    if progress in ("nothing", "done"):
        return redirect(url_for(back), 303)
    return render_template(
        "press.html",
        progress=progress,
        again=request.path,
        back=url_for(back),
        other_keys=other_keys,
    )


def download(
    data: bytes | Iterable[bytes], name: str, kind: str = "application/octet-stream"
) -> Response:
    """A file to keep, of a media type."""
    answer = Response(data, mimetype=kind)
    answer.headers.set("Content-Disposition", "attachment", filename=name)
    return answer


def jpeg(picture: bytes) -> Response:
    """A picture, whole."""
    return Response(picture, mimetype="image/jpeg")


def only_where_offered(offer: str, otherwise: str) -> None:
    """Answer with the refusal `otherwise` where the service does not do this."""
    if offer not in parts().service.offers:
        raise NotOpened(otherwise, _("If it should, ask the person who set this kit up."))
