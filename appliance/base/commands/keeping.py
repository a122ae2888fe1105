"""`audit` and `logs`: whether the store is as it should be, and what kits say happened."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import click

from appliance.base.commands.serving import in_words
from appliance.base.commands.telling import AS_JSON, DRY_RUN, PATH, tell
from appliance.base.custody import opening
from appliance.base.desk import Outcome
from appliance.base.keeping.auditing import LOST, Audit, Auditor, sign_audit
from appliance.base.keeping.films_read import FilmRead, tell_kits
from appliance.base.keeping.kit_logs import kit_logs
from appliance.base.service import Service
from appliance.errors import BadInput
from appliance.protocol.audits import SEEN, FilmsSeen, digest
from appliance.records.clock import SystemClock
from appliance.records.signing import sign_fact
from appliance.stores.store import ServiceStore
from appliance.vault.keys import PrivateKeys


@click.command()
@click.option(
    "--sample",
    type=click.FloatRange(0, 100),
    default=0.0,
    metavar="PERCENT",
    help="Also read this part of the films' files, and compare them byte for byte.",
)
@click.option(
    "--opened",
    type=PATH,
    metavar="DIR",
    help="Take in what the opening key saw, which `ask DIR --audit` asked for.",
)
@DRY_RUN
@AS_JSON
@click.pass_obj
def audit(
    service: Service, sample: float, opened: Path | None, rehearse: bool, as_json: bool
) -> None:
    """Look whether the store holds what it should, and sign what was found.

    Every film's files by the list in its signed manifest, the key of each case and to how many of
    the service's keys it is sealed, the answer to each withdrawal, and what waits to be carried
    out. Kits must be enrolled. Nothing is changed; what was found is put at the store as
    audits/NUMBER, signed, and for each kit which of its films were read whole. It ends with status
    1 if something is not as it should be.

    Where the opening key is not here, of cases' keys only that they are sealed is seen: carry them
    to it with ask DIR --audit, and give its answer with --opened.

    \b
    Example:
      attune base /srv/attune/store -i KEYS audit --sample 1
      attune base /srv/attune/store -i KEYS audit --opened /media/stick/ask
    """
    look = look_through(service, sample / 100, rehearse, opened)
    found, waiting = look.found, look.waiting
    lines = [finding.sentence for finding in found.findings]
    lines += [f"Not done yet: {in_words(outcome)}" for outcome in waiting]
    if found.unopened:
        lines.append(f"Keys that came since it was asked, and were not opened: {found.unopened}.")
    lines.append(
        f"Looked at: {found.objects} objects, {found.cases} cases, {found.films} films; read whole:"
        f" {found.read} files. Not as it should be: {len(found.findings)}; to be done:"
        f" {len(waiting)}."
    )
    bad = bool(found.findings or waiting)
    tell(as_json, "\n".join(lines), ok=not bad, audit=found, waiting=waiting, signed=look.number)
    sys.exit(bad)


@click.command()
@click.argument("kit", metavar="KIT")
@AS_JSON
@click.pass_obj
def logs(service: Service, kit: str, as_json: bool) -> None:
    """Print the logs that a kit has sent, also of one that was lost or set back.

    Each line says when, by the kit's own clock, which of its programs, and what happened. What is
    missing or altered is told, and the status is 1.

    \b
    Example:
      attune base /srv/attune/store -i KEYS logs KIT
    """
    card = next((card for card in service.kits() if card.id == kit), None)
    if card is None:
        raise BadInput(f"Kit {kit} is not enrolled.", "Enrol it first: enrol kit.json")
    with service.at_store() as (store, keys):
        found = kit_logs(store, keys.identities, card)
    written = sorted(
        ((entry.wall, process, entry) for process, all_ in found.entries.items() for entry in all_),
        key=lambda one: (one[0], one[1], one[2].number),
    )
    if not as_json:
        for wall, process, entry in written:
            ids = " ".join(f"{name}={value}" for name, value in sorted(entry.ids.items()))
            click.echo(f"{wall:%Y-%m-%d %H:%M:%S}  {process:8}  {entry.event}  {ids}".rstrip())
    said = [*found.problems, f"Lines: {len(written)}. Films removed: {len(found.removed)}."]
    lines = [{"process": process, "entry": entry} for _wall, process, entry in written]
    ok = not found.problems
    tell(as_json, "\n".join(said), ok=ok, lines=lines, removed=found.removed, problems=said[:-1])
    sys.exit(not ok)


@dataclass(frozen=True)
class Look:
    """What came of an audit."""

    found: Audit
    waiting: list[Outcome]
    """Orders that are not carried out."""
    number: int = 0
    """Of the signed audit; 0 in a rehearsal."""
    note: str = ""
    films: str = ""
    """The signed word which films of the kit that was asked about were seen; '' if they are too
    many for an order that is carried by hand."""


def look_through(
    service: Service,
    sample: float,
    rehearse: bool = False,
    stick: Path | None = None,
    of_kit: str = "",
) -> Look:
    """Audit the store and sign what was found, unless it is a rehearsal; and which films of one kit
    were seen. `stick`: where an opening key's answer lies; it counts once."""
    began = SystemClock().read().wall
    signers = [
        *(card.verifying_key() for card in (*service.practitioners(), *service.former())),
        *(kit.verifying_key() for kit in service.kits()),
    ]
    with service.at_work(rehearse=True) as work:
        waiting = [
            o for o in work.desk.work() if o.state not in ("done-before", "held", "declined")
        ]
        seen = opening.read(work.keys, work.ledger, stick) if stick else None
        auditor = Auditor(
            work.store, work.keys.identities, signers, work.ledger, sample,
            seen=seen.held if seen else None, service=work.keys.chain, of_kit=of_kit,
        )  # fmt: skip
        listed = list(auditor.listed())
    # To read takes long: families' orders are carried out meanwhile.
    with service.at_store() as (store, keys):
        found = auditor.and_read(store, listed)
        if rehearse:
            return Look(found, waiting)
        signed, note = sign_audit(store, keys, found, len(waiting), began)
        lost = any(finding.code in {*LOST, "stray"} for finding in found.findings)
        if found.whole or lost:
            _tell_kits(service, store, keys, found.whole, began, lost)
    if stick and seen:
        with service.at_work() as work:
            opening.taken(work.ledger, stick, seen)
    films = ""
    if of_kit and len(auditor.films_seen) <= SEEN:
        names = tuple(sorted(auditor.films_seen))
        fact = FilmsSeen(kit=of_kit, audit=digest(note.decode()), at=began, films=names)
        films = sign_fact(keys.signer, fact)
    return Look(found, waiting, signed.number, note.decode(), films)


def _tell_kits(
    service: Service,
    store: ServiceStore,
    keys: PrivateKeys,
    films: Sequence[FilmRead],
    began: datetime,
    lost: bool,
) -> None:
    with service.at_work(rehearse=True) as work:
        # One may have come while the films were read.
        work.desk.holds.hear()
        holds, ledger = work.desk.holds, work.ledger

        def kept(film: FilmRead) -> bool:
            return bool(holds.on(film.case, film.film)) or ledger.closing(film.case) is not None

        kits = [card.id for card in service.kits()]
        tell_kits(store, keys, kits, films, kept, began, lost)
