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
            _("The part of the kit that sends does not answer."),
            _("Switch the kit off and on. If it stays so, tell your service."),
        )
    if status.state == "sending":
        return _("Sending now."), _("Leave the kit switched on and where it is.")
    if status.state == "sent":
        return _("Everything that is finished is with the service, and was confirmed."), ""
    if status.state == "incomplete":
        return _("Some things could not be sent. They stay here."), ""
    return _reasons().get(status.error) or (
        _("Sending stopped (%(code)s). Everything is still here.", code=status.error),
        _("It is tried again. If it stays so, tell your service."),
    )


def _nowhere() -> tuple[str, str]:
    return (
        _("This kit has no service to send to yet."),
        _("Your service enters the address of its store in the kit's settings."),
    )


def _reasons() -> dict[str, tuple[str, str]]:
    wait = _("Nothing is lost. It is tried again by itself.")
    return {
        "not-at-base": (
            _("Waiting: this network is not known as base, so nothing is sent."),
            _("At base, say so below; or connect the kit by cable."),
        ),
        "no-network": (
            _("Waiting: the kit has no network."),
            _("At base, connect it by cable or to the network there."),
        ),
        "out-of-hours": (
            _("Waiting for the hours in which this kit sends."),
            _("Leave it switched on; it begins by itself."),
        ),
        "send-interrupted": (_("The line broke off."), wait),
        "not-reached": (_("The service's store does not answer."), wait),
    } | _refusals()


def _refusals() -> dict[str, tuple[str, str]]:
    """What lasts until somebody has done something."""
    return {
        "wrong-store": (
            _("Something else than your service's store answered. Nothing was sent to it."),
            _("Are you in the right network? Perhaps it has a page to sign in to."),
        ),
        "portal-page": (
            _("A page to sign in to answered instead of your service's store. Nothing was sent."),
            _("Sign in to this network first, or use another one."),
        ),
        "wrong-time": (
            _("The store's certificate is not valid on the kit's date. Nothing was sent."),
            _("Is the kit's clock right? It is shown under This kit. If it is, tell your service."),
        ),
        "wrong-clock": (
            _("The service's store says that the kit's clock is wrong. Nothing was sent."),
            _("Look at the kit's clock under This kit, and put it right."),
        ),
        "wrong-place": (
            _("The service's store is not where this kit was told, or in another region."),
            _("Ask your service for the right address of its store."),
        ),
        "access-ended": (
            _("This kit's access to the service's store has run out."),
            _("Ask your service for a new access file."),
        ),
        "not-let-in": (
            _("The service's store does not let this kit in."),
            _("Ask your service for a new access file."),
        ),
        "store-missing": (
            _("The service's store is not there."),
            _("Is its disk or share connected? Ask your service."),
        ),
        "store-full": (
            _("The service's store is full. Everything stays here."),
            _("Ask your service to make room."),
        ),
        "not-supported": (
            _("The service's store cannot do what this kit needs. Everything stays here."),
            _("Tell your service: this kind of store cannot be used."),
        ),
        "send-refused": (
            _("The service's store refuses what it is asked. Everything stays here."),
            _("Tell your service: trying again will not help."),
        ),
        "not-possible": (
            _("The kit's own card refused something."),
            _("Is it full or worn? Ask your service."),
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
