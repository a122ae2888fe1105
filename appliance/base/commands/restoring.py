"""`restore`: a store that was lost, or came back from a backup."""

import re
import sys
from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path

import click

from appliance.base.commands.telling import AS_JSON, DRY_RUN, PATH, tell
from appliance.base.keeping.auditing import LOST, Auditor
from appliance.base.keeping.restoring import Restorer, kits_of
from appliance.base.orders import choose_keys
from appliance.base.service import Service
from appliance.errors import BadInput
from appliance.protocol.objects import SERVICE_CARD
from appliance.records.files import ID
from appliance.records.signing import Verifier
from appliance.stores import open_store
from appliance.stores.access import load_access
from appliance.stores.store import ServiceStore, read_small

_OURS = re.compile(
    rf"(tombstones|revoked|holds|purged|service/(card|roster))/.+|kits/{ID.pattern}/orders/.+"
)
"""What the ledger and the folder of keys put back."""
_TURN_SECONDS = 20.0
"""So long cases are put back in one go: what families ask for is carried out between."""
_SHOWN = 50


@dataclass(frozen=True)
class _Mended:
    put: list[str]
    removed: list[str]
    failed: list[str]


@click.command()
@click.option(
    "--from", "copy", metavar="BACKUP",
    help="A copy of this store from before: a folder or an address. It is only read.",
)  # fmt: skip
@click.option("--from-access", type=PATH, metavar="FILE", help="How to get into BACKUP.")
@DRY_RUN
@AS_JSON
@click.pass_obj
def restore(
    service: Service, copy: str | None, from_access: Path | None, rehearse: bool, as_json: bool
) -> None:
    """Mend a store that came back from a backup, or put back what it lost.

    First everything that the ledger knows is done again: what families took back goes, answers,
    holds and revocations are there. With --from, what the store lacks then comes from the copy:
    nothing that was taken back or removed, nothing over what is there, and of films only what their
    signed manifests list, byte for byte. Enrol your kits first. It may be stopped and run again. It
    ends with status 1 if something is still missing, or the copy is damaged.

    \b
    Example:
      attune base /srv/attune/store -i KEYS restore --from /backup/store --dry-run
    """
    if from_access is not None and copy is None:
        raise click.UsageError("--from-access goes with --from BACKUP.")
    mended = _mend(service, rehearse)
    would = "would be " if rehearse else ""
    lines = [f"Not done again yet: {why}" for why in mended.failed]
    lines.append(
        f"From the ledger: {len(mended.put)} {would}put back, {len(mended.removed)} that were taken"
        f" back {would}removed."
    )
    bad, told, lost = bool(mended.failed), {}, list[str]()
    if copy is not None:
        restorer = _from(service, copy, from_access, rehearse, quiet=as_json)
        bad = bad or bool(restorer.damaged or restorer.stopped)
        lost = restorer.still_lost
        told = {
            "back": restorer.back,
            "bytes": restorer.size,
            "films": len(restorer.films),
            "left_out": [asdict(one) for one in restorer.left_out],
            "stopped": restorer.stopped.sentence if restorer.stopped else "",
        }
        lines += _in_words(restorer, would)
    if not rehearse:
        missing, kits = _missing(service, lost)
        bad = bad or bool(missing)
        told |= {"missing": missing, "kits": kits}
        lines.append(_still(missing, kits))
    tell(as_json, "\n".join(lines), ok=not bad, mended=asdict(mended), dry_run=rehearse, **told)
    sys.exit(bad)


def _mend(service: Service, rehearse: bool) -> _Mended:
    with service.at_store() as (store, _keys):
        before = {entry.name for entry in store.list("")}
    with service.at_work(rehearse) as work:
        outcomes = [*work.desk.mend(), *work.desk.mend_all()]
        after = {entry.name for entry in work.store.list("")}
    put = sorted(filter(_OURS.fullmatch, after - before))
    removed = sorted(one for one in before - after if not one.startswith("service/"))
    return _Mended(put, removed, [one.why for one in outcomes if one.state == "failed"])


def _from(
    service: Service, address: str, access: Path | None, rehearse: bool, quiet: bool
) -> Restorer:
    with closing(open_store(address, load_access(access))) as copy:
        with service.at_work(rehearse) as work:
            _check(copy, work.store, service)
            # Raises where the copy was told of more than this ledger knows.
            work.ledger.standing(copy)
            restorer = Restorer(
                copy, work.keys.chain, work.keys.identities, _people(service), service.kits(),
                rehearse=rehearse,
                progress=lambda name: None if quiet else click.echo(f"  {name}", err=True),
            )  # fmt: skip
            restorer.rest(work.store, work.desk, work.ledger)
        cases = restorer.cases()
        found = next(cases, None)
        while found is not None:
            until = service.clock.monotonic() + _TURN_SECONDS
            with service.at_work(rehearse) as work:
                while found is not None and service.clock.monotonic() < until:
                    restorer.case(work.store, work.desk, work.ledger, *found)
                    found = next(cases, None)
        return restorer


def _check(copy: ServiceStore, store: ServiceStore, service: Service) -> None:
    if copy.url == store.url:
        raise BadInput("This is the store itself.", "Name a copy of it: --from BACKUP")
    if read_small(copy, SERVICE_CARD) is None:
        raise BadInput(
            f"{copy.url} is no copy of a service's store: its card is not there.",
            "Name the folder in which service/, kits/ and cases/ lie.",
        )
    choose_keys(copy, service.own)


def _people(service: Service) -> list[Verifier]:
    return [card.verifying_key() for card in (*service.practitioners(), *service.former())]


def _missing(service: Service, lost: Sequence[str]) -> tuple[list[str], list[str]]:
    """What an audit still misses, with what is damaged in the copy, and the kits that made it."""
    signers = [*_people(service), *(kit.verifying_key() for kit in service.kits())]
    with service.at_work(rehearse=True) as work:
        auditor = Auditor(work.store, work.keys.identities, signers, work.ledger)
        found = [finding.object for finding in auditor.listed() if finding.code in LOST]
        missing = sorted({*found, *lost})
        return missing, kits_of(work.store, missing)


def _in_words(restorer: Restorer, would: str) -> list[str]:
    """What came back, and what was left out and why."""
    left = restorer.left_out
    lines = [f"Left out: {one.sentence}" for one in left[:_SHOWN]]
    if len(left) > _SHOWN:
        lines.append(f"Left out besides: {len(left) - _SHOWN}. With --json all are named.")
    if restorer.stopped is not None:
        lines.append(f"The copy could not be read to its end: {restorer.stopped}")
    counts = Counter(one.why for one in left)
    lines.append(
        f"From the copy: {restorer.back} files of {len(restorer.films)} films and other things"
        f" {would}put back, {restorer.size:,} bytes. Left out: {counts['taken-back']} that were"
        f" taken back, {len(left) - counts['taken-back']} for another reason."
    )
    return lines


def _still(missing: Sequence[str], kits: Sequence[str]) -> str:
    if not missing:
        return "No audit misses anything now. What only kits know of they send again by themselves."
    which = f" They were made by: {', '.join(kits)}." if kits else ""
    return (
        f"Still missing: {len(missing)}, the first {missing[0]}.{which} A kit that still has them "
        "sends them again at its next contacts, within a week; the verb audit names each."
    )
