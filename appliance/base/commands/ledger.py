"""`ledger` and `audit`: what base remembers beside its keys, and whether the store is as it should
be."""

import sys

import click

from appliance.base.audit import Auditor
from appliance.base.commands.serving import in_words
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


@click.command()
@click.option(
    "--sample",
    type=click.FloatRange(0, 100),
    default=0.0,
    metavar="PERCENT",
    help="Also read this part of the films' files, and compare them byte for byte.",
)
@AS_JSON
@click.pass_obj
def audit(service: Service, sample: float, as_json: bool) -> None:
    """Look whether the store holds what it should. Nothing is changed.

    Every film's files by the list in its signed manifest, the key of each case, the answer to each
    withdrawal, and what waits to be carried out. Kits must be enrolled. It ends with status 1 if
    something is not as it should be.

    \b
    Example:
      attune base /srv/attune/store -i KEYS audit --sample 1
    """
    signers = [
        *(card.verifying_key() for card in (*service.practitioners(), *service.former())),
        *(kit.verifying_key() for kit in service.kits()),
    ]
    with service.at_work(rehearse=True) as work:
        waiting = [o for o in work.desk.work() if o.state not in ("done-before", "held")]
        auditor = Auditor(work.store, work.keys, signers, work.ledger, sample / 100)
        found = auditor.audit()
    lines = [finding.sentence for finding in found.findings]
    lines += [f"Not done yet: {in_words(outcome)}" for outcome in waiting]
    lines.append(
        f"Looked at: {found.objects} objects, {found.cases} cases, {found.films} films; read whole:"
        f" {found.read} files. Not as it should be: {len(found.findings)}; to be done:"
        f" {len(waiting)}."
    )
    bad = bool(found.findings or waiting)
    tell(as_json, "\n".join(lines), ok=not bad, audit=found, waiting=waiting)
    sys.exit(bad)
