"""Correct the time when the kit believed a wrong one and now refuses the right one.

A practitioner said what time it is when they unlocked; somebody presses the button as well, so that
no page alone can turn the time back and make an expired consent valid again.
"""

from functools import partial

from flask import Blueprint, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from appliance.protocol.requests import CorrectTime
from appliance.records.clock import Correction, Judgement, Trust, disagrees
from appliance.records.signing import sign_fact
from web_ui.parts import parts
from web_ui.session.current import practitioner

pages = Blueprint("correcting", __name__, url_prefix="/kit/time")


@pages.get("")
def show() -> ResponseReturnValue:
    status = parts().recorder.status()
    believed = parts().recorder.now(status)
    ours = practitioner().now(parts().clock)
    return render_template(
        "correcting.html",
        answer=parts().recorder.answer(request.args.get("asked", "")),
        silent=status is None,
        ours=ours,
        believed=believed,
        agree=believed is not None and not disagrees(Judgement(Trust.TRUSTED, believed), ours),
    )


@pages.post("")
def ask() -> ResponseReturnValue:
    holder, status = practitioner(), parts().recorder.status()
    if status is None:
        return redirect(url_for("correcting.show"), 303)
    # A permit made under another time is no longer valid.
    if parts().recorder.armed_case():
        parts().recorder.disarm()
    now = parts().clock.read()
    said = Correction(
        kit=status.kit, time=holder.now(parts().clock), boot=now.boot, boottime=now.boottime
    )
    note = sign_fact(holder.keys.signer, said)
    asked = parts().recorder.ask(partial(CorrectTime, note=note))
    parts().note("time-correction-asked")
    return redirect(url_for("correcting.show", asked=asked), 303)
