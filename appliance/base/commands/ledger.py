"""`ledger`: what base remembers beside its keys."""

import click

from appliance.base.commands.telling import AS_JSON, tell
from appliance.base.service import Service


@click.command()
@click.option(
    "--from-store",
    "anew",
    is_flag=True,
    help="Where every copy of it is lost: take up what the store shows that was signed here.",
)
@AS_JSON
@click.pass_obj
def ledger(service: Service, anew: bool, as_json: bool) -> None:
    """Say how long the ledger is and whether the store was told of it all.

    It is KEYS/ledger: keep it in the same backup as the keys. What the store has lost of it is
    mended in the next round.

    \b
    Example:
      attune base /srv/attune/store -i KEYS ledger
    """
    with service.at_work(anew=anew) as work:
        if anew:
            work.desk.begin_anew()
        standing = work.ledger.standing(work.store)
        lines = work.ledger.length
    words = f"The ledger has {lines} lines; the store is {standing.value}."
    tell(as_json, words, lines=lines, store=standing.value)
