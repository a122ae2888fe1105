"""`withdraw` and `hold`: what a family asks of the service itself, and what must wait."""

from datetime import UTC, datetime

import click
import msgspec

from appliance.base.commands.serving import in_words
from appliance.base.commands.telling import AS_JSON, DRY_RUN, tell
from appliance.base.service import Service, Work
from appliance.errors import BadInput, Incomplete, NoMatch
from appliance.protocol.hold_reasons import why_object
from appliance.protocol.orders import HoldNotice
from appliance.records.clock import SystemClock
from appliance.records.files import checked_id


@click.command()
@click.argument("case", metavar="CASE")
@click.option("--film", default="", metavar="FILM", help="Only this film of the case.")
@click.option("--kit", default="", metavar="KIT", help="The kit that has the film.")
@click.option("--later", is_flag=True, help="Sign the order only: `serve` carries it out.")
@DRY_RUN
@AS_JSON
@click.pass_obj
def withdraw(
    service: Service, case: str, film: str, kit: str, later: bool, rehearse: bool, as_json: bool
) -> None:
    """Withdraw a case, as its family asked; with --film and --kit, one film of it.

    The service's keys of the case are removed, and every kit that has it learns of it.

    \b
    Example:
      attune base /srv/attune/store -i KEYS withdraw CASE --dry-run
    """
    if bool(film) is not bool(kit):
        raise click.UsageError("To withdraw one film, give --film and the --kit that has it.")
    with service.at_work(rehearse) as work:
        desk = work.desk
        order = desk.withdraw_film(kit, case, film) if film else desk.withdraw_case(case)
        if later:
            tell(as_json, f"Ordered: {order}. `serve` carries it out.", order=order)
            return
        outcome = next(o for o in desk.work() if o.order == order)
    would = "As it would be: " if rehearse else ""
    tell(as_json, would + in_words(outcome), dry_run=rehearse, outcome=outcome)


@click.command()
@click.argument("case", metavar="CASE")
@click.option("--film", default="", metavar="FILM", help="Only this film of the case.")
@click.option(
    "--until",
    type=click.DateTime(["%Y-%m-%d"]),
    metavar="DAY",
    help="Place a hold, to be looked at again on this day.",
)
@click.option(
    "--role",
    default="",
    metavar="OFFICE",
    help="Who decided on it, by their office; the reason is asked for, and sealed.",
)
@click.option("--lift", is_flag=True, help="End the holds: what waited is removed.")
@DRY_RUN
@AS_JSON
@click.pass_obj
def hold(
    service: Service,
    case: str,
    film: str,
    until: datetime | None,
    role: str,
    lift: bool,
    rehearse: bool,
    as_json: bool,
) -> None:
    """Keep everything of a case, or of one film, whatever is asked for meanwhile.

    A withdrawal under a hold closes the case, and its keys wait at the service. A hold does not run
    out: on its day somebody looks at it again. Without --until or --lift it is only shown. That
    there is a hold is public; who decided on it and why is for the service's opening key alone.

    \b
    Example:
      attune base /srv/attune/store -i KEYS hold CASE --until 2027-01-31 --role "Safeguarding lead"
    """
    if lift and until:
        raise click.UsageError("Give --until DAY to place a hold, or --lift to end it.")
    if role and not until:
        raise click.UsageError("--role OFFICE goes with --until DAY.")
    # Asked for, so that it stands in no list of commands.
    reason = str(click.prompt("Reason", err=True)) if role else ""
    with service.at_work(rehearse) as work:
        holds, now = work.desk.holds, SystemClock().read().wall
        holds.hear()
        if until is not None:
            day = until.replace(tzinfo=UTC)
            if day <= now:
                raise click.UsageError("--until DAY is a day that is yet to come.")
            placed = holds.place(
                work.keys.signer, checked_id(case), film and checked_id(film), now, day
            )
            if role:
                holds.give_reason(work.keys, placed, role, reason)
        found = [
            (name, notice)
            for name, notice in holds.all().items()
            if notice.case == case and film in ("", notice.film)
        ]
        if lift:
            for name, _notice in found:
                holds.lift(work.keys.signer, name, now)
        whys = [why_held(work, name) for name, _notice in found]
    words = [
        " ".join(filter(None, (_hold_in_words(notice, lift), "" if lift else why["why"])))
        for (_name, notice), why in zip(found, whys, strict=True)
    ]
    told = "\n".join(words) or f"There is no hold on case {case}."
    shown = [
        msgspec.to_builtins(notice) | why for (_name, notice), why in zip(found, whys, strict=True)
    ]
    tell(as_json, told, case=case, holds=shown, lifted=lift)


def why_held(work: Work, hold: str) -> dict[str, str]:
    """Who decided on a hold and why, as far as the keys here open it, and that as a sentence."""
    case, _, name = hold.partition("/")
    where = why_object(case, name)
    role = reason = ""
    try:
        found = work.desk.holds.reason(work.keys, hold)
    except NoMatch:
        why = f"Why stands sealed in {where}: whoever has the opening key reads it (attune unseal)."
    except (BadInput, Incomplete) as error:
        why = f"Why cannot be read, in {where}: {error.sentence}"
    else:
        why = "No reason came with it: ask whoever placed it."
        if found is not None:
            role, reason = found.role, found.reason
            why = f"Decided by: {role}. Reason: {reason}"
    return {"role": role, "reason": reason, "why": why}


def _hold_in_words(hold: HoldNotice, lifted: bool) -> str:
    what = f"Film {hold.film} of case {hold.case}" if hold.film else f"Case {hold.case}"
    by = f", by {hold.signer}" if hold.signer else ""
    if lifted:
        return f"{what} is not held any more. `serve` removes what waited."
    return f"{what} is held{by}: to be looked at again on {hold.until:%d %B %Y}."
