"""Setting the kit back, for other hands: what it means, the order, and the press that it waits for.

Whoever has the kit may ask, for its practitioners may be gone: the order is the service's, and
somebody presses the button. What came of it can be read on the new kit.
"""

from flask import Blueprint, Response, abort, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_wtf.file import FileField
from wtforms import BooleanField

from appliance.files import ID, load_fact, new_id, read_plain
from appliance.orders import LARGEST
from appliance.receipts import KitCard
from appliance.requests import FactoryReset, place_request
from appliance.resetting import Refusal, former, judge, ordered, unsent
from web_ui.access import anyone
from web_ui.forms import Form
from web_ui.language import _
from web_ui.parts import Parts
from web_ui.status import fresh_status


class ResetForm(Form):
    order = FileField()
    confirm = BooleanField()


def blueprint(parts: Parts) -> Blueprint:
    pages = Blueprint("resetting", __name__, url_prefix="/kit/reset")

    @pages.get("")
    @anyone
    def show() -> ResponseReturnValue:
        return _page(parts, "")

    @pages.post("")
    @anyone
    def ask() -> ResponseReturnValue:
        form = ResetForm()
        form.validate_on_submit()
        brought = form.order.data.read(LARGEST + 1) if form.order.data else b""
        note = brought.decode(errors="replace") if brought else ordered(parts.home)
        kit, enrolled = load_fact(parts.home.kit / "kit.json", KitCard), parts.enrolled
        if kit is None or fresh_status(parts.home, parts.clock) is None:
            return _page(parts, _("The recorder does not answer. Look at the kit itself.")), 409
        order = judge(note, kit.id, enrolled.service if enrolled else None, parts.home)
        if isinstance(order, Refusal):
            return _page(parts, _(order.sentence)), 409
        if not form.confirm.data:
            return _page(parts, _("Tick the box if everything on this kit is to be removed.")), 400
        now = parts.clock.read()
        asked = place_request(
            parts.home,
            FactoryReset(id=new_id(), boot=now.boot, boottime=now.boottime, note=note),
        )
        parts.note("reset-asked", order=f"{order.number:06}")
        return redirect(url_for("resetting.show", asked=asked), 303)

    @pages.get("/certificate")
    @anyone
    def certificate() -> ResponseReturnValue:
        """The note that the kit signed last, for who has its public key: the service."""
        if former(parts.home) is None:
            abort(404)
        answer = Response(read_plain(parts.home.kit / "former"), mimetype="text/plain")
        answer.headers["Content-Disposition"] = "attachment; filename=set-back.txt"
        return answer

    return pages


def _page(parts: Parts, problem: str) -> str:
    status = fresh_status(parts.home, parts.clock)
    asked = request.args.get("asked", "")
    known = status is not None and ID.fullmatch(asked) is not None
    return render_template(
        "resetting.html",
        kit=status.kit if status else "",
        answer=status.answers.get(asked, "waiting") if status and known else "",
        problem=problem,
        enrolled=parts.enrolled is not None,
        ordered=bool(ordered(parts.home)),
        unsent=sum(1 for _one in unsent(parts.home)),
        former=former(parts.home),
    )
