"""`export`: one case, for somebody who has a right to what is held of them."""

import sys
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import click

from appliance.base.commands.telling import AS_JSON, DRY_RUN, PATH, tell
from appliance.base.keeping.exporting import (
    Exported,
    Exporter,
    Nowhere,
    Place,
    into_file,
    into_folder,
)
from appliance.base.service import Service
from appliance.errors import BadInput
from appliance.protocol.cards import Card, sealing_keys
from appliance.records.files import load_fact
from appliance.vault.keys import PrivateKeys

OUT = {
    "type": PATH,
    "metavar": "OUT",
    "help": "A new folder on an encrypted stick, or a file NAME.age.",
}
TO = {
    "type": PATH,
    "metavar": "CARD",
    "help": "Who can open NAME.age: their card, the .pub file that `attune keygen` made.",
}


@click.command()
@click.argument("case", metavar="CASE")
@click.option("-o", "out", required=True, **OUT)  # type: ignore[arg-type]
@click.option("--to", "reader", **TO)  # type: ignore[arg-type]
@DRY_RUN
@AS_JSON
@click.pass_obj
def export(
    service: Service, case: str, out: Path, reader: Path | None, rehearse: bool, as_json: bool
) -> None:
    """Open one case for a subject access request or a court.

    Its films, clips, documents as text, what kits' logs say of it, and who had agreed to be in
    which film. It needs the service's opening key. The case's own key is never written down. What
    could not be opened is listed in read-me.txt, and the status is 3. That it was done stands in
    the ledger.

    \b
    Example:
      attune base /srv/attune/store -i KEYS export CASE -o /media/stick/CASE
    """
    people = [card.verifying_key() for card in (*service.practitioners(), *service.former())]
    with service.at_store() as (store, keys):
        exporter = Exporter(
            store, keys.identities, people, service.kits(), case,
            progress=lambda name: click.echo(f"  {name}", err=True),
        )  # fmt: skip
        with place(out, reader, keys, rehearse) as opened:
            done = exporter.export(opened)
    if not rehearse:
        with service.at_work() as work:
            work.ledger.write("exported", case, films=str(done.films))
    tell(as_json, in_words(done, rehearse), ok=not done.problems, exported=done, rehearsed=rehearse)
    sys.exit(3 if done.problems else 0)


def in_words(done: Exported, rehearsed: bool = False) -> str:
    """What was given out, and what could not be."""
    would = "Would be written" if rehearsed else "Written"
    return "\n".join([
        *done.problems,
        f"{would}: {done.films} films, {done.clips} clips, {done.documents} documents, "
        f"{done.log_lines} lines of logs; {done.bytes:,} bytes. Not whole: {len(done.problems)}.",
    ])  # fmt: skip


def place(
    out: Path, reader: Path | None, keys: PrivateKeys, rehearse: bool = False
) -> AbstractContextManager[Place]:
    """Where a case is opened into. Raises UsageError, BadInput."""
    if (out.suffix == ".age") != (reader is not None):
        raise click.UsageError("--to CARD and a file NAME.age belong together.")
    if reader is None:
        return nullcontext(Nowhere()) if rehearse else into_folder(out)
    if (card := load_fact(reader, Card)) is None:
        raise BadInput(f"There is no card {reader}.", "Name their .pub file.")
    (recipient,) = sealing_keys(keys.chain.recipients()[0], card)
    return nullcontext(Nowhere()) if rehearse else into_file(out, recipient)
