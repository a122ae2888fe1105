"""`refuse`: the service's no to what waits for its yes."""

import click

from appliance.base.commands.telling import AS_JSON, DRY_RUN, tell
from appliance.base.refusals import hold_in, refuse
from appliance.base.service import Service, Work
from appliance.errors import BadInput
from appliance.protocol.refusals import What
from appliance.records.clock import SystemClock


@click.command("refuse")
@click.argument("order", metavar="ORDER")
@click.option("--yes", is_flag=True, help="Refuse it without asking once more.")
@DRY_RUN
@AS_JSON
@click.pass_obj
def refuse_order(service: Service, order: str, yes: bool, rehearse: bool, as_json: bool) -> None:
    """Say no to a withdrawal or a hold that waits for your yes, ORDER as `serve` names it.

    Ask the family's practitioner first. The no is signed, and the kit tells whoever looks at the
    order there. Nothing is removed and nothing opens again: on that kit the family's case stays
    closed, and a later withdrawal by somebody who works with the family counts, as yours does. A
    refused hold keeps nothing here any more. The end of a share never waits.

    \b
    Example:
      attune base /srv/attune/store -i KEYS refuse ORDER --dry-run
    """
    if as_json and not (yes or rehearse):
        raise click.UsageError("With --json, give --yes or --dry-run.")
    with service.at_work(rehearse=True) as work:
        what, case, about, why = _waiting(work, order)
    if not (yes or rehearse):
        click.echo(f"{about} waits for your yes: {why}", err=True)
        click.confirm("Refuse it?", abort=True, err=True)
    with service.at_work(rehearse) as work:
        _waiting(work, order)
        now = SystemClock().read().wall
        name = order.rpartition("/")[2]
        refuse(work.store, work.keys.signer, work.ledger, what, case, name, now)
    would = "As it would be: " if rehearse else ""
    sentence = f"{would}{about} is refused. Its kit hears of it when it is next at base."
    tell(as_json, sentence, dry_run=rehearse, order=order, case=case, what=what)


def _waiting(work: Work, order: str) -> tuple[What, str, str, str]:
    """What waits under this name: of which case, in words, and why. Raises BadInput."""
    hold = hold_in(order)
    if hold is not None:
        case, name = hold
        why = work.desk.holds.waits(case, name)
        if why:
            return "hold", case, f"Hold {name} on case {case}", why
        hint = f"What holds a case is lifted: hold {case} --lift"
    else:
        found = work.desk.look_at(order)
        if found is not None and found.state == "asks":
            what: What = "film" if found.film else "case"
            of = f"film {found.film} of case {found.case}" if found.film else f"case {found.case}"
            return what, found.case, f"Order {order} for {of}", found.why
        hint = "`serve` names what does."
    raise BadInput(f"{order} does not wait for your yes.", hint)
