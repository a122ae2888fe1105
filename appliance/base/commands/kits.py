"""`ceilings` and `reset`: what the service lays down for its kits."""

import click

from appliance.base import people
from appliance.base.commands.keeping import look_through
from appliance.base.commands.telling import AS_JSON, DRY_RUN, tell
from appliance.base.keeping.auditing import LOST
from appliance.base.orders import order_reset
from appliance.base.service import Service
from appliance.protocol.audits import with_audit
from appliance.protocol.objects import kit_object
from appliance.protocol.permits import LONGEST_FILM, LONGEST_LIFE, MOST_FILMS, Ceilings
from appliance.records.clock import SystemClock
from appliance.records.files import save
from appliance.stores.store import is_there

MINUTES = click.IntRange(1, int(LONGEST_FILM.total_seconds()) // 60)
FILMS = click.IntRange(1, MOST_FILMS)
HOURS = click.IntRange(1, int(LONGEST_LIFE.total_seconds()) // 3600)


@click.command()
@click.argument("minutes", type=MINUTES)
@click.argument("films", type=FILMS)
@click.argument("hours", type=HOURS)
@AS_JSON
@click.pass_obj
def ceilings(service: Service, minutes: int, films: int, hours: int, as_json: bool) -> None:
    """Sign what a kit may do at most: MINUTES of a film, FILMS and HOURS of one arming.

    It is written to service-setup.pub, which a new kit takes in place of the service's first card.

    \b
    Example:
      attune base /srv/attune/store -i KEYS ceilings 20 4 12
    """
    most = Ceilings(
        limit=60 * minutes, films=films, life=3600 * hours, since=SystemClock().read().wall
    )
    path = people.sign_ceilings(service.only, service.folder, most)
    tell(as_json, f"Signed: {path}", signed=str(path))


@click.command()
@click.argument("kit", metavar="KIT")
@click.option(
    "--even-unsent",
    is_flag=True,
    help="What was never sent goes as well. It may exist nowhere else.",
)
@DRY_RUN
@AS_JSON
@click.pass_obj
def reset(service: Service, kit: str, even_unsent: bool, rehearse: bool, as_json: bool) -> None:
    """Order a kit to be set back, for other hands.

    Everything on it goes, once all is sent and somebody at the kit presses for it. The store is
    looked through as well (`audit`): the kit wants to see that nothing is lost there, and not more
    than seven days ago. Both are also written to reset-KIT.order, for a kit that does not send any
    more, with the films of it that were seen at the store: such a kit refuses if it has another.

    \b
    Example:
      attune base /srv/attune/store -i KEYS reset KIT
    """
    with service.at_work(rehearse) as work:
        now = SystemClock().read().wall
        number, note = order_reset(work.store, work.keys, work.ledger, kit, even_unsent, now)
        known = is_there(work.store, kit_object(kit))
    look = look_through(service, 0.0, rehearse, of_kit=kit)
    if not rehearse:
        order = with_audit(note.decode(), look.note, look.films)
        save(service.folder / f"reset-{kit}.order", order.encode())
    words = f"Order {number} for kit {kit}: it is to be set back."
    if lost := sum(finding.code in LOST for finding in look.found.findings):
        words += f"\nThe store has lost something, and the kit may have it yet: {lost}. See: audit"
    if not rehearse and not look.films:
        words += "\nThis kit has too many films for an order that is carried by hand: let it send."
    if not known:
        words += f"\nNo kit {kit} has ever sent here. Is that its number?"
    tell(as_json, words, kit=kit, order=number, known=known, audit=look.number, dry_run=rehearse)
