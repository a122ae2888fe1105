"""Factory reset: what it means, the service's order for it, and the press that it waits for.

Anybody who has the kit may ask, as its practitioners may be gone: the service must have ordered it,
and somebody presses the button. The kit says afterwards how it went.
"""

import threading
from functools import partial

from flask import Blueprint, abort, current_app, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_wtf.file import FileField
from wtforms import BooleanField

from appliance.factory_reset import ResetRefusal, former, judge, ordered, unsent
from appliance.protocol.cards import KitCard
from appliance.protocol.orders import LARGEST
from appliance.protocol.requests import FactoryReset
from appliance.records.clock import Trust
from appliance.records.files import load_fact, read_plain
from web_ui.answers import download
from web_ui.forms import Form
from web_ui.parts import parts
from web_ui.session.access import anyone
from web_ui.wording.language import _

COUNT_SECONDS = 10.0
"""How long a count of files is shown before they are counted again."""
_UNSENT = "attune-unsent"


class _Unsent:
    """Counts the files that the service does not have yet. That takes long, and anybody on the
    network may open the page: so one request counts at a time, and the others use its answer."""

    def __init__(self) -> None:
        self._turn = threading.Lock()
        self._counted: tuple[float, int] | None = None

    def count(self) -> int:
        with self._turn:
            now = parts().clock.monotonic()
            if self._counted is None or now - self._counted[0] > COUNT_SECONDS:
                self._counted = now, sum(1 for _one in unsent(parts().home))
            return self._counted[1]


class ResetForm(Form):
    order = FileField()
    confirm = BooleanField()


pages = Blueprint("resetting", __name__, url_prefix="/kit/reset")
pages.record(lambda setup: setup.app.extensions.update({_UNSENT: _Unsent()}))


def _page(problem: str) -> str:
    status = parts().recorder.status()
    return render_template(
        "resetting.html",
        kit=status.kit if status else "",
        answer=parts().recorder.answer(request.args.get("asked", "")),
        problem=problem,
        enrolled=parts().enrolled is not None,
        ordered=bool(ordered(parts().home)),
        unsent=current_app.extensions[_UNSENT].count(),
        former=former(parts().home),
    )


@pages.get("")
@anyone
def show() -> ResponseReturnValue:
    return _page("")


@pages.post("")
@anyone
def ask() -> ResponseReturnValue:
    form = ResetForm()
    form.validate_on_submit()
    brought = form.order.data.read(LARGEST + 1) if form.order.data else b""
    note = brought.decode(errors="replace") if brought else ordered(parts().home)
    kit, enrolled = load_fact(parts().home.kit_card, KitCard), parts().enrolled
    status = parts().recorder.status()
    if kit is None or status is None:
        return _page(_("The page cannot talk to the camera. Turn the kit off and on.")), 409
    now = status.now if status.clock is Trust.TRUSTED else None
    order = judge(note, kit.id, enrolled.chain if enrolled else None, parts().home, now)
    if isinstance(order, ResetRefusal):
        return _page(_(order.sentence)), 409
    if not form.confirm.data:
        return _page(_("Tick the box to confirm that everything on this kit can be deleted")), 400
    asked = parts().recorder.ask(partial(FactoryReset, note=note))
    parts().note("reset-asked", order=f"{order.number:06}")
    return redirect(url_for("resetting.show", asked=asked), 303)


@pages.get("/certificate")
@anyone
def certificate() -> ResponseReturnValue:
    """The last note that the kit signed; the service can check it."""
    if former(parts().home) is None:
        abort(404)
    return download(read_plain(parts().home.former), "set-back.txt", "text/plain")
