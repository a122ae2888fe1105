"""`ask` and `answer`: what needs the opening key, carried to it and back on a stick."""

from pathlib import Path

import click

from appliance.base import people
from appliance.base.commands.telling import AS_JSON, PATH, tell
from appliance.base.custody import carrying
from appliance.base.service import Service
from appliance.errors import BadInput
from appliance.protocol.cards import Card
from appliance.records.clock import SystemClock
from appliance.records.files import load_fact, to_json

_DIR = click.argument("directory", type=PATH, metavar="DIR")


@click.command()
@_DIR
@click.option("--let-in", "card", type=PATH, metavar="CARD", help="Open cases to this person.")
@click.option("--case", "cases", multiple=True, metavar="CASE", help="This case, and no other.")
@click.option("--kit", default="", metavar="KIT", help="Order this kit to let them in.")
@click.option("--take", is_flag=True, help="Take in what was answered in DIR.")
@AS_JSON
@click.pass_obj
def ask(
    service: Service,
    directory: Path,
    card: Path | None,
    cases: tuple[str, ...],
    kit: str,
    take: bool,
    as_json: bool,
) -> None:
    """Write in DIR, on a stick, what needs the opening key, which is not beside the store.

    Without --let-in every case is to be sealed anew for those who open by the newest card. Carry
    DIR to the opening key, have it answered there, bring it back, and give it with --take.

    \b
    Example:
      attune base /srv/attune/store -i KEYS ask /media/stick/ask
    """
    to = None
    if card is not None:
        to = load_fact(card, Card)
        if to is None or to.role != "practitioner":
            raise BadInput("Only a practitioner's card can be let in.", "Give their .pub file.")
        if not cases:
            raise click.UsageError("Say into which cases: --case CASE")
    with service.at_work() as work:
        if take:
            done = carrying.take(work.store, work.keys, work.ledger, SystemClock(), directory)
        else:
            if to is not None:
                people.enrol(to_json(to), service.folder)
            many = carrying.ask(
                work.store, work.keys, work.ledger, SystemClock(), directory, cases, to, kit
            )
    if not take:
        words = f"Asked for {many} cases. Carry {directory} to the opening key: answer DIR"
        tell(as_json, words, asked=many)
        return
    lines = [
        f"Case {one.case} was left alone: {one.why}"
        if one.why
        else f"Case {one.case}: {one.key or 'nothing was needed'}"
        for one in done
    ]
    tell(as_json, "\n".join(lines or ["Nothing was asked for."]), cases=done)


@click.command()
@_DIR
@click.option("--yes", is_flag=True, help="Do not ask whether it is right.")
@AS_JSON
@click.pass_obj
def answer(service: Service, directory: Path, yes: bool, as_json: bool) -> None:
    """Do what is asked for in DIR, where the opening key is. STORE is not reached: give -.

    It says first to whom cases would be opened. Whoever has base could ask for anybody: know by
    another way that it is right.

    \b
    Example:
      attune base /srv/attune/store -i KEYS answer /media/stick/ask
    """
    keys = service.only
    asked = carrying.read_ask(keys, service.folder, directory)
    whom = asked.to.name if asked.to else ""
    words = f"{len(asked.wants)} cases would be sealed to "
    words += f"{whom} and the service." if whom else "the service alone."
    if whom and not yes:
        click.confirm(f"{words} Is that right?", abort=True, err=True)
    told = carrying.answer(keys, SystemClock(), directory, asked)
    closed = [one.case for one in told.cases if not one.number]
    lines = [words.replace("would be", "were"), *(f"No key here opens {case}." for case in closed)]
    lines.append(f"Carry {directory} back to base: ask DIR --take")
    tell(as_json, "\n".join(lines), to=whom, cases=len(told.cases), closed=closed)
