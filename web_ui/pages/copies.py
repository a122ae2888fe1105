"""Copies for the family, on a stick or as downloads, and the leaflet that goes with them."""

import re
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from copy import copy
from datetime import datetime
from types import MappingProxyType

from flask import Blueprint, abort, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from appliance.casework.clips import Kept, shelf
from appliance.casework.copies import Copies, CopyRefusal, State, judge, opened, receipts
from appliance.errors import NotOpened
from appliance.records.audit import Event
from appliance.records.files import new_id, save
from appliance.vault.cases import OpenCase
from appliance.vault.passphrases import make_passphrase
from web_ui import answers
from web_ui.forms import too_long
from web_ui.parts import parts
from web_ui.session.copying import Handing, handed
from web_ui.session.current import case_page, moments_sent, open_case, practitioner
from web_ui.session.unlocked import Practitioner
from web_ui.system.usb_sticks import Stick
from web_ui.wording.language import _

TO_LENGTH = 120
DOWNLOAD = "download"
_EVENTS: Mapping[State, Event] = MappingProxyType(
    {
        "begun": "copies-begun",
        "done": "copies-done",
        "partly": "copies-partly",
        "nothing": "copies-nothing",
    }
)
_STICK = re.compile(r"stick:(?P<device>[a-z0-9]{1,32})")


class NotAgreed(NotOpened):
    """A moment that may not be copied."""

    def __init__(self, refusal: CopyRefusal) -> None:
        super().__init__(_(refusal.sentence))
        self.code = refusal.value  # type: ignore[misc]


pages = Blueprint("copies", __name__, url_prefix="/cases/<id:case>/copies")


@pages.before_request
def only_where_the_service_does_this() -> None:
    answers.only_where_offered("copies", _("Your service does not give families copies."))


def _judged(
    holder: Practitioner, opened_case: OpenCase, moments: Sequence[Kept], now: datetime
) -> dict[str, CopyRefusal]:
    """The moments that may not be copied, and why. Each film is judged only once, as that reads and
    opens documents."""
    films = holder.viewing.to_hand_on(opened_case)
    of_film = {
        name: judge(opened_case, films.get(name), now)
        for name in {kept.recording for kept in moments}
    }
    found = ((kept.id, of_film[kept.recording]) for kept in moments)
    return {name: refusal for name, refusal in found if refusal is not None}


def _check(
    holder: Practitioner, opened_case: OpenCase, moments: Sequence[Kept], now: datetime
) -> None:
    for refusal in _judged(holder, opened_case, moments, now).values():
        raise NotAgreed(refusal)


def _page(case: str, errors: dict[str, str]) -> str:
    holder, opened_case = practitioner(), open_case(case)
    moments = shelf(opened_case).every
    # A kit lets in nothing that is plugged in but a stick that is asked for: here it is.
    save(parts().home.stick_asked, b"")
    return case_page(
        "copies.html",
        opened_case,
        moments=moments,
        refusals=_judged(holder, opened_case, moments, holder.now(parts().clock)),
        sticks={f"stick:{one.device}": in_words(one) for one in parts().sticks.plugged_in()},
        receipts=receipts(opened_case),
        sent=request.form,
        errors=errors,
    )


@pages.get("")
def show(case: str) -> ResponseReturnValue:
    return _page(case, {})


@pages.post("")
def hand_out(case: str) -> ResponseReturnValue:
    # A thread of its own writes the stick; it has no `parts()`.
    holder, opened_case, ours = practitioner(), open_case(case), parts()
    kept, errors = moments_sent(opened_case), _errors()
    if not kept:
        errors["moments"] = _("Tick the clips and stills for the family to keep")
    if errors:
        return _page(case, errors), 400
    stick = _STICK.fullmatch(request.form["way"])

    def again() -> OpenCase:
        ours.session.watched()
        return holder.case(case)

    now = holder.now(ours.clock)
    _check(holder, opened_case, kept, now)
    receipt = Copies(
        id=new_id(),
        made=now,
        to=request.form["to"].strip(),
        way="stick" if stick else "download",
        locked=request.form["lock"] == "locked",
        moments=tuple(one.id for one in kept),
        state="begun" if stick else "done",
    )
    words = make_passphrase() if receipt.locked else ""
    handing = Handing(receipt, case, kept, words, stick["device"] if stick else "")

    def note(state: State) -> None:
        ours.note(_EVENTS[state], case=case, copies=receipt.id)

    holder.copying.add(handing)
    # The receipt first, so that the kit knows what may have left it, whatever happens next.
    try:
        opened_case.write(receipt, receipt.id)
    except BaseException:
        handing.state = "failed"  # Or nobody could write a stick until the page is locked.
        raise
    note(receipt.state)
    if stick:
        holder.copying.write(
            handing,
            ours.sticks,
            again,
            lambda one: _check(holder, again(), [one], holder.now(ours.clock)),
            _letter(),
            note,
        )
    return redirect(url_for("copies.one", case=case, copies=receipt.id), 303)


@pages.get("/<id:copies>")
def one(case: str, copies: str) -> ResponseReturnValue:
    opened_case = open_case(case)
    # A copy: the thread that writes goes on while the page is drawn.
    handing = copy(practitioner().copying.find(copies, case))
    receipt = handing.receipt if handing else opened_case.read(Copies, copies)
    if receipt is None:
        abort(404)
    return case_page("copies-one.html", opened_case, receipt=receipt, handing=handing)


@pages.post("/<id:copies>/cancel")
def cancel(case: str, copies: str) -> ResponseReturnValue:
    _handing(case, copies).cancelled.set()
    return redirect(url_for("copies.one", case=case, copies=copies), 303)


@pages.post("/<id:copies>/eject")
def eject(case: str, copies: str) -> ResponseReturnValue:
    handing = _handing(case, copies)
    parts().sticks.eject(handing.device)
    handing.not_let_go = None
    return redirect(url_for("copies.one", case=case, copies=copies), 303)


@pages.get("/<id:copies>/<name>")
def download(case: str, copies: str, name: str) -> ResponseReturnValue:
    holder, opened_case = practitioner(), open_case(case)
    handing = _handing(case, copies)
    kept = handing.files.get(name)
    if handing.receipt.way != "download" or kept is None:
        abort(404)
    _check(holder, opened_case, [kept], holder.now(parts().clock))
    with ExitStack() as files:
        reader = files.enter_context(opened(opened_case, kept))
        size, pieces = handed(reader, handing, lambda: holder.case(case))
        parts().note("copies-downloaded", case=case, copies=copies, moment=kept.id)
        answer = answers.download(pieces, name)
        answer.call_on_close(files.pop_all().close)
    answer.headers["Content-Length"] = str(size)
    return answer


@pages.get("/<id:copies>/leaflet")
def leaflet(case: str, copies: str) -> ResponseReturnValue:
    opened_case = open_case(case)
    receipt = opened_case.read(Copies, copies)
    if receipt is None:
        abort(404)
    return render_template("leaflet.html", case=opened_case, receipt=receipt)


def _errors() -> dict[str, str]:
    """The errors of the form that was sent, apart from the moments."""
    to, way = request.form.get("to", "").strip(), request.form.get("way", "")
    errors = {}
    if not to:
        errors["to"] = _("Enter who the copies are for, in the family's words")
    elif problem := too_long(to, TO_LENGTH):
        errors["to"] = problem
    if request.form.get("lock") not in ("plain", "locked"):
        errors["lock"] = _("Select if the copies are locked")
    if way != DOWNLOAD and not _STICK.fullmatch(way):
        errors["way"] = _("Select how the family will get them")
    return errors


def in_words(stick: Stick) -> str:
    """A stick as its owner knows it: by maker and size."""
    size = _("%(size)s GB", size=max(1, round(stick.size / 1e9)))
    return f"{stick.maker}, {size}" if stick.maker else _("USB stick, %(size)s", size=size)


def _handing(case: str, copies: str) -> Handing:
    open_case(case)
    found = practitioner().copying.find(copies, case)
    if found is None:
        abort(404, _("The page has locked since then. Make the copies again if any are missing."))
    return found


def _letter() -> str:
    """The instructions beside locked copies, for anybody who can use a mouse."""
    return "\n\n".join(
        (
            _("These files are locked. They open with the words you wrote down."),
            _("1. Put the stick into a computer. Open viewer.html: press it twice."),
            _("2. Press Choose Files. Choose all files whose names end in .age."),
            _("3. Type your words with a space between them, and press Open. The film plays."),
            _("The viewer needs no internet. It sends nothing and saves nothing."),
            _(
                "No one else has the words. If you lose them, no one can open these "
                "files. Ask for new copies."
            ),
            "",
        )
    )
