"""`status` and `kits`: how the service stands, and what somebody should look at."""

import contextlib
import sys
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import click

from appliance.base.cases import every_case
from appliance.base.commands.serving import UNFINISHED, in_words
from appliance.base.commands.telling import AS_JSON, PATH, tell
from appliance.base.keeping.auditing import newest_audit
from appliance.base.keeping.days import days_kept
from appliance.base.service import Service
from appliance.base.status import (
    Finding,
    KitSeen,
    ends_soon,
    findings,
    key_ends_soon,
    not_audited,
)
from appliance.base.status import kits as seen_kits
from appliance.base.watch.rights import unreadable
from appliance.base.watch.telling import (
    failed,
    figures,
    notify,
    stands_still,
    unwritten_figures,
)
from appliance.errors import KitError, NotPossible, error_json
from appliance.records.clock import SystemClock

COULD_NOT = 2
"""Status of a look that could not be had, or of which nobody could be told."""


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
    silent or strange, an audit that is older than a week, what of the way to the store ends soon:
    each with what it is, since when, and what to do. It ends with status 1 if there is anything,
    so that whatever runs it each morning can tell somebody; with 2 where it could not look, or
    could tell nobody.

    \b
    Example:
      attune base /srv/attune/store -i KEYS status --notify "mail -s Attune lead@example.org"
    """
    now = SystemClock().read().wall
    # First: whatever stands still may keep the store from being looked at.
    still = list(stands_still(heartbeat, now)) if heartbeat else []
    counts: dict[str, int] = {}
    wrong: list[KitError] = []
    found: list[Finding] = []
    days = 0
    with _kept(wrong):
        found, counts, days = _looked(service, now)
    found = [*(failed(error) for error in wrong), *found, *still]
    if textfile:
        unwritten: list[KitError] = []
        with _kept(unwritten):
            figures(textfile, found, counts, now)
        # They keep nobody from being told, and whoever is told hears of them.
        found += [unwritten_figures(error) for error in unwritten]
        wrong += unwritten
    if command and found:
        with _kept(wrong):
            notify(command, found, now)
    if counts:
        lines = [
            *(finding.sentence for finding in found),
            f"Kits: {counts['kits']}. Families' cases: {counts['cases']}, of them withdrawn: "
            f"{counts['withdrawn']}. To be looked at: {len(found)}.",
        ]
        tell(
            as_json,
            "\n".join(lines),
            ok=not found,
            findings=found,
            counts=counts,
            retention_days=days,
        )
    for error in wrong:
        click.echo(f"attune base: {error}", err=True)
    if not counts:
        first = wrong[0]
        told = error_json(sys.argv[1:], first.code, first.sentence, first.hint)
        click.echo(told, nl=False)
    sys.exit(COULD_NOT if wrong else bool(found))


@contextlib.contextmanager
def _kept(wrong: list[KitError]) -> Iterator[None]:
    # What goes wrong with one step keeps none of those that follow.
    try:
        yield
    except KitError as error:
        wrong.append(error)
    except OSError as error:
        wrong.append(NotPossible(f"{error.filename or 'A file'}: {error.strerror}."))


def _looked(service: Service, now: datetime) -> tuple[list[Finding], dict[str, int], int]:
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
        days = days_kept(work.ledger)
        sent = bool(cases) or any(kit.heard for kit in seen)
        found += not_audited(newest_audit(work.store, work.keys.chain), sent, now)
    return found, {"kits": len(seen), "cases": len(cases), "withdrawn": len(ended)}, days


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
