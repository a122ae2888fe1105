"""Unlock and lock. Whoever unlocks also says what time it is: the kit cannot know."""

import time
from contextlib import suppress
from datetime import UTC, datetime, timedelta, timezone
from functools import partial
from pathlib import Path

from flask import Blueprint, g, make_response, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from wtforms import HiddenField, PasswordField, StringField
from wtforms.widgets import DateTimeLocalInput

from appliance.casework.repair import mend_all
from appliance.errors import BadInput, KitError, NotOpened, NotPossible, WrongPassphrase
from appliance.protocol.requests import SetTime
from appliance.records.clock import EARLIEST, Reading, Vouch
from appliance.records.files import read_plain
from appliance.records.signing import Verifier, sign_fact
from appliance.vault.keys import change_passphrase, unlock
from appliance.vault.passphrases import check_passphrase, make_passphrase
from web_ui.errors import status_of
from web_ui.forms import Form
from web_ui.housekeeping import let_in, without_the_revoked
from web_ui.parts import parts
from web_ui.session.access import anyone, begin_session, end_session, even_new, lost_a_form, pair
from web_ui.session.current import practitioner
from web_ui.session.enrolment import is_new_card, waiting_cards
from web_ui.session.session import TooSoon
from web_ui.session.unlocked import Practitioner
from web_ui.system.tls import fingerprint
from web_ui.wording.language import _, ngettext

_FORMAT = "%Y-%m-%dT%H:%M:%S"
_ENDING_SECONDS = 0.5
"""How long a browser waits that unlocks while an earlier lock is still under way."""


class PassphraseForm(Form):
    passphrase = PasswordField()
    new = PasswordField()
    again = PasswordField()


class UnlockForm(Form):
    passphrase = PasswordField()
    time = StringField(widget=DateTimeLocalInput())
    offered = HiddenField()
    """What `time` was when the page was made: if unchanged, the kit is right."""
    offset = HiddenField()
    """Minutes east of UTC, from a browser that put in its own time."""


pages = Blueprint("unlock", __name__)


def _kit_time() -> datetime:
    status = parts().recorder.status()
    return parts().recorder.now(status) or parts().clock.read().wall


def _offered_form() -> UnlockForm:
    now = _kit_time().astimezone().strftime(_FORMAT)
    return UnlockForm(formdata=None, time=now, offered=now, offset="")


def _unlock_page(refused: KitError | None) -> str:
    enrolled = parts().enrolled
    known = waiting_cards(parts().home, enrolled) if enrolled and g.paired else []
    return render_template(
        "unlock.html",
        form=_offered_form(),
        refused=refused,
        lost=lost_a_form(),
        taken=parts().session.unlocked,
        fingerprint=_fingerprint(),
        come=any(card.come for card in known),
    )


@pages.get("/unlock")
@anyone
def show() -> ResponseReturnValue:
    if parts().enrolled is None:
        return redirect(url_for("setup.show"), 303)
    return _unlock_page(None), 200


@pages.post("/unlock")
@anyone
def open_page() -> ResponseReturnValue:
    if parts().ending.is_set():
        # This process ends with an earlier lock. The browser sends the same form again on a new
        # connection, to the next process.
        time.sleep(_ENDING_SECONDS)
        answer = make_response(redirect(url_for("unlock.open_page"), 307))
        answer.headers["Connection"] = "close"
        return answer
    form = UnlockForm()
    try:
        # Read before scrypt, which takes a second.
        reading = parts().clock.read()
        moment = _moment(form, _kit_time())
        token = parts().session.begin(
            lambda: _opened(form.passphrase.data or "", moment, reading), known=g.paired
        )
    except KitError as error:
        # Only passphrases that were tried: the delay after each keeps a stranger from filling the
        # log.
        if isinstance(error, NotOpened):
            parts().note("unlock-refused", code=error.code)
        return _unlock_page(_in_words(error)), status_of(error)
    holder = parts().session.of(token)
    if holder is None:  # Somebody locked it at this very moment.
        return redirect(url_for("unlock.show"), 303)
    answer = make_response(redirect(begin_session(token), 303))
    pair(parts(), answer)
    parts().note("unlocked", practitioner=holder.card.name)
    let_in(parts(), holder)
    if not is_new_card(parts().home, holder.card.name):
        _vouch(holder)
    ours = parts()  # For a thread, which has no `parts()`.
    holder.work.mend(
        lambda: mend_all(
            ours.home, holder.case, holder.kit, lambda: holder.now(ours.clock), ours.note
        )
    )
    return answer


@pages.route("/passphrase", methods=["GET", "POST"])
def passphrase() -> ResponseReturnValue:
    """Put the practitioner's key under another passphrase."""
    form = PassphraseForm()
    refused, status = None, 200
    if request.method == "POST":
        try:
            _change(practitioner(), form)
        except KitError as error:
            if isinstance(error, NotOpened):
                parts().note("unlock-refused", code=error.code)
            refused, status = _in_words(error), status_of(error)
        else:
            parts().note("passphrase-changed", practitioner=practitioner().card.name)
            return redirect(url_for("this_kit.show", changed="y"), 303)
    page = render_template(
        "passphrase.html",
        form=PassphraseForm(formdata=None),
        refused=refused,
        words=make_passphrase(),
    )
    return page, status


@pages.post("/lock")
@even_new
def close_page() -> ResponseReturnValue:
    parts().lock("locked")
    end_session()
    return redirect(url_for("unlock.show"), 303)


def _vouch(holder: Practitioner) -> None:
    """Tell the recorder the time, signed. A card that nobody has let in has no say."""
    note = sign_fact(holder.keys.signer, holder.vouch)
    parts().recorder.ask(partial(SetTime, note=note))


def _change(holder: Practitioner, form: PassphraseForm) -> None:
    """Raises TooSoon, WrongPassphrase, BadInput, NotPossible."""
    new = form.new.data or ""
    if new != (form.again.data or ""):
        raise BadInput(_("The two new passphrases are different."), _("Type both again."))
    check_passphrase(new, _known_of(holder))
    sealed = parts().home.keys.of(holder.card.name).identity
    # Somebody who finds the page unlocked must not lock its owner out.
    parts().session.prove(
        lambda: change_passphrase(sealed, lambda: form.passphrase.data or "", new)
    )


def _known_of(holder: Practitioner) -> list[str]:
    """What anybody who finds the kit could read from its label: no part of a passphrase."""
    known = ["attune", holder.vouch.kit, holder.card.name, *parts().config.names]
    with suppress(OSError, UnicodeDecodeError):
        known.append(Path(parts().config.label).read_text())
    return known


def _opened(passphrase: str, moment: datetime, reading: Reading) -> Practitioner:
    """The practitioner whose key this passphrase opens. Raises WrongPassphrase, NotPossible."""
    ours = parts()  # For any thread, as long as they are unlocked.
    enrolled = ours.enrolled
    status = ours.recorder.last_word()
    if enrolled is None or status is None:
        raise NotPossible(
            _("The kit is still starting."),
            _(
                "Wait a few seconds, then try again. If it still does not work, turn the "
                "kit off and on."
            ),
        )
    refused: NotOpened | None = None
    for card in enrolled.practitioners:
        sealed = ours.home.keys.of(card.name).identity
        if not sealed.exists():
            continue
        try:
            keys = unlock(read_plain(sealed), passphrase)
        except NotOpened as error:
            refused = error
            continue
        if keys.card() != card:
            raise BadInput(_("The key file on this kit is not the one it was set up with."))
        vouch = Vouch(kit=status.kit, time=moment, boot=reading.boot, boottime=reading.boottime)
        kit = (Verifier.parse(status.verifier),)
        return Practitioner(
            keys,
            card,
            enrolled,
            vouch,
            kit,
            ours.home,
            ours.clock,
            lambda holder, case: without_the_revoked(ours, holder, case),
        )
    raise refused or NotPossible(
        _("There is no practitioner's key file on this kit."), _("Set the kit up again.")
    )


def _fingerprint() -> str:
    """The certificate's fingerprint, as browsers show it; '' if it cannot be read."""
    try:
        return fingerprint(parts().home.keys.certificate)
    except (OSError, ValueError):
        return ""


def _moment(form: UnlockForm, kit_time: datetime) -> datetime:
    """The time that they vouch for. Raises BadInput."""
    given = (form.time.data or "").strip()
    if not given or given == (form.offered.data or "").strip():
        return kit_time
    try:
        found = datetime.fromisoformat(given)
        if found.tzinfo is not None:
            moment = found
        elif form.offset.data:
            zone = timezone(timedelta(minutes=int(form.offset.data)))
            moment = found.replace(tzinfo=zone)
        else:
            moment = found.astimezone()
    except (ValueError, OverflowError) as error:
        raise BadInput(_("Enter a time."), _("Enter it like this: 2026-11-21T14:05")) from error
    if moment < EARLIEST:
        raise BadInput(
            _("That time cannot be right: it is before this kit was made."),
            _("Correct the date and time, then unlock again."),
        )
    return moment.astimezone(UTC)


def _in_words(error: KitError) -> KitError:
    """The refusal as the person at the page needs it."""
    if isinstance(error, TooSoon):
        seconds = int(error.seconds) + 1
        wait = ngettext(
            "Wait %(num)s second, then try again. Nothing has been deleted.",
            "Wait %(num)s seconds, then try again. Nothing has been deleted.",
            seconds,
        )
        if not g.paired:  # Anybody on the kit's network may have tried.
            wait += " " + _(
                "A device that has unlocked this kit before does not have to wait for others."
            )
        return KitError(_("The passphrase was wrong several times."), wait)
    if isinstance(error, WrongPassphrase):
        return KitError(
            _("That passphrase does not open this kit."),
            _("Check each word, then try again. A wrong passphrase never deletes anything."),
        )
    return error
