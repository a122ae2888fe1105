"""Sending: what the service has, what still waits here, why it waits, and "I am at base"."""

from dataclasses import dataclass

from flask import Blueprint, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from appliance.protocol.status import AtBase, SyncStatus, is_at_base
from appliance.records.files import save_fact
from web_ui.parts import parts
from web_ui.session.access import even_new
from web_ui.session.current import practitioner
from web_ui.session.enrolment import is_new_card
from web_ui.wording.language import _, ngettext
from web_ui.wording.roster_ends import roster_ends
from web_ui.wording.status_line import last_sync

SILENT_SECONDS = 15 * 60.0
"""The sender writes its status at least this often, even while it waits after a failure."""


@dataclass(frozen=True)
class Told:
    """The state of the sending, in words."""

    doing: str
    hint: str
    """What somebody can do about it, '' for nothing."""
    well: bool = False
    moving: bool = False
    percent: int = 0
    waiting: str = ""
    sent: str = ""
    left: str = ""
    """How long it will take, '' if that is not known."""


pages = Blueprint("sending", __name__, url_prefix="/sending")


@pages.get("")
@even_new
def show() -> ResponseReturnValue:
    status = last_sync(parts().home)
    if status is not None and not parts().clock.read().is_within(SILENT_SECONDS, status):
        status = None
    return render_template(
        "sending.html",
        told=told(status, bool(parts().config.store)),
        status=status,
        problems=[_(problem.sentence) for problem in status.problems] if status else [],
        ends=[(_(one.sentence), one.at) for one in status.ends] if status else [],
        silent=roster_ends(parts().home, practitioner().service, practitioner().now(parts().clock)),
        at_base=is_at_base(parts().home, parts().clock.read()),
        may_say=not is_new_card(parts().home, practitioner().card.name),
    )


@pages.post("/base")
def base() -> ResponseReturnValue:
    """The kit is at base, or it is not any more.

    Not for a card that nobody has let in yet: at base the time that a network tells counts.
    """
    path = parts().home.at_base
    if request.form.get("base") == "y":
        now = parts().clock.read()
        save_fact(path, AtBase(boot=now.boot, boottime=now.boottime))
        parts().note("at-base-said")
    else:
        path.unlink(missing_ok=True)
        parts().note("at-base-ended")
    return redirect(url_for("sending.show"), 303)


def told(status: SyncStatus | None, has_store: bool) -> Told:
    """A status in words; None where the sender is silent."""
    doing, hint = _doing(status) if has_store else _nowhere()
    if status is None or not has_store:
        return Told(doing, hint)
    all_bytes = status.sent_bytes + status.waiting_bytes
    moving = status.state == "sending" and status.waiting > 0
    seconds = status.waiting_bytes / status.bytes_per_second if status.bytes_per_second else 0
    return Told(
        doing=doing,
        hint=hint,
        well=status.state in ("sending", "sent"),
        moving=moving,
        percent=int(100 * status.sent_bytes / all_bytes) if all_bytes else 100,
        waiting=_amount(status.waiting, status.waiting_bytes) if status.waiting else "",
        sent=_amount(status.sent, status.sent_bytes) if status.sent else "",
        left=ngettext(
            "About %(num)s minute left", "About %(num)s minutes left", max(1, round(seconds / 60))
        )
        if moving and seconds
        else "",
    )


def _doing(status: SyncStatus | None) -> tuple[str, str]:
    if status is None:
        return (
            _("Uploads are not working."),
            _("Turn the kit off and on. If it still does not work, contact your service."),
        )
    if status.state == "sending":
        return _("Uploading now."), _("Leave the kit turned on and where it is.")
    if status.state == "sent":
        return _("Everything has been uploaded and checked."), ""
    if status.state == "incomplete":
        return _("Some things could not be uploaded. They are still on this kit."), ""
    return _reasons().get(status.error) or (
        _("Uploading stopped (%(code)s). Everything is still on this kit.", code=status.error),
        _("The kit will try again. If it still does not work, contact your service."),
    )


def _nowhere() -> tuple[str, str]:
    return (
        _("This kit has no service to upload to yet."),
        _("Your service must enter its store's address in the kit's settings."),
    )


def _reasons() -> dict[str, tuple[str, str]]:
    wait = _("Nothing is lost. The kit will try again by itself.")
    return {
        "not-at-base": (
            _("Not uploading: the kit does not recognise this network as your base."),
            _("If you are at base, tell the kit below, or connect it by cable."),
        ),
        "no-network": (
            _("Not uploading: the kit has no network."),
            _("At base, connect it by cable or to the Wi-Fi there."),
        ),
        "out-of-hours": (
            _("Waiting: this kit uploads only at set times."),
            _("Leave it turned on. It will start by itself."),
        ),
        "send-interrupted": (_("The connection was lost."), wait),
        "not-reached": (_("Your service's store does not answer."), wait),
    } | _refusals()


def _refusals() -> dict[str, tuple[str, str]]:
    """What lasts until somebody has done something."""
    return {
        "wrong-store": (
            _("The kit connected to something that is not your service. Nothing was uploaded."),
            _("Check you are on the right network. You may need to sign in to it first."),
        ),
        "portal-page": (
            _("This network has a page to sign in to. Nothing was uploaded."),
            _("Sign in to this network first, or use another one."),
        ),
        "wrong-time": (
            _("Your service's certificate is not valid on the kit's date. Nothing was uploaded."),
            _("Check the kit's clock under This kit. If it is right, tell your service."),
        ),
        "wrong-clock": (
            _("Your service says that the kit's clock is wrong. Nothing was uploaded."),
            _("Check the kit's clock under This kit, and correct it."),
        ),
        "wrong-place": (
            _("Your service's store is not at the address this kit has."),
            _("Ask your service for the right address of its store."),
        ),
        "access-ended": (
            _("This kit's access to your service has run out."),
            _("Ask your service for a new access file."),
        ),
        "not-let-in": (
            _("Your service does not let this kit in."),
            _("Ask your service for a new access file."),
        ),
        "store-missing": (
            _("Your service's store is not there."),
            _("Its disk or share may not be connected. Ask your service."),
        ),
        "store-full": (
            _("Your service's store is full. Everything is still on this kit."),
            _("Ask your service to make room."),
        ),
        "not-supported": (
            _(
                "Your service's store cannot do what this kit needs. Everything is still "
                "on this kit."
            ),
            _("Tell your service: this kind of store cannot be used."),
        ),
        "send-refused": (
            _("Your service's store refuses uploads. Everything is still on this kit."),
            _("Tell your service: trying again will not help."),
        ),
        "not-possible": (
            _("The memory card in this kit could not be read or written."),
            _("It may be full or worn out. Ask your service."),
        ),
    }


def _amount(count: int, size: int) -> str:
    if size < 100_000:
        return ngettext(
            "%(num)s small file, less than 0.1 MB", "%(num)s small files, less than 0.1 MB", count
        )
    megabytes = f"{size / 1e6:.1f}" if size < 10e6 else f"{size / 1e6:.0f}"
    return ngettext(
        "%(num)s file, %(megabytes)s MB",
        "%(num)s files, %(megabytes)s MB",
        count,
        megabytes=megabytes,
    )
