"""`ask` and `answer`: what needs the opening key, carried to it and back on a stick."""

from pathlib import Path
from typing import Any

import click

from appliance.base import people
from appliance.base.commands.exporting import OUT, TO
from appliance.base.commands.giving import answer_export, ask_export, tell_given
from appliance.base.commands.telling import AS_JSON, PATH, tell
from appliance.base.custody import carrying, giving, opening
from appliance.base.custody.stick import (
    Asked,
    AskedAudit,
    AskedExport,
    AskedInstead,
    read_answer,
    read_ask,
)
from appliance.base.service import Service
from appliance.errors import BadInput
from appliance.protocol.cards import Card
from appliance.records.clock import SystemClock
from appliance.records.files import load_fact, to_json

_DIR = click.argument("directory", type=PATH, metavar="DIR")


@click.command()
@_DIR
@click.option("--let-in", "card", type=PATH, metavar="CARD", help="Open cases to this person.")
@click.option(
    "--case", "cases", multiple=True, metavar="CASE", help="This case; with --instead-of, besides."
)
@click.option(
    "--instead-of",
    "before",
    default="",
    metavar="NAME",
    help="Every case in which the card of this name works, whose passphrase was forgotten.",
)
@click.option("--kit", default="", metavar="KIT", help="Order this kit to let them in.")
@click.option("--audit", is_flag=True, help="See whether each case's key opens: audit --opened.")
@click.option(
    "--export", "case", default="", metavar="CASE", help="Give this case out, as `export` does."
)
@click.option("--take", is_flag=True, help="Take in what was answered in DIR.")
@AS_JSON
@click.pass_obj
def ask(
    service: Service,
    /,
    directory: Path,
    take: bool,
    audit: bool,
    case: str,
    as_json: bool,
    **keys: Any,
) -> None:
    """Write in DIR, on a stick, what needs the opening key, which is not beside the store.

    Without --let-in, --audit or --export every case is to be sealed anew for those who open by the
    newest card. Carry DIR to the opening key, have it answered there, bring it back, and give it
    with --take; what answers an audit is given with `audit --opened DIR`.

    \b
    Example:
      attune base /srv/attune/store -i KEYS ask /media/stick/ask
      attune base /srv/attune/store -i KEYS ask /media/stick/ask --let-in new.pub --instead-of OLD
    """
    if take + audit + bool(case) + any(keys.values()) > 1:
        raise click.UsageError("Ask for one thing at a time; --take goes by itself.")
    if take:
        _take(service, directory, as_json)
    elif audit:
        _ask_to_open(service, directory, as_json)
    elif case:
        ask_export(service, directory, case, as_json)
    else:
        _ask_to_seal(service, directory, as_json, **keys)


def _ask_to_seal(
    service: Service,
    directory: Path,
    as_json: bool,
    card: Path | None,
    cases: tuple[str, ...],
    before: str,
    kit: str,
) -> None:
    if (before or kit) and card is None:
        raise click.UsageError("--instead-of and --kit go with --let-in CARD.")
    if card is not None and not (cases or before):
        raise click.UsageError("Say into which cases: --case CASE, or --instead-of NAME")
    who = None
    if card is not None:
        known = [*service.practitioners(), *service.former()]
        who = carrying.LetIn(_practitioner(card), kit, before, known)
    with service.at_work() as work:
        if who is not None:
            work.keys.chain.recipients(who.to)  # Before anything is done.
            people.enrol(to_json(who.to), service.folder)
        many = carrying.ask(
            work.store, work.keys, work.ledger, SystemClock(), directory, cases, who
        )
    words = f"Asked for {many} cases. Carry {directory} to the opening key: answer DIR"
    tell(as_json, words, asked=many)


def _ask_to_open(service: Service, directory: Path, as_json: bool) -> None:
    with service.at_work() as work:
        many = opening.ask(work.store, work.keys, work.ledger, SystemClock(), directory)
    words = f"Asked whether {many} key files open. Carry {directory} to the opening key: answer DIR"
    tell(as_json, words, asked=many)


def _practitioner(path: Path) -> Card:
    card = load_fact(path, Card)
    if card is None or card.role != "practitioner":
        raise BadInput("Only a practitioner's card can be let in.", "Give their .pub file.")
    return card


def _take(service: Service, directory: Path, as_json: bool) -> None:
    with service.at_work() as work:
        asked, told = read_answer(work.keys, work.ledger, directory)
        if isinstance(asked, AskedAudit):
            raise BadInput("This answers an audit.", "Take it in with: audit --opened DIR")
        if isinstance(asked, AskedExport):
            given = giving.take(work.ledger, directory, asked, told)
            withdrawn = work.ledger.closing(given.case) is not None
            films = giving.taken_back(work.ledger, asked)
        else:
            done = carrying.take(
                work.store, work.keys, work.ledger, SystemClock(), directory, asked, told
            )
    if isinstance(asked, AskedExport):
        tell_given(given, withdrawn, films, as_json)
    lines = [
        f"Case {one.case} was left alone: {one.why}"
        if one.why
        else f"Case {one.case}: {one.key or 'nothing was needed'}"
        for one in done
    ]
    tell(as_json, "\n".join(lines or ["There was nothing to be done."]), cases=done)


@click.command()
@_DIR
@click.option("-o", "out", **OUT)  # type: ignore[arg-type]
@click.option("--to", "reader", **TO)  # type: ignore[arg-type]
@click.option("--yes", is_flag=True, help="Do not ask whether it is right.")
@AS_JSON
@click.pass_obj
def answer(
    service: Service,
    directory: Path,
    out: Path | None,
    reader: Path | None,
    yes: bool,
    as_json: bool,
) -> None:
    """Do what is asked for in DIR, where the opening key is. STORE is not reached: give -.

    It says first to whom cases would be opened. Whoever has base could ask for anybody: know by
    another way that it is right. A case that is to be given out is opened into OUT, as `export`
    does; the status is 3 if not all of it could be.

    \b
    Example:
      attune base /srv/attune/store -i KEYS answer /media/stick/ask
    """
    keys = service.only
    asked = read_ask(keys, service.folder, directory)
    if isinstance(asked, AskedExport) != (out is not None):
        raise click.UsageError("-o OUT says where a case goes that is to be given out.")
    if isinstance(asked, AskedExport):
        assert out is not None, "checked just now"
        answer_export(service, directory, asked, out, reader, yes, as_json)
        return
    if isinstance(asked, AskedAudit):
        told = opening.answer(keys, SystemClock(), directory, asked)
        opened = sum(map(bool, told.held.values()))
        lines = [f"{opened} of {len(told.held)} key files open here, by the newest card."]
        if opened < len(told.held):
            lines.append("The others are damaged, or were not sealed anew after it: ask DIR")
        lines.append(f"Carry {directory} back to base: audit --opened DIR")
        tell(as_json, "\n".join(lines), files=len(told.held), opened=opened)
        return
    _seal(service, directory, asked, yes, as_json)


def _seal(
    service: Service, directory: Path, asked: Asked | AskedInstead, yes: bool, as_json: bool
) -> None:
    keys = service.only
    cases = carrying.chosen(keys, directory, asked)
    whom = asked.to.name if asked.to else ""
    words = f"{len(cases)} cases"
    if isinstance(asked, AskedInstead):
        words = f"Of {len(asked.wants)} cases, {len(cases)} in which {asked.before} works"
        words += f", or that were named ({len(asked.also)})," if asked.also else ""
    words += f" would be sealed to {f'{whom} and the service' if whom else 'the service alone'}."
    if whom and not yes:
        click.confirm(f"{words} Is that right?", abort=True, err=True)
    told = carrying.answer(keys, SystemClock(), directory, asked, cases)
    closed = [one.case for one in told.cases if not one.number]
    lines = [words.replace("would be", "were"), *(f"No key here opens {case}." for case in closed)]
    lines.append(f"Carry {directory} back to base: ask DIR --take")
    tell(as_json, "\n".join(lines), to=whom, cases=len(told.cases), closed=closed)
