"""`ask --export` and what answers it: one case, opened where the opening key is, for somebody who
has a right to it."""

import sys
from contextlib import closing
from pathlib import Path

import click

from appliance.base.commands.exporting import in_words, place
from appliance.base.commands.telling import tell
from appliance.base.custody import giving
from appliance.base.custody.stick import (
    AskedExport,
    GivenOut,
    begin,
    carried,
    nothing_half,
)
from appliance.base.keeping.exporting import Exporter
from appliance.base.service import Service
from appliance.records.clock import SystemClock
from appliance.records.files import new_id


def ask_export(service: Service, directory: Path, case: str, as_json: bool) -> None:
    """Put a case on the stick, still sealed."""
    name, kits = new_id(), service.kits()
    people = [*service.practitioners(), *service.former()]
    begin(directory)
    with nothing_half(directory, carried(directory, name).name, "cards", "ask"):
        # To copy takes long: families' orders are carried out meanwhile.
        with service.at_store() as (store, _keys):
            copied = giving.copy(store, directory, name, case, kits, _shown)
        with service.at_work() as work:
            giving.ask(
                work.store, work.keys, work.ledger, SystemClock(), directory, copied, people, kits
            )
    many = len(copied.objects)
    words = f"Asked for case {case}: {many} objects. Carry {directory} to the opening key: "
    tell(as_json, f"{words}answer DIR -o OUT", asked=1, objects=many)


def answer_export(
    service: Service,
    directory: Path,
    asked: AskedExport,
    out: Path,
    reader: Path | None,
    yes: bool,
    as_json: bool,
) -> None:
    """Open the case into its place, and say so on the stick."""
    keys, clock = service.only, SystemClock()
    where = place(out, reader, keys)
    if not yes:
        whom = f", for whoever has the key of {reader} alone" if reader else ""
        words = f"Case {asked.case} would be opened into {out}{whom}. Is that right?"
        click.confirm(words, abort=True, err=True)
    people = [card.verifying_key() for card in asked.people]
    # Its place first: to read a whole stick for one that is refused would take long.
    with (
        nothing_half(directory, "answer"),
        where as opened,
        closing(giving.check_carried(clock, directory, asked, _shown)) as store,
    ):
        exporter = Exporter(store, keys.identities, people, asked.kits, asked.case, progress=_shown)
        done = exporter.export(opened)
        giving.answer(keys, clock, directory, asked, done)
    lines = [in_words(done), f"Carry {directory} back to base: ask DIR --take"]
    tell(as_json, "\n".join(lines), ok=not done.problems, exported=done)
    sys.exit(3 if done.problems else 0)


def tell_given(given: GivenOut, withdrawn: bool, films: list[str], as_json: bool) -> None:
    """Say that a case was given out; the status is 1 where the family took it back meanwhile, or
    films of it."""
    lines = [f"Case {given.case} was given out: {given.films} films. Not whole: {given.problems}."]
    if withdrawn:
        lines.append("The family has withdrawn meanwhile. Have what was opened destroyed.")
    lines += [f"Film {film} was taken back meanwhile. Have it destroyed." for film in films]
    bad = bool(withdrawn or films)
    tell(as_json, "\n".join(lines), ok=not bad, given=given, withdrawn=withdrawn, taken_back=films)
    sys.exit(bad)


def _shown(line: str) -> None:
    click.echo(f"  {line}", err=True)
