"""`enrol`, `revoke`, `recover`, `let-in`: who belongs to the service, and who opens what."""

from collections.abc import Sequence
from pathlib import Path

import click

from appliance.base import people
from appliance.base.commands.telling import AS_JSON, DRY_RUN, PATH, tell
from appliance.base.service import Service
from appliance.errors import BadInput
from appliance.protocol.cards import Card
from appliance.records.clock import SystemClock
from appliance.records.files import load_fact, to_json

_KIT = click.option("--kit", default="", metavar="KIT", help="Order this kit to let them in.")


@click.command()
@click.argument("cards", nargs=-1, required=True, type=PATH, metavar="CARD...")
@AS_JSON
@click.pass_obj
def enrol(service: Service, cards: tuple[Path, ...], as_json: bool) -> None:
    """Enrol practitioners (their .pub files) and kits (their kit.json).

    \b
    Example:
      attune base /srv/attune/store -i KEYS enrol practitioner.pub
    """
    places = [str(people.enrol(card.read_bytes(), service.folder)) for card in cards]
    tell(as_json, "\n".join(f"Enrolled: {place}" for place in places), enrolled=places)


@click.command()
@click.argument("name", metavar="NAME")
@DRY_RUN
@AS_JSON
@click.pass_obj
def revoke(service: Service, name: str, rehearse: bool, as_json: bool) -> None:
    """Take a practitioner's leave away: every kit that has them locks them out.

    NAME is the name on their card. What families decided with them before still counts.

    \b
    Example:
      attune base /srv/attune/store -i KEYS revoke practitioner-abcdefghijklmnop
    """
    card = people.card_of(name, service.folder)
    with service.at_work(rehearse) as work:
        if rehearse:
            tell(as_json, f"Would be revoked: {card}", would_revoke=name)
            return
        folder, clock = service.folder, SystemClock()
        away = people.revoke(work.store, work.keys, name, folder, clock, work.ledger)
    tell(as_json, f"Revoked: {away}", revoked=name)


@click.command()
@click.argument("card", type=PATH, metavar="CARD")
@click.option(
    "--instead-of",
    "before",
    required=True,
    metavar="NAME",
    help="The name on the card whose passphrase was forgotten.",
)
@click.option("--case", "cases", multiple=True, metavar="CASE", help="This case as well.")
@_KIT
@AS_JSON
@click.pass_obj
def recover(
    service: Service, card: Path, before: str, cases: tuple[str, ...], kit: str, as_json: bool
) -> None:
    """Let a practitioner who forgot the passphrase into their cases, with a new CARD.

    It is enrolled, and the key of each case in which NAME works is sealed to it as well.

    \b
    Example:
      attune base /srv/attune/store -i KEYS recover new.pub --instead-of OLD-NAME --kit KIT
    """
    _let_in(service, card, before, cases, kit, as_json)


@click.command("let-in")
@click.argument("card", type=PATH, metavar="CARD")
@click.option("--case", "cases", multiple=True, required=True, metavar="CASE", help="Which case.")
@_KIT
@AS_JSON
@click.pass_obj
def let_in(service: Service, card: Path, cases: tuple[str, ...], kit: str, as_json: bool) -> None:
    """Let a practitioner's CARD into the cases that are named, and into no other.

    Whoever is let in opens that family's films: take the card from their own hand.

    \b
    Example:
      attune base /srv/attune/store -i KEYS let-in new.pub --case CASE --kit KIT
    """
    _let_in(service, card, "", cases, kit, as_json)


def _let_in(
    service: Service, path: Path, before: str, cases: Sequence[str], kit: str, as_json: bool
) -> None:
    card = load_fact(path, Card)
    if card is None:
        raise BadInput(f"There is no card {path}.")
    with service.at_work() as work:
        store, keys = work.store, work.keys
        # First: who was revoked is not let in, and a withdrawal that they sign from now on counts.
        enrolled = people.enrol(to_json(card), service.folder)
        wanted, looked = list(cases), list[people.Recovered]()
        if before:
            found, looked = people.cases_of(store, keys, before, service.folder)
            wanted += [case for case in found if case not in wanted]
            if not found:
                click.echo(f"No case here names {before} as one who works in it.", err=True)
        looked += people.recover(store, keys, card, wanted, kit, SystemClock(), work.ledger)
    sentences = [f"Enrolled: {enrolled}", *map(_in_words, looked)]
    if not kit:
        sentences.append("No kit was told: give theirs with --kit, and it lets them in again.")
    tell(as_json, "\n".join(sentences), enrolled=str(enrolled), cases=looked)


def _in_words(one: people.Recovered) -> str:
    if one.why:
        return f"Case {one.case} was left alone: {one.why}"
    return f"Sealed anew: {one.key}" + (
        f"; order {one.order} for kit {one.kit}" if one.order else ""
    )
