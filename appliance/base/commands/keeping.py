"""`audit`: whether the store is as it should be."""

import sys

import click

from appliance.base.commands.serving import in_words
from appliance.base.commands.telling import AS_JSON, DRY_RUN, tell
from appliance.base.keeping.auditing import Auditor, sign_audit
from appliance.base.service import Service
from appliance.records.clock import SystemClock


@click.command()
@click.option(
    "--sample",
    type=click.FloatRange(0, 100),
    default=0.0,
    metavar="PERCENT",
    help="Also read this part of the films' files, and compare them byte for byte.",
)
@DRY_RUN
@AS_JSON
@click.pass_obj
def audit(service: Service, sample: float, rehearse: bool, as_json: bool) -> None:
    """Look whether the store holds what it should, and sign what was found.

    Every film's files by the list in its signed manifest, the key of each case, the answer to each
    withdrawal, and what waits to be carried out. Kits must be enrolled. Nothing is changed; what
    was found is put at the store as audits/NUMBER, signed. It ends with status 1 if something is
    not as it should be.

    \b
    Example:
      attune base /srv/attune/store -i KEYS audit --sample 1
    """
    began = SystemClock().read().wall
    signers = [
        *(card.verifying_key() for card in (*service.practitioners(), *service.former())),
        *(kit.verifying_key() for kit in service.kits()),
    ]
    with service.at_work(rehearse=True) as work:
        waiting = [o for o in work.desk.work() if o.state not in ("done-before", "held")]
        identities = work.keys.identities
        auditor = Auditor(work.store, identities, signers, work.ledger, sample / 100)
        listed = list(auditor.listed())
    # To read takes long: families' orders are carried out meanwhile.
    with service.at_store() as (store, keys):
        found = auditor.and_read(store, listed)
        signed = 0
        if not rehearse:
            signed = sign_audit(store, keys, found, len(waiting), began).number
    lines = [finding.sentence for finding in found.findings]
    lines += [f"Not done yet: {in_words(outcome)}" for outcome in waiting]
    lines.append(
        f"Looked at: {found.objects} objects, {found.cases} cases, {found.films} films; read whole:"
        f" {found.read} files. Not as it should be: {len(found.findings)}; to be done:"
        f" {len(waiting)}."
    )
    bad = bool(found.findings or waiting)
    tell(as_json, "\n".join(lines), ok=not bad, audit=found, waiting=waiting, signed=signed)
    sys.exit(bad)
