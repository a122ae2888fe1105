"""`withdraw` and `hold`: what a family asks of the service itself, and what must wait."""

from datetime import UTC, datetime

import click

from appliance.base.commands.serving import in_words
from appliance.base.commands.telling import AS_JSON, DRY_RUN, tell
from appliance.base.service import Service
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
@click.option("--lift", is_flag=True, help="End the holds: what waited is removed.")
@DRY_RUN
@AS_JSON
@click.pass_obj
def hold(
    service: Service,
    case: str,
    film: str,
    until: datetime | None,
    lift: bool,
    rehearse: bool,
    as_json: bool,
) -> None:
    """Keep everything of a case, or of one film, whatever is asked for meanwhile.

    A withdrawal under a hold closes the case, and its keys wait at the service. A hold does not run
    out: on its day somebody looks at it again. Without --until or --lift it is only shown.

    \b
    Example:
      attune base /srv/attune/store -i KEYS hold CASE --until 2027-01-31
    """
    if lift and until:
        raise click.UsageError("Give --until DAY to place a hold, or --lift to end it.")
    with service.at_work(rehearse) as work:
        holds, now = work.desk.holds, SystemClock().read().wall
        holds.hear()
        if until is not None:
            day = until.replace(tzinfo=UTC)
            if day <= now:
                raise click.UsageError("--until DAY is a day that is yet to come.")
            holds.place(work.keys.signer, checked_id(case), film and checked_id(film), now, day)
        found = [
            (name, notice)
            for name, notice in holds.all().items()
            if notice.case == case and film in ("", notice.film)
        ]
        if lift:
            for name, _notice in found:
                holds.lift(work.keys.signer, name, now)
    words = [_hold_in_words(notice, lift) for _name, notice in found]
    told = "\n".join(words) or f"There is no hold on case {case}."
    tell(as_json, told, case=case, holds=[notice for _name, notice in found], lifted=lift)


def _hold_in_words(hold: HoldNotice, lifted: bool) -> str:
    what = f"Film {hold.film} of case {hold.case}" if hold.film else f"Case {hold.case}"
    by = f", by {hold.signer}" if hold.signer else ""
    if lifted:
        return f"{what} is not held any more. `serve` removes what waited."
    return f"{what} is held{by}: to be looked at again on {hold.until:%d %B %Y}."
