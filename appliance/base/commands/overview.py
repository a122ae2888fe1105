"""`status` and `kits`: how the service stands, and what somebody should look at."""

import sys
from datetime import datetime
from pathlib import Path

import click

from appliance.base.cases import every_case
from appliance.base.commands.serving import UNFINISHED, in_words
from appliance.base.commands.telling import AS_JSON, PATH, tell
from appliance.base.service import Service
from appliance.base.status import Finding, KitSeen, ends_soon, findings, key_ends_soon
from appliance.base.status import kits as seen_kits
from appliance.base.watch.rights import unreadable
from appliance.base.watch.telling import failed, figures, notify, stands_still
from appliance.errors import KitError
from appliance.records.clock import SystemClock


@click.command()
@click.option("--heartbeat", type=PATH, metavar="FILE", help="What `serve --heartbeat` writes.")
@click.option(
    "--textfile", type=PATH, metavar="FILE", help="Write figures for node_exporter there."
)
@click.option(
    "--notify",
    "command",
    metavar="COMMAND",
    help="Run it if there is anything: one "
    "JSON object on its standard input says what, since when and what to do.",
)
@AS_JSON
@click.pass_obj
def status(
    service: Service,
    heartbeat: Path | None,
    textfile: Path | None,
    command: str | None,
    as_json: bool,
) -> None:
    """Say how the service stands, and what somebody should look at. Nothing is changed.

    What waits for your yes or could not be carried out, holds whose day has come, kits that are
    silent or strange, what of the way to the store ends soon: each with what it is, since when,
    and what to do. It ends with status 1 if there is anything, so that whatever runs it each
    morning can tell somebody.

    \b
    Example:
      attune base /srv/attune/store -i KEYS status --notify "mail -s Attune lead@example.org"
    """
    now = SystemClock().read().wall
    counts: dict[str, int] = {}
    ended: KitError | None = None
    try:
        found, counts = _looked(service, now)
    except KitError as error:
        ended, found = error, [failed(error)]
    found += stands_still(heartbeat, now) if heartbeat else ()
    if textfile:
        figures(textfile, found, counts, now)
    if command and found:
        notify(command, found, now)
    if ended is not None:
        raise ended
    lines = [
        *(finding.sentence for finding in found),
        f"Kits: {counts['kits']}. Families' cases: {counts['cases']}, of them withdrawn: "
        f"{counts['withdrawn']}. To be looked at: {len(found)}.",
    ]
    tell(as_json, "\n".join(lines), ok=not found, findings=found, counts=counts)
    sys.exit(bool(found))


def _looked(service: Service, now: datetime) -> tuple[list[Finding], dict[str, int]]:
    with service.at_work(rehearse=True) as work:
        asked = {
            outcome: in_words(outcome)
            for outcome in work.desk.work()
            if outcome.state in UNFINISHED
        }
        seen = seen_kits(work.store, service.kits(), service.folder)
        found = list(findings(seen, asked, work.desk.holds.all(), work.ledger, now))
        found += ends_soon(work.store.ends, now)
        found += unreadable(service.store)
        found += key_ends_soon(work.keys.chain, work.keys.signer.verifier, now)
        cases = every_case(work.store)
        ended = [case for case in cases if work.ledger.closing(case)]
    return found, {"kits": len(seen), "cases": len(cases), "withdrawn": len(ended)}


@click.command()
@AS_JSON
@click.pass_obj
def kits(service: Service, as_json: bool) -> None:
    """List the service's kits, and when each was last heard of.

    \b
    Example:
      attune base /srv/attune/store -i KEYS kits
    """
    with service.at_store() as (store, _keys):
        seen = seen_kits(store, service.kits(), service.folder)
    told = "\n".join(map(_in_words, seen)) or "No kit is enrolled, and none has sent here."
    tell(as_json, told, kits=seen)


def _in_words(kit: KitSeen) -> str:
    if not kit.enrolled:
        return f"{kit.name}  not enrolled"
    return f"{kit.name}  " + (
        f"last heard of on {kit.heard:%d %B %Y}" if kit.heard else "nothing has come"
    )
