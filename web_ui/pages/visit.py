"""The visit: framing, and what can be done during a film."""

from functools import partial
from pathlib import Path

from flask import Blueprint, abort, redirect, request, url_for
from flask.typing import ResponseReturnValue

from appliance.casework.clips import mark_while_filming
from appliance.casework.consent import Enough
from appliance.errors import BadFile
from appliance.protocol.requests import Framing, Preview
from appliance.protocol.status import RecorderStatus, State
from appliance.records.files import read_plain
from appliance.records.signing import sign_fact
from web_ui.answers import jpeg
from web_ui.parts import parts
from web_ui.session.access import data
from web_ui.session.current import ask_for_word, case_page, open_case, practitioner
from web_ui.wording.status_line import camera_in_words, heard, light_in_words

pages = Blueprint("visit", __name__, url_prefix="/cases/<id:case>/visit")


def _status_of(case: str, *states: str) -> RecorderStatus | None:
    """The recorder's status if it is in such a state for this case, and for no other."""
    status = parts().recorder.status()
    fits = status is not None and status.state in states and status.case == case
    return status if fits else None


@pages.get("/frame")
def frame(case: str) -> ResponseReturnValue:
    """Framing: what the camera sees, before anything is recorded."""
    opened = open_case(case)
    if first := ask_for_word(case):
        return first
    status = _status_of(case, State.PREVIEW, State.FILMING)
    return case_page(
        "frame.html",
        opened,
        ready=parts().recorder.ready_case(parts().recorder.status()) == case,
        framing=status is not None and status.state is State.PREVIEW,
        filming=status is not None and status.state is State.FILMING,
        heard=heard(status),
        light=light_in_words(status),
        set_to=camera_in_words(status),
        looks=status.looks if status is not None else 0,
    )


@pages.post("/frame")
def look(case: str) -> ResponseReturnValue:
    """Ask the recorder to open the camera for framing, or to close it."""
    opened = open_case(case)
    if first := ask_for_word(case):
        return first
    closely = request.form.get("camera") == "closely"
    wanted = closely or request.form.get("camera") == "on"
    status = parts().recorder.status()
    if parts().recorder.ready_case(status) == case or not wanted:
        now, note = parts().clock.read(), ""
        if wanted and status is not None:
            said = Framing(kit=status.kit, boot=now.boot, boottime=now.boottime)
            note = sign_fact(opened.keys.signer, said)
        parts().recorder.ask(partial(Preview, open=wanted, note=note, closely=closely))
        if not closely:
            parts().note("framing-asked" if wanted else "framing-ended", case=case)
    return redirect(url_for("visit.frame", case=case), 303)


@pages.get("/picture.jpg")
@data
def picture(case: str) -> ResponseReturnValue:
    """What the camera sees now; 404 if it is not open for this case."""
    return _seen(case, parts().home.preview)


@pages.get("/close-look.jpg")
@data
def close_look(case: str) -> ResponseReturnValue:
    """What it saw when somebody asked for all the points; 404 likewise, and before."""
    return _seen(case, parts().home.close_look)


def _seen(case: str, path: Path) -> ResponseReturnValue:
    open_case(case)
    if case not in practitioner().word_said or _status_of(case, State.PREVIEW) is None:
        abort(404)
    try:
        seen = read_plain(path)
    except (FileNotFoundError, BadFile):
        abort(404)
    # Looked at again: what was read may be of whoever is framed next.
    if _status_of(case, State.PREVIEW) is None:
        abort(404)
    return jpeg(seen)


@pages.post("/mark")
def mark(case: str) -> ResponseReturnValue:
    """Mark this place in the film ('that was it'), to be looked at later."""
    opened = open_case(case)
    status = _status_of(case, State.FILMING)
    if status is not None and status.recording:
        since = parts().clock.read().boottime - status.boottime
        at = max(0.0, status.limit - status.remaining + since)
        mark_while_filming(opened, status.recording, at)
        parts().note("marked", case=case, recording=status.recording)
    return redirect(url_for("cases.one", case=case), 303)


@pages.post("/enough")
def enough(case: str) -> ResponseReturnValue:
    """The child had enough: filming ends, and a press films nothing more."""
    opened = open_case(case)
    status = _status_of(case, State.FILMING)
    parts().recorder.disarm()
    parts().recorder.stop(case)
    if status is not None and status.recording:
        said = Enough(recording=status.recording, event_time=practitioner().now(parts().clock))
        opened.write(said, status.recording)
    parts().note("enough", case=case, recording=status.recording if status else "")
    return redirect(url_for("cases.one", case=case), 303)
