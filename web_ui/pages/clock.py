"""Putting the time right: the kit was once sure of a wrong one, and believes no other since.

Somebody who is unlocked says what time it is - they did when they unlocked - and somebody presses
the button: a page alone cannot turn the time back, and so make an old agreement hold again.
"""

from flask import Blueprint, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from appliance.protocol.requests import CorrectTime, place_request
from appliance.records.clock import Correction, Judgement, Trust, disagrees
from appliance.records.files import ID, new_id
from appliance.records.signing import sign_fact
from web_ui.parts import parts
from web_ui.recorder import armed_case, fresh_status, take_permit, trusted_now
from web_ui.session.access import practitioner

pages = Blueprint("correcting", __name__, url_prefix="/kit/time")


@pages.get("")
def show() -> ResponseReturnValue:
    status = fresh_status(parts())
    believed = trusted_now(status, parts().clock)
    ours = practitioner().now(parts().clock)
    asked = request.args.get("asked", "")
    known = status is not None and ID.fullmatch(asked) is not None
    return render_template(
        "correcting.html",
        answer=status.answers.get(asked, "waiting") if status and known else "",
        silent=status is None,
        ours=ours,
        believed=believed,
        agree=believed is not None and not disagrees(Judgement(Trust.TRUSTED, believed), ours),
    )


@pages.post("")
def ask() -> ResponseReturnValue:
    holder, status = practitioner(), fresh_status(parts())
    if status is None:
        return redirect(url_for("correcting.show"), 303)
    # What was agreed to under another time is armed anew.
    if armed_case(parts()):
        take_permit(parts())
    now = parts().clock.read()
    said = Correction(
        kit=status.kit, time=holder.now(parts().clock), boot=now.boot, boottime=now.boottime
    )
    note = sign_fact(holder.keys.signer, said)
    asked = place_request(
        parts().home, CorrectTime(id=new_id(), boot=now.boot, boottime=now.boottime, note=note)
    )
    parts().note("time-correction-asked")
    return redirect(url_for("correcting.show", asked=asked), 303)
